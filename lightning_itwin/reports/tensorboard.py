"""The report in TensorBoard: figures, text, numbers by workers, hparams of every run, and the charts' layout.

Everything lies in one run folder, ``report``, which is written anew each time::

    report/                        figures, recommendation, layout of the custom scalars
    report/strategies/<strategy>/  each metric; the step is the number of workers
    report/runs/<run>/             hparams of one run and its metrics
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lightning_itwin.optional import require
from lightning_itwin.records.tags import LAYOUT
from lightning_itwin.reports.cells import Cell
from lightning_itwin.reports.figures import Figure
from lightning_itwin.reports.metrics import METRICS, Metric
from lightning_itwin.reports.recommendation import Recommendation
from lightning_itwin.reports.run_values import RunValues
from lightning_itwin.reports.scalability import Scalability
from lightning_itwin.reports.table import measured

REPORT = "report"
_MARK = "written-by-lightning-itwin.txt"

_PARAMETERS = (
    "workload",
    "accelerator",
    "device_name",
    "precision",
    "batch_size",
    "accumulate_grad_batches",
    "threads_per_worker",
    "dataset_samples",
    "parameters",
    "seed",
    "scaling",
)
_RUN_METRICS = {
    "run/epoch_time_s": "time per epoch (s)",
    "run/samples_per_s": "samples/s",
    "run/efficiency": "parallel efficiency",
    "run/communication_overhead_percent": "communication overhead (%)",
    "run/gpu_utilization_percent": "GPU utilisation (%)",
    "run/gpu_energy_wh": "GPU energy (Wh)",
    "run/energy_kwh": "energy (kWh)",
    "run/emissions_kg": "carbon (kg CO2eq)",
}


def write_tensorboard(
    folder: Path,
    study: Scalability,
    recommendations: Sequence[Recommendation],
    figures: Sequence[Figure],
) -> Path:
    """Write the report below ``folder``, in place of what an earlier report wrote there.

    Args:
        folder: the folder for ``tensorboard --logdir``.
        study: what was measured.
        recommendations: what was recommended.
        figures: one a metric.

    Returns:
        the folder of the report's own run.

    Raises:
        MissingExtraError: tensorboard is not installed.
    """
    require("tensorboard", extra="report")
    report = _own_folder(folder)
    if report.exists():
        shutil.rmtree(report)
    report.mkdir(parents=True)
    (report / _MARK).write_text("Every report removes this folder and writes it anew.\n", encoding="utf-8")
    told = (_layout(), _text(study, recommendations), _experiment(study))
    _write(report, [*_images(figures), *((summary, 0) for summary in told)])
    for strategy in dict.fromkeys(cell.row.strategy for cell in study.cells):
        cells = [cell for cell in study.cells if cell.row.strategy == strategy]
        _write(report / "strategies" / _folder(strategy), _scaling_scalars(cells))
    for run in study.runs:
        _write(report / "runs" / _folder(run.name), _session(run, study))
    return report


def _own_folder(folder: Path) -> Path:
    """Give the folder of the report's run: one that is not there yet, or that an earlier report wrote."""
    number = 1
    while True:
        report = folder / (REPORT if number == 1 else f"{REPORT}-{number}")
        if not report.exists() or (report / _MARK).exists():
            return report
        number += 1


def _images(figures: Iterable[Figure]) -> Iterable[tuple[Any, int]]:
    from tensorboard.compat.proto.summary_pb2 import Summary

    for figure in figures:
        if figure.specification is not None:
            image = Summary.Image(encoded_image_string=figure.png, colorspace=4)
            image.width, image.height = _png_size(figure.png)
            yield Summary(value=[Summary.Value(tag=f"report/{figure.metric.name}", image=image)]), 0


def _layout() -> Any:
    from tensorboard.plugins.custom_scalar import layout_pb2

    categories = [
        layout_pb2.Category(
            title=category,
            chart=[
                layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=tags))
                for title, (_, tags) in charts.items()
            ],
        )
        for category, charts in LAYOUT.items()
    ]
    layout = layout_pb2.Layout(category=categories).SerializeToString()
    return _told("custom_scalars__config__", layout, "custom_scalars")


def _text(study: Scalability, recommendations: Iterable[Recommendation]) -> Any:
    head = ("strategy", "workers", "repeats", *(metric.axis for metric in METRICS), "status")
    lines = [f"* {found.line}" for found in recommendations]
    lines += ["", " | ".join(head), " | ".join("---" for _ in head)]
    for cell in study.cells:
        values = (measured(_shown(metric, cell), missing=study.missing(gpu=metric.gpu)) for metric in METRICS)
        row = (cell.row.strategy, str(cell.row.workers), str(cell.row.repeats), *values, cell.row.status)
        lines.append(" | ".join(row))
    return _told("report/text_summary", "\n".join(lines).encode(), "text")


