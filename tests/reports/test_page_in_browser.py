"""The page in a real browser: every chart is drawn, nothing is said on the console, nothing is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("altair")
pytest.importorskip("vl_convert")
pytest.importorskip("tensorboard")

from lightning_itwin.reports import make_report
from tests.browser import needs_browser, open_in_frame
from tests.reports.synthetic import epoch as epoch_row
from tests.reports.synthetic import gpu, write_failure, write_run

pytestmark = needs_browser

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


def open_page(page: Path, folder: Path, width: int, *, dark: bool = False) -> dict[str, Any]:
    """Open a copy of the page with the probe in it; give what the probe tells."""
    text = page.read_text(encoding="utf-8").replace("<title>", PROBE + "<title>", 1)
    return open_in_frame(text, folder, width, dark=dark)


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
