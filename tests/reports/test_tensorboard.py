from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorboard")
pytest.importorskip("altair")
pytest.importorskip("vl_convert")

from lightning_itwin.records.tags import LAYOUT
from lightning_itwin.reports.figures import draw
from lightning_itwin.reports.recommendation import recommend
from lightning_itwin.reports.scalability import read_scalability
from lightning_itwin.reports.tensorboard import write_tensorboard
from tests.reports.synthetic import write_failure, write_run


def write(root: Path, folder: Path, *, drawn: bool = False) -> Path:
    study = read_scalability(root)
    return write_tensorboard(folder, study, recommend(study), draw(study) if drawn else ())


def read(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    return events.Reload()


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    for workers, time_s in ((1, 12.0), (2, 8.0)):
        write_run(tmp_path, "ddp", workers, 0, time_s)
    write_failure(tmp_path, "horovod", 2, 0)
    return tmp_path


def test_the_report_shows_figures_text_and_the_layout(sweep: Path) -> None:
    from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

    events = read(write(sweep, sweep / "tensorboard", drawn=True))
    assert "report/speedup" in events.Tags()["images"]
    (image,) = events.Images("report/speedup")
    assert image.encoded_image_string.startswith(b"\x89PNG")
    assert image.width > 2 * 500
    (layout,) = events.Tensors("custom_scalars__config__")
    told = Layout.FromString(layout.tensor_proto.string_val[0])
    assert [category.title for category in told.category] == list(LAYOUT)
    (text,) = events.Tensors("report/text_summary")
    assert b"Shortest time: ddp on 2 workers" in text.tensor_proto.string_val[0]


def test_every_number_is_there_by_workers(sweep: Path) -> None:
    events = read(write(sweep, sweep / "tensorboard") / "strategies" / "ddp")
    assert [(event.step, event.value) for event in events.Scalars("scaling/speedup")] == [(1, 1.0), (2, 1.5)]
    assert "scaling/gpu_energy_wh" not in events.Tags()["scalars"]


def test_every_run_is_a_session_with_parameters_and_metrics(sweep: Path) -> None:
    from tensorboard.plugins.hparams import metadata

    report = write(sweep, sweep / "tensorboard")
    events = read(report / "runs" / "ddp-w2-r0")
    start = metadata.parse_session_start_info_plugin_data(
        events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    )
    assert start.hparams["strategy"].string_value == "ddp"
    assert start.hparams["workers"].number_value == 2
    assert start.hparams["batch_size"].number_value == 32
    assert start.hparams["precision"].string_value == "32-true"
    (efficiency,) = events.Scalars("run/efficiency")
    assert efficiency.value == pytest.approx(0.75)
    failed = metadata.parse_session_end_info_plugin_data(
        read(report / "runs" / "horovod-w2-r0")
        .SummaryMetadata(metadata.SESSION_END_INFO_TAG)
        .plugin_data.content
    )
    from tensorboard.plugins.hparams import api_pb2

    assert failed.status == api_pb2.STATUS_FAILURE
    experiment = metadata.parse_experiment_plugin_data(
        read(report).SummaryMetadata(metadata.EXPERIMENT_TAG).plugin_data.content
    )
    assert {info.name.tag for info in experiment.metric_infos} >= {"run/epoch_time_s", "run/energy_kwh"}
    differing = {info.name for info in experiment.hparam_infos if info.differs}
    assert {"strategy", "workers"} <= differing
    assert not {"batch_size", "precision"} & differing


def test_a_report_made_again_replaces_its_own_run_and_nothing_else(sweep: Path) -> None:
    folder = sweep / "tensorboard"
    training = folder / "ddp-w1-r0" / "events.out.tfevents.1"
    training.parent.mkdir(parents=True)
    training.write_bytes(b"of a training")
    first = write(sweep, folder)
    before = sorted(path.parent for path in folder.rglob("events*"))
    assert write(sweep, folder) == first
    assert sorted(path.parent for path in folder.rglob("events*")) == before
    assert training.read_bytes() == b"of a training"


def test_a_training_that_is_named_report_is_left_alone(sweep: Path) -> None:
    own = sweep / "tensorboard" / "report" / "events.out.tfevents.1"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"of a user")
    for _ in range(2):
        assert write(sweep, sweep / "tensorboard").name == "report-2"
    assert own.read_bytes() == b"of a user"
