"""The page of a study in a real browser: every chart is drawn, nothing is said on the console or fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("altair")
pytest.importorskip("vl_convert")
pytest.importorskip("tensorboard")

from lightning_itwin.hpo.report import StudyReport, make_report
from tests.browser import needs_browser
from tests.hpo.report.synthetic import plan, simulate
from tests.reports.test_page_in_browser import open_page

pytestmark = needs_browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> StudyReport:
    return make_report(simulate(tmp_path_factory.mktemp("study"), plan(16)))


@pytest.mark.parametrize(("width", "dark"), [(400, True), (1600, False)])
def test_the_page_draws_itself_without_a_word_and_without_the_net(
    report: StudyReport, tmp_path: Path, width: int, dark: bool
) -> None:
    told = open_page(report.html, tmp_path, width, dark=dark)
    assert told["errors"] == []
    assert [url for url in told["asked"] if not url.startswith("data:")] == []
    scrolled, window = told["width"]
    assert scrolled <= window <= width, "the page is wider than the window"
    assert told["page"] == ("rgb(15, 20, 25)" if dark else "rgb(246, 247, 249)")
    assert [name for name, *_ in told["charts"]] == [
        one.name for one in report.picture.drawings if one.chart is not None
    ]
    for _, chart_width, height, paths in told["charts"]:
        assert 200 < chart_width <= width
        assert height > 100
        assert paths > 5