def _scaling_scalars(cells: Iterable[Cell]) -> Iterable[tuple[Any, int]]:
    for cell in cells:
        for metric in METRICS:
            value = metric.cell(cell)
            if value is not None:
                yield _scalar(f"scaling/{metric.name}", value), cell.row.workers


def _experiment(study: Scalability) -> Any:
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

    kinds = {str: api_pb2.DATA_TYPE_STRING, float: api_pb2.DATA_TYPE_FLOAT64, bool: api_pb2.DATA_TYPE_BOOL}
    parameters: dict[str, set[str | float]] = {}
    for run in study.runs:
        for name, value in _parameters(run).items():
            parameters.setdefault(name, set()).add(value)
    experiment = api_pb2.Experiment(
        # TensorBoard shows what differs first, and finds out itself only where there is no experiment.
        hparam_infos=[
            api_pb2.HParamInfo(name=name, type=kinds[type(next(iter(values)))], differs=len(values) > 1)
            for name, values in parameters.items()
        ],
        metric_infos=[
            api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=title)
            for tag, title in _RUN_METRICS.items()
        ],
    )
    return _hparams("experiment", plugin_data_pb2.HParamsPluginData(experiment=experiment))


def _session(run: RunValues, study: Scalability) -> Iterable[tuple[Any, int]]:
    from google.protobuf.struct_pb2 import Value
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

    start = plugin_data_pb2.SessionStartInfo(
        start_time_secs=run.manifest.started_unix_s if run.manifest else 0.0
    )
    for name, value in _parameters(run).items():
        told = Value(string_value=value) if isinstance(value, str) else Value(number_value=value)
        start.hparams[name].CopyFrom(told)
    end = plugin_data_pb2.SessionEndInfo(
        status=api_pb2.STATUS_SUCCESS if run.ok else api_pb2.STATUS_FAILURE,
        end_time_secs=start.start_time_secs + (run.wall_s or 0.0),
    )
    yield (
        _hparams("session_start_info", plugin_data_pb2.HParamsPluginData(session_start_info=start)),
        0,
    )
    yield _hparams("session_end_info", plugin_data_pb2.HParamsPluginData(session_end_info=end)), 0
    efficiencies = {(cell.row.strategy, cell.row.workers): cell.row.efficiency for cell in study.cells}
    for tag in _RUN_METRICS:
        name = tag.removeprefix("run/")
        own = efficiencies[run.strategy, run.workers] if name == "efficiency" else getattr(run, name)
        if run.ok and own is not None:
            yield _scalar(tag, own), 0


def _parameters(run: RunValues) -> dict[str, str | float]:
    found: dict[str, str | float] = {
        "strategy": run.strategy,
        "workers": float(run.workers),
        "status": run.status,
    }
    if run.repeat is not None:
        found["repeat"] = float(run.repeat)
    for name in _PARAMETERS if run.manifest else ():
        value = getattr(run.manifest, name)
        if value is not None:
            found[name] = value if isinstance(value, str) else float(value)
    return found


def _shown(metric: Metric, cell: Cell) -> float | None:
    value = metric.cell(cell)
    return None if value is None else value * metric.factor


def _scalar(tag: str, value: float) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(value=[Summary.Value(tag=tag, simple_value=value)])


def _told(tag: str, text: bytes, plugin: str) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

    one = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    return Summary(
        value=[
            Summary.Value(
                tag=tag,
                metadata=SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin)),
                tensor=TensorProto(dtype="DT_STRING", string_val=[text], tensor_shape=one),
            )
        ]
    )


def _hparams(name: str, content: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata

    data = SummaryMetadata.PluginData(plugin_name="hparams", content=content.SerializeToString())
    metadata = SummaryMetadata(plugin_data=data)
    return Summary(value=[Summary.Value(tag=f"_hparams_/{name}", metadata=metadata)])


def _write(folder: Path, summaries: Iterable[tuple[Any, int]]) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    for summary, step in summaries:
        writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
    writer.close()


def _png_size(png: bytes) -> tuple[int, int]:
    """Read width and height from a PNG's header (ISO/IEC 15948, 11.2.2)."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def _folder(name: str) -> str:
    """Give a name of a run that is a folder below ours, whatever the name holds."""
    return "-".join(part for part in Path(name).parts if part not in ("..", "/", "records")) or "run"
