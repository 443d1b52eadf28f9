"""The page in a real browser: every chart is drawn, nothing is said on the console, nothing is fetched."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("altair")
pytest.importorskip("vl_convert")
pytest.importorskip("tensorboard")

from lightning_itwin.reports import make_report
from tests.reports.synthetic import epoch as epoch_row
from tests.reports.synthetic import gpu, write_failure, write_run

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome", "chrome")
        if (path := shutil.which(name))
    ),
    None,
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium or chrome on the PATH"),
]

# listens to everything that can go wrong, and tells it once the charts are drawn
PROBE = """<script>
const told = {errors: [], asked: []};
window.addEventListener("error", (event) => told.errors.push(String(event.message)));
window.addEventListener("unhandledrejection", (event) => told.errors.push(String(event.reason)));
document.addEventListener("securitypolicyviolation", (event) => told.errors.push(event.blockedURI));
for (const level of ["error", "warn"]) {
  const say = console[level];
  console[level] = (...parts) => { told.errors.push(parts.join(" ")); say.apply(console, parts); };
}
const watch = setInterval(() => {
  if (document.documentElement.dataset.drawn !== "yes") return;
  clearInterval(watch);
  told.asked = performance.getEntriesByType("resource").map((entry) => entry.name);
  told.width = [document.documentElement.scrollWidth, window.innerWidth];
  told.page = getComputedStyle(document.body).backgroundColor;
  told.charts = [...document.querySelectorAll(".chart")].map((chart) => {
    const box = chart.querySelector("svg").getBoundingClientRect();
    return [chart.dataset.name, box.width, box.height, chart.querySelectorAll("path").length];
  });
  parent.postMessage(JSON.stringify(told), "*");
}, 50);
</script>"""

# a window has a least width of 500, a frame has not
FRAME = """<!doctype html><iframe src="{address}" style="width:{width}px;height:1200px;border:0"></iframe>
<script>
window.addEventListener("message", (event) => {{
  const element = document.createElement("pre");
  element.id = "told";
  element.textContent = event.data;
  document.body.append(element);
}});
</script>"""


def open_page(page: Path, folder: Path, width: int, *, dark: bool = False) -> dict[str, Any]:
    """Open a copy of the page with the probe in it; give what the probe tells."""
    copy = folder / f"probed-{width}.html"
    copy.write_text(
        page.read_text(encoding="utf-8").replace("<title>", PROBE + "<title>", 1), encoding="utf-8"
    )
    frame = folder / f"frame-{width}.html"
    frame.write_text(FRAME.format(address=copy.as_uri(), width=width), encoding="utf-8")
    told = subprocess.run(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            f"--user-data-dir={folder / f'profile-{width}'}",
            f"--window-size={width + 100},1300",
            "--virtual-time-budget=20000",
            "--dump-dom",
            frame.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'<pre id="told">(.*?)</pre>', told.stdout, flags=re.DOTALL)
    assert found, f"the charts were not drawn: {told.stderr[-2000:]}"
    result: dict[str, Any] = json.loads(html.unescape(found.group(1)))
    return result


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sweep")
    for repeat in range(2):
        for workers in (1, 2):
            records = [
                epoch_row(number, rank, 12.0 / workers + repeat)
                for number in range(3)
                for rank in range(workers)
            ]
            records += [gpu(index, second) for index in range(workers) for second in (0.0, 30.0, 60.0)]
            write_run(root, "ddp", workers, repeat, 0.0, records=records, accelerator="cuda")
    write_failure(
        root, "deepspeed_stage_3", 2, 0, "a reason that is long and tells of /some/path/" + "x" * 200
    )
    return make_report(root).html


@pytest.mark.parametrize(("width", "dark"), [(400, True), (1600, False)])
def test_the_page_draws_itself_without_a_word_and_without_the_net(
    page: Path, tmp_path: Path, width: int, dark: bool
) -> None:
    told = open_page(page, tmp_path, width, dark=dark)
    assert told["errors"] == []
    assert [url for url in told["asked"] if not url.startswith("data:")] == []
    scrolled, window = told["width"]
    assert scrolled <= window <= width, "the page is wider than the window"
    assert told["page"] == ("rgb(15, 20, 25)" if dark else "rgb(246, 247, 249)")
    assert [name for name, *_ in told["charts"]] == [
        "epoch_time_s",
        "speedup",
        "efficiency",
        "samples_per_s",
        "gpu_utilization_percent",
        "gpu_energy_wh",
        "data_wait_percent",
        "forecast",
    ]
    for _, chart_width, height, paths in told["charts"]:
        assert 200 < chart_width <= width
        assert height > 200
        assert paths > 5
