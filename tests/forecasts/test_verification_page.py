"""The page, its files and its figures; in a real browser too."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import torch

from lightning_itwin.forecasts import About, FanExample, ForecastTarget, Verification, write_verification
from tests.browser import in_browser, open_in_frame
from tests.forecasts.synthetic import LEADS, LEVELS, batch, grid, verification

ABOUT = About(
    title="Drought <in> the Alps",
    model="DroughtForecaster from /home/somebody/last.ckpt",
    period="2001",
    facts={"Data": "/home/somebody/alps.zarr & more"},
)


def example() -> FanExample:
    past = np.cumsum(np.random.default_rng(0).normal(size=120)) / 8
    spread = np.sqrt(np.array(LEADS) / 60)[:, None] * np.linspace(-2, 2, len(LEVELS))
    return FanExample(
        title="46.6° N, 11.3° E",
        past=past,
        leads=np.array(LEADS),
        levels=np.array(LEVELS),
        quantiles=past[-1] + spread,
        truth=np.full(60, past[-1]),
        thresholds=np.tile([-0.84, -1.28, -1.64], (180, 1)),
        issued=np.datetime64("2001-06-01"),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("page")
    on = grid()
    metric = verification(len(on.row))
    metric.update(**batch(len(on.row), 38).part(slice(None)))
    figures = write_verification(found, metric.compute(), ABOUT, on, [example()])
    assert {"crps_skill", "brier_skill", "reliability_p20", "roc_p20", "pit", "coverage", "accuracy"} <= set(
        figures
    )
    assert {"fan_1", "warnings_today", "probability_below_p20_today", "map_crps_skill_climatology"} <= set(
        figures
    )
    assert all(type(figure).__name__ == "Figure" for figure in figures.values())
    return found


def test_every_figure_is_a_file(folder: Path) -> None:
    names = {path.stem for path in (folder / "figures").glob("*.png")}
    assert {"crps_skill", "coverage_by_state", "fan_1", "map_nse"} <= names
    assert all((folder / "figures" / f"{name}.png").read_bytes()[:4] == b"\x89PNG" for name in names)


def test_scores_are_files_too(folder: Path) -> None:
    rows = list(csv.DictReader((folder / "scores.csv").read_text().splitlines()))
    assert [int(row["lead_days"]) for row in rows] == list(LEADS)
    assert 0 < float(rows[0]["crps_skill_climatology"]) < 1
    found = json.loads((folder / "scores.json").read_text())
    assert found["by_lead"]["lead_days"] == list(LEADS)
    assert np.shape(found["coverage_by_decile_lead_interval"]) == (10, 8, 3)
    assert found["by_lead"]["crps"][0] == pytest.approx(float(rows[0]["crps"]))


def test_the_page_loads_nothing_runs_nothing_and_lets_nothing_in(folder: Path) -> None:
    text = (folder / "verification.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert "<script" not in text
    assert not re.search(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"(?!data:)", text)
    assert "Drought &lt;in&gt; the Alps" in text
    assert "/home" not in text
    assert "alps.zarr &amp; more" in text


def test_the_page_says_what_it_has_to(folder: Path) -> None:
    text = (folder / "verification.html").read_text(encoding="utf-8")
    names = ("summary", "results", "today", "figures", "maps", "made", "terms")
    order = [text.index(f'id="{name}"') for name in names]
    assert order == sorted(order)
    assert "The forecasts beat climatology up to" in text
    assert text.count('class="best"') == len(LEADS), "a star a lead"
    for alt in re.findall(r'<img class="drawing" alt="([^"]*)"', text):
        assert len(alt) > 40
    assert len(re.findall(r'<img class="drawing"', text)) == len(list((folder / "figures").glob("*.png")))
    for word in ("CRPS", "Damped persistence", "Reliability diagram", "Watch, warning, alert"):
        assert f"<dt>{word}</dt>" in text
    assert 'download="scores.csv"' in text


def test_a_nowcast_has_a_page_of_what_makes_sense(tmp_path: Path) -> None:
    rows = torch.arange(200)
    target = torch.randn(200, 1, generator=torch.Generator().manual_seed(0))
    on = grid()
    metric = Verification([0.5], [0], cells=len(on.row), percentiles=(), references=())
    metric.update(
        quantiles=(target + 0.1).unsqueeze(-1),
        target=target,
        series=rows % len(on.row),
        origin=rows,
        year_fraction=torch.zeros(200, 1),
        median_value=0.3 + 0.05 * target + 0.01,
        target_value=0.3 + 0.05 * target,
    )
    about = About(title="Surrogate", target=ForecastTarget(name="vwc", anomaly=False))
    figures = write_verification(tmp_path, metric.compute(), about, on)
    assert list(figures) == ["map_nse"]
    text = (tmp_path / "verification.html").read_text(encoding="utf-8")
    assert "The RMSE is 0.01 m³ m⁻³" in text
    assert "Brier" not in text
    assert "<dt>ROC</dt>" not in text


def test_nothing_to_verify_is_said(tmp_path: Path) -> None:
    metric = verification()
    data = batch().part(slice(None))
    data["target"] = torch.full((600, 8), torch.nan)
    metric.update(**data)
    with pytest.raises(ValueError, match="nothing to verify"):
        write_verification(tmp_path, metric.compute(), ABOUT)
    assert not list(tmp_path.iterdir())


PROBE = """<script>
const told = {errors: []};
window.addEventListener("error", (event) => told.errors.push(String(event.message)));
document.addEventListener("securitypolicyviolation", (event) => told.errors.push(event.blockedURI));
window.addEventListener("load", async () => {
  for (const more of document.querySelectorAll("details")) more.open = true;
  const images = [...document.images];
  await Promise.all(images.map((image) => image.decode().catch(() => told.errors.push(image.alt))));
  told.asked = performance.getEntriesByType("resource").map((entry) => entry.name);
  told.width = [document.documentElement.scrollWidth, window.innerWidth];
  told.page = getComputedStyle(document.body).backgroundColor;
  const boxes = images.map((image) => image.getBoundingClientRect());
  told.images = boxes.map((box) => [box.width, box.height]);
  told.focusable = [...document.querySelectorAll("[tabindex='0']")].map((part) => part.className);
  parent.postMessage(JSON.stringify(told), "*");
});
</script>"""


def open_page(page: Path, folder: Path, width: int, dark: bool) -> dict[str, Any]:
    """Open a copy of the page, in which a script may run, in a frame; give what the script tells."""
    text = page.read_text(encoding="utf-8").replace("<title>", PROBE + "<title>", 1)
    text = text.replace("default-src 'none';", "default-src 'none'; script-src 'unsafe-inline';")
    return open_in_frame(text, folder, width, dark=dark)


@in_browser
@pytest.mark.parametrize(("width", "dark"), [(400, True), (1600, False)])
def test_the_page_shows_itself_in_a_browser(folder: Path, tmp_path: Path, width: int, dark: bool) -> None:
    told = open_page(folder / "verification.html", tmp_path, width, dark)
    assert told["errors"] == []
    assert [url for url in told["asked"] if not url.startswith("data:")] == []
    scrolled, window = told["width"]
    assert scrolled <= window <= width, "the page is wider than the window"
    assert told["page"] == ("rgb(15, 20, 25)" if dark else "rgb(246, 247, 249)")
    assert len(told["images"]) > 15
    for image_width, height in told["images"]:
        assert 200 < image_width <= width
        assert height > 100
    assert "card scroll" in told["focusable"], "a table that scrolls is reached with the keyboard"
