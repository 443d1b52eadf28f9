from __future__ import annotations

import csv
import dataclasses
import json
import re
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import optuna
import pytest

pytest.importorskip("altair")
pytest.importorskip("vl_convert")
pytest.importorskip("tensorboard")

from lightning_itwin.hpo.report import StudyReport, make_report
from lightning_itwin.hpo.report.__main__ import main
from lightning_itwin.hpo.rows import settle
from lightning_itwin.hpo.storage import open_storage, storage_url
from lightning_itwin.hpo.study_reading import record
from lightning_itwin.hpo.trial_folder import TrialFolder, TrialResult
from lightning_itwin.records.manifest import write_json
from tests.hpo.report.synthetic import plan, row, simulate, study


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> StudyReport:
    folder = tmp_path_factory.mktemp("study")
    told = {"winner": [0.004, 0.0041, 0.0039], "baseline": [0.012, 0.0121, 0.0119], "failed": 0}
    (folder / "repeats.json").write_text(json.dumps(told))
    (folder / "best.yaml").write_text("model: 1 # </script>\n")
    return make_report(simulate(folder, plan(16)))


def text_of(report: StudyReport) -> str:
    return report.html.read_text(encoding="utf-8")


def test_the_page_says_what_was_found(made: StudyReport) -> None:
    text, found = text_of(made), made.picture.summary
    assert found.best is not None
    assert f"The best val_loss is {found.best.value:.4g}" in text
    assert "With 3 other seeds it is 66.7 % below" in text
    assert f"{found.epochs:,}" in text
    assert text.count('class="chart"') == len([one for one in made.picture.drawings if one.chart])
    assert 'download="best.yaml"' in text
    assert 'download="trials.csv"' in text
    assert str(made.html.parent) not in text, "a path of this machine is told"
    assert "journal:///somewhere" not in text


def test_the_table_has_the_best_ten_and_the_baseline(made: StudyReport) -> None:
    table = re.search(r'<h2 id="best">.*?</section>', text_of(made), flags=re.DOTALL)
    assert table
    names = re.findall(r'<th scope="row">(.*?)</th>', table.group())
    best = [one.number for one in made.picture.order[:10]]
    assert [int(re.findall(r"configuration (\d+)", name)[0]) for name in names[:10]] == best
    assert sum("(baseline)" in name for name in names) == 1


def test_figures_are_pictures_too(made: StudyReport) -> None:
    names = {path.name for path in made.figures}
    assert {"history.png", "history.svg", "learning_curves.png", "contour.svg"} <= names
    for path in made.figures:
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG")
        else:
            xml.etree.ElementTree.fromstring(path.read_text(encoding="utf-8"))


def test_tensorboard_has_a_line_for_every_configuration(made: StudyReport) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read(folder: Path) -> Any:
        return EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()

    best = made.picture.summary.best
    assert best is not None
    sessions = sorted(path.name for path in (made.tensorboard / "trials").iterdir())
    assert sessions == [f"{one.number:04d}" for one in made.picture.configurations]
    events = read(made.tensorboard / "trials" / f"{best.number:04d}")
    (told,) = events.Scalars("best")
    assert told.value == pytest.approx(best.value)
    assert [event.step for event in events.Scalars("val_loss")] == list(best.curve)
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"model.learning_rate" in content
    whole = read(made.tensorboard).SummaryMetadata("_hparams_/experiment").plugin_data.content
    assert b"best val_loss" in whole


def test_a_study_that_runs_says_so(tmp_path: Path) -> None:
    report = make_report(simulate(tmp_path, plan(16), until_s=60.0))
    assert report.picture.summary.running
    text = text_of(report)
    assert "still running" in text
    assert "So far the best val_loss is" in text


def test_a_study_of_failures_has_its_reasons(tmp_path: Path) -> None:
    rows = [row(number, {}, "failed", reason=f"boom <{number}>", epochs=0) for number in range(12)]
    text = text_of(make_report(study(*rows, folder=tmp_path)))
    assert "No configuration gave a value of loss." in text
    assert "boom &lt;0&gt;" in text
    assert "2 more" in text
    assert "trials/0003/world.log" in text


def test_one_trial_is_a_study(tmp_path: Path) -> None:
    text = text_of(make_report(study(row(0, {1: 0.5, 2: 0.4}), folder=tmp_path)))
    assert "the baseline&#x27;s own" in text
    assert "10 configurations with a value are needed" in text


def test_higher_values_may_be_better(tmp_path: Path) -> None:
    rows = [
        row(number, {1: 0.5, 2: 0.51 + 0.01 * number}, value=0.51 + 0.01 * number, best_epoch=2)
        for number in range(20)
    ]
    report = make_report(study(*rows, folder=tmp_path, direction="maximize"))
    assert report.picture.order[0].value == 0.7
    assert "above the baseline" in text_of(report)


def test_a_folder_is_read_with_its_storage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = dataclasses.replace(plan(4), storage=None)
    write_json(tmp_path / "study.json", dataclasses.asdict(asked))
    storage = open_storage(storage_url(None, tmp_path))
    opened = optuna.create_study(study_name=tmp_path.name, storage=storage)
    opened.set_user_attr("max_epochs", 2)
    marks = {"configuration": 0, "baseline": True, "until_epoch": 2}
    params = {"model.learning_rate": 0.01, "model.dropout": 0.1, "model.hidden_size": 8}
    opened.enqueue_trial(params, user_attrs=marks)
    distributions = {
        "model.learning_rate": optuna.distributions.FloatDistribution(1e-4, 0.1, log=True),
        "model.dropout": optuna.distributions.FloatDistribution(0, 0.5),
        "model.hidden_size": optuna.distributions.IntDistribution(4, 64),
    }
    trial = opened.ask(distributions)
    folder = TrialFolder(tmp_path / "trials" / "0000")
    folder.clear()
    for epoch, value in ((1, 0.5), (2, 0.25)):
        folder.report(epoch, value)
    folder.write_result(TrialResult(state="complete", value=0.25, best_epoch=2, epochs=2))
    settle(opened, trial.number, folder)
    assert main([str(tmp_path)]) == 0
    assert str(tmp_path / "report.html") in capsys.readouterr().out
    report = make_report(tmp_path)
    best = report.picture.summary.best
    assert best is not None
    assert (best.value, best.best_epoch) == (0.25, 2)
    known = record(opened, asked, tmp_path, "url")
    assert make_report(known).picture.summary == report.picture.summary


def test_the_command_says_where_there_is_no_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "holds no study" in capsys.readouterr().err


def test_the_downloaded_csv_is_the_study(made: StudyReport) -> None:
    import base64

    found = re.search(r'download="trials.csv" href="data:text/csv;charset=utf-8;base64,(.*?)"', text_of(made))
    assert found
    rows = list(csv.DictReader(base64.b64decode(found.group(1)).decode().splitlines()))
    assert [int(one["number"]) for one in rows] == [one.number for one in made.picture.study.rows]
