from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("altair")
pytest.importorskip("vl_convert")
pytest.importorskip("tensorboard")

from lightning_itwin.optional import MissingExtraError
from lightning_itwin.reports import COLUMNS, Report, ReportError, make_report
from lightning_itwin.reports import make as make_module
from lightning_itwin.reports.table import table
from tests.reports.synthetic import write_failure, write_run


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sweep")
    for repeat in range(3):
        for workers, time_s in ((1, 12.0), (2, 7.0)):
            write_run(root, "ddp", workers, repeat, time_s + 0.1 * repeat)
    write_failure(root, "horovod", 2, 0, "RuntimeError: <b>fire</b> & flood")
    (root / "plan.json").write_text(
        json.dumps({"config": "/x/lightning_itwin/presets/virgo.yaml", "overrides": ["--model.lr=1"]})
    )
    return root


@pytest.fixture(scope="module")
def report(sweep: Path) -> Report:
    return make_report(sweep, title="Mine & <yours>")


def test_everything_that_is_promised_is_there(sweep: Path, report: Report) -> None:
    for name in ("results.json", "results.csv", "summary.json", "forecast.json", "report.html"):
        assert (sweep / name).stat().st_size > 100
    assert report.html == sweep / "report.html"
    for name in ("epoch_time_s", "speedup", "communication_overhead_percent", "emissions_kg", "forecast"):
        for kind in ("png", "svg"):
            assert sweep / "figures" / f"{name}.{kind}" in report.figures
    assert not (sweep / "figures" / "gpu_energy_wh.png").exists()
    assert all(path.exists() for path in report.figures)
    assert (report.tensorboard / "report").is_dir()
    rows = json.loads(report.results_json.read_text())
    assert [(row["strategy"], row["workers"], row["status"]) for row in rows] == [
        ("ddp", 1, "ok"),
        ("ddp", 2, "ok"),
        ("horovod", 2, "failed"),
    ]
    assert {tuple(row) for row in rows} == {COLUMNS}


def test_the_forecast_stands_beside_the_results(report: Report) -> None:
    rows = json.loads(report.forecast_json.read_text())
    assert [(row["strategy"], row["workers"], row["extrapolated"]) for row in rows] == [
        ("ddp", 4, True),
        ("ddp", 8, True),
    ]
    text = report.html.read_text()
    assert '<h2 id="forecast">Forecast</h2>' in text
    assert "orovod failed on 2 workers" in text
    assert 'data-name="forecast"' in text
    assert report.forecast_lines[0].startswith("ddp on 4 workers: ")


def test_without_a_forecast_nothing_is_left_of_an_earlier_one(sweep: Path, tmp_path: Path) -> None:
    make_report(sweep, tmp_path)
    assert (tmp_path / "figures" / "forecast.png").exists()
    made = make_report(sweep, tmp_path, forecast=())
    assert json.loads(made.forecast_json.read_text()) == []
    assert not (tmp_path / "figures" / "forecast.png").exists()
    assert 'id="forecast"' not in made.html.read_text()


def test_a_forecast_too_far_is_refused_before_anything_is_written(sweep: Path, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="no forecast for 9 workers"):
        make_report(sweep, tmp_path / "out", forecast=(9,))
    assert not (tmp_path / "out").exists()


def test_table_and_recommendation_are_ready_to_print(report: Report) -> None:
    assert table(report.rows, "n/a (no GPU)") == report.table
    assert "n/a (no GPU)" in report.table
    assert [line.partition(":")[0] for line in report.recommendation] == [
        "Shortest time",
        "Least energy",
        "Best efficiency",
    ]


def test_the_page_loads_nothing_and_lets_nothing_in(report: Report) -> None:
    text = report.html.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    markup = re.sub(r"(<script[^>]*>).*?</script>", r"\1", text, flags=re.DOTALL)
    assert len(markup) < len(text) / 2
    assert not re.search(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"(?!data:)", markup)
    assert not re.search(r"url\(|@import", markup)
    assert "<b>fire</b>" not in text
    assert "RuntimeError: &lt;b&gt;fire&lt;/b&gt; &amp; flood" in text
    assert "<title>Mine &amp; &lt;yours&gt;</title>" in text


def test_the_page_says_what_it_has_to(report: Report) -> None:
    text = report.html.read_text(encoding="utf-8")
    order = [text.index(f'id="{name}"') for name in ("recommended", "results", "figures", "measured", "runs")]
    assert order == sorted(order)
    for told in (
        "n/a (no GPU)",
        "AMD EPYC 7763",
        "2.13.0",
        "0123456789abcdef",
        "$ python -m lightning_itwin.bench --config virgo --strategies ddp,horovod --workers 1,2 --repeats 3",
        "--model.lr=1",
        "RuntimeError: &lt;gradient&gt; &amp; fire",
        "Karp and Flatt",
        'download="results.csv" href="data:text/csv;charset=utf-8;base64,',
        'download="results.json"',
        "prefers-color-scheme: dark",
        "@media print",
        'name="viewport"',
    ):
        assert told in text


def test_a_report_may_go_elsewhere_and_leaves_the_records_alone(sweep: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in (sweep / "records").rglob("*") if path.is_file()}
    made = make_report(sweep, tmp_path / "a" / "b")
    assert made.html == tmp_path / "a" / "b" / "report.html"
    assert {path: path.read_bytes() for path in (sweep / "records").rglob("*") if path.is_file()} == before


def test_figures_of_an_earlier_report_do_not_linger(sweep: Path, tmp_path: Path) -> None:
    old = tmp_path / "figures" / "gpu_energy_wh.png"
    old.parent.mkdir()
    old.write_bytes(b"old")
    other = tmp_path / "figures" / "mine.png"
    other.write_bytes(b"mine")
    make_report(sweep, tmp_path)
    assert not old.exists()
    assert other.exists()


def test_nothing_is_written_where_there_is_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="no runs in"):
        make_report(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_extra_is_named_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str, extra: str) -> None:
        raise MissingExtraError(f"{module} needs {extra}")

    monkeypatch.setattr(make_module, "require", missing)
    with pytest.raises(MissingExtraError, match="altair needs report"):
        make_report(tmp_path / "none")


def test_the_table_stars_what_the_cards_recommend(tmp_path: Path) -> None:
    # By medians ddp is ahead; round by round, and so in the card, deepspeed is.
    for repeat, (ddp_s, deepspeed_s) in enumerate(((10.0, 9.9), (11.0, 11.2), (12.0, 11.4))):
        write_run(tmp_path, "ddp", 1, repeat, ddp_s)
        write_run(tmp_path, "deepspeed", 1, repeat, deepspeed_s)
    report = make_report(tmp_path)
    text = report.html.read_text(encoding="utf-8")
    rows = [row for row in text.split("<tr") if 'data-label="Time per epoch (s)" class="best"' in row]
    assert [re.search(r'scope="row">(\w+)<', row)[1] for row in rows] == ["deepspeed"]
    assert report.recommendation[0].startswith("Shortest time: deepspeed on 1 worker")
