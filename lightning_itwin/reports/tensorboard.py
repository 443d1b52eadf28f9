"""The report in TensorBoard: figures, text, numbers by workers, hparams of every run, and the charts' layout.

Everything lies in one run folder, ``report``, which is written anew each time::

    report/                        figures, recommendation, layout of the custom scalars
    report/strategies/<strategy>/  each metric, and its forecast; the step is the number of workers
    report/runs/<run>/             hparams of one run and its metrics
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lightning_itwin.optional import require
from lightning_itwin.records.tags import LAYOUT
from lightning_itwin.reports.cells import Cell
from lightning_itwin.reports.figures import Figure
from lightning_itwin.reports.forecast_figure import ShownForecast
from lightning_itwin.reports.forecast_rows import Forecast, forecast_lines
from lightning_itwin.reports.metrics import METRICS, Metric
from lightning_itwin.reports.recommendation import Recommendation
from lightning_itwin.reports.run_values import RunValues
from lightning_itwin.reports.scalability import Scalability
from lightning_itwin.reports.table import measured
from lightning_itwin.reports.tensorboard_events import (
    experiment,
    folder_name,
    own_folder,
    png_size,
    scalar,
    session,
    text_tensor,
    write_events,
)

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
    forecast: ShownForecast | None = None,
) -> Path:
    """Write the report below ``folder``, in place of what an earlier report wrote there.

    Args:
        folder: the folder for ``tensorboard --logdir``.
        study: what was measured.
        recommendations: what was recommended.
        figures: one a metric.
        forecast: what unmeasured numbers of workers will give, with its figure.

    Returns:
        the folder of the report's own run.

    Raises:
        MissingExtraError: tensorboard is not installed.
    """
    require("tensorboard", extra="report")
    report = own_folder(folder)
    told: tuple[Any, ...] = (_layout(), _text(study, recommendations), _experiment(study))
    ahead = forecast.found if forecast is not None else Forecast()
    if forecast is not None and forecast.found.cells:
        told += (text_tensor("forecast/text_summary", _forecast_text(forecast.found).encode(), "text"),)
    write_events(report, [*_images(figures, forecast), *((summary, 0) for summary in told)])
    for strategy in dict.fromkeys(cell.row.strategy for cell in study.cells):
        cells = [cell for cell in study.cells if cell.row.strategy == strategy]
        scalars = [*_scaling_scalars(cells), *_forecast_scalars(ahead, strategy)]
        write_events(report / "strategies" / folder_name(strategy), scalars)
    for run in study.runs:
        write_events(report / "runs" / folder_name(run.name), _session(run, study))
    return report


def _images(figures: Iterable[Figure], forecast: ShownForecast | None) -> Iterable[tuple[Any, int]]:
    from tensorboard.compat.proto.summary_pb2 import Summary

    drawn = [(figure.metric.name, figure.png) for figure in figures if figure.specification is not None]
    if forecast is not None and forecast.pictures is not None:
        drawn.append(("forecast", forecast.pictures.png))
    for name, png in drawn:
        image = Summary.Image(encoded_image_string=png, colorspace=4)
        image.width, image.height = png_size(png)
        yield Summary(value=[Summary.Value(tag=f"report/{name}", image=image)]), 0


def _forecast_text(found: Forecast) -> str:
    return "\n".join(f"* {line}" for line in forecast_lines(found))


def _forecast_scalars(found: Forecast, strategy: str) -> Iterable[tuple[Any, int]]:
    for row in found.rows:
        if row.strategy == strategy:
            for name in ("epoch_time_s", "low_s", "high_s", "efficiency", "energy_kwh"):
                value = getattr(row, name)
                if value is not None:
                    yield scalar(f"forecast/{name}", value), row.workers


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
    return text_tensor("custom_scalars__config__", layout, "custom_scalars")


def _text(study: Scalability, recommendations: Iterable[Recommendation]) -> Any:
    head = ("strategy", "workers", "repeats", *(metric.axis for metric in METRICS), "status")
    lines = [f"* {found.line}" for found in recommendations]
    lines += ["", " | ".join(head), " | ".join("---" for _ in head)]
    for cell in study.cells:
        values = (measured(_shown(metric, cell), missing=study.missing(gpu=metric.gpu)) for metric in METRICS)
        row = (cell.row.strategy, str(cell.row.workers), str(cell.row.repeats), *values, cell.row.status)
        lines.append(" | ".join(row))
    return text_tensor("report/text_summary", "\n".join(lines).encode(), "text")


def _scaling_scalars(cells: Iterable[Cell]) -> Iterable[tuple[Any, int]]:
    for cell in cells:
        for metric in METRICS:
            value = metric.cell(cell)
            if value is not None:
                yield scalar(f"scaling/{metric.name}", value), cell.row.workers


def _experiment(study: Scalability) -> Any:
    return experiment([_parameters(run) for run in study.runs], _RUN_METRICS)


def _session(run: RunValues, study: Scalability) -> Iterable[tuple[Any, int]]:
    started = run.manifest.started_unix_s if run.manifest else 0.0
    yield from session(_parameters(run), run.ok, started, started + (run.wall_s or 0.0))
    efficiencies = {(cell.row.strategy, cell.row.workers): cell.row.efficiency for cell in study.cells}
    for tag in _RUN_METRICS:
        name = tag.removeprefix("run/")
        own = efficiencies[run.strategy, run.workers] if name == "efficiency" else getattr(run, name)
        if run.ok and own is not None:
            yield scalar(tag, own), 0


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
