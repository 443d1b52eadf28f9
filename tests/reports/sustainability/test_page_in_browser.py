"""The page in a real browser: drawn, used; nothing is said on the console, nothing is fetched."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lightning_itwin.reports.sustainability import sustainability_page
from tests.browser import needs_browser, open_in_frame
from tests.reports.sustainability.synthetic import write_run, write_table
from tests.reports.synthetic import START_S

pytestmark = needs_browser

LISTEN = """<script>
const told = {errors: []};
window.addEventListener("error", (event) => told.errors.push(String(event.message)));
document.addEventListener("securitypolicyviolation", (event) => told.errors.push(event.blockedURI));
for (const level of ["error", "warn"]) console[level] = (...parts) => told.errors.push(parts.join(" "));
</script>"""

USE = """<script>
const at = (id) => document.getElementById(id);
const look = () => ({
  energy: at("energy").textContent, carbon: at("carbon").textContent, last: at("last-name").textContent,
  places: at("place-rows").children.length, rows: at("run-rows").children.length,
  first: at("run-rows").querySelector("th").textContent, shown: at("shown").textContent,
  bars: document.querySelectorAll("#chart-time rect").length, projects: !at("figure-project").hidden,
  trials: document.querySelectorAll("#chart-trial li").length, trial: !at("figure-trial").hidden,
});
const choose = (element, value) => { element.value = value; element.dispatchEvent(new Event("change")); };
told.all = look();
at("later").click();
told.later = look();
at("run-table").querySelector('[data-key="energy"]').click();
told.sorted = look();
at("run-table").querySelector('[data-key="energy"]').click();
told.turned = look();
const options = document.querySelectorAll("#chart-trial option");
choose(document.querySelector("#chart-trial select"), options[1].value);
told.study = look();
choose(at("project"), [...at("project").options].find((option) => option.text === "gw").value);
told.chosen = look();
choose(at("project"), "");
told.again = look();
at("figure-project").querySelector("button").click();
told.clicked = look();
URL.createObjectURL = (blob) => { told.saved = blob.size; return "data:,"; };
HTMLAnchorElement.prototype.click = () => {};
at("save").dispatchEvent(new MouseEvent("click", {cancelable: true}));
told.asked = performance.getEntriesByType("resource").map((entry) => entry.name);
told.width = [document.documentElement.scrollWidth, window.innerWidth];
told.page = getComputedStyle(document.body).backgroundColor;
parent.postMessage(JSON.stringify(told), "*");
</script>"""


SAY = """<script>
told.all = ["energy", "carbon", "last-name"].map((name) => document.getElementById(name).textContent);
parent.postMessage(JSON.stringify(told), "*");
</script>"""


def use(page: str, folder: Path, width: int, *, dark: bool, script: str = USE) -> dict[str, Any]:
    page = page.replace("<title>", LISTEN + "<title>", 1).replace("</body>", script + "</body>", 1)
    return open_in_frame(page, folder, width, dark=dark)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("logs")
    for run in range(30):
        begun = START_S + 86_400 * run
        write_run(root / "gw" / f"run-{run:02d}", 1.0 + run, begun_unix_s=begun, workload="gw")
    for study, trials in (("first", 3), ("second", 2)):
        for trial in range(trials):
            folder = root / study / "trials" / f"{trial:04d}" / "records" / "one"
            write_run(folder, 0.1 * trials, run_id=f"{study}{trial}", workload="drought" + "x" * 60)
    write_table(root / "tool" / "emissions.csv", {"timestamp": "2026-01-10T12:00:00", "run_id": "theirs"})
    return sustainability_page([root])


@pytest.mark.parametrize(("width", "dark"), [(400, True), (1600, False)])
def test_the_page_can_be_used_without_a_word_and_without_the_net(
    page: str, tmp_path: Path, width: int, dark: bool
) -> None:
    told = use(page, tmp_path, width, dark=dark)
    assert told["errors"] == []
    assert told["asked"] == []
    scrolled, window = told["width"]
    assert scrolled <= window <= width, "the page is wider than the window"
    assert told["page"] == ("rgb(15, 20, 25)" if dark else "rgb(246, 247, 249)")
    every = told["all"]
    assert every["energy"] == "467 kWh"  # 30 runs of 1 to 30, 3 of 0.3, 2 of 0.2, 1 of another tool
    assert (every["places"], every["rows"], every["trials"]) == (2, 25, 3)
    assert every["last"] == "tool/theirs"
    assert every["shown"] == "1 to 25 of 36"
    assert every["bars"] > 5
    assert (told["later"]["rows"], told["later"]["shown"]) == (11, "26 to 36 of 36")
    assert (told["sorted"]["first"], told["sorted"]["shown"]) == ("gw/run-29", "1 to 25 of 36")
    assert told["turned"]["first"].startswith("second/trials/")
    assert told["study"]["trials"] == 2
    chosen = told["chosen"]
    assert (chosen["energy"], chosen["carbon"], chosen["last"]) == ("465 kWh", "140 kg", "gw/run-29")
    assert (chosen["places"], chosen["projects"], chosen["trial"]) == (1, False, False)
    assert told["again"]["energy"] == every["energy"]
    assert told["clicked"]["energy"] == "465 kWh"
    assert told["saved"] > 1000


@pytest.mark.parametrize("energy_kwh", [3.21e-9, 0.000412, 12.3456, 99_960.0])
def test_script_and_page_say_the_same(tmp_path: Path, energy_kwh: float) -> None:
    for trial in range(2):
        write_run(tmp_path / "study" / "trials" / f"{trial}" / "one", energy_kwh, run_id=str(trial))
    page = sustainability_page([tmp_path])
    said = [re.search(rf'id="{name}"[^>]*>([^<]*)<', page) for name in ("energy", "carbon", "last-name")]
    told = use(page, tmp_path, 1600, dark=False, script=SAY)
    assert [found and found.group(1) for found in said] == told["all"]
