"""Makes a report: results, summary, figures, page and TensorBoard, from a folder of records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_itwin.optional import require
from lightning_itwin.reports import files
from lightning_itwin.reports.cells import ResultRow
from lightning_itwin.reports.figures import Figure, draw
from lightning_itwin.reports.forecast import forecast as make_forecast
from lightning_itwin.reports.forecast_figure import ShownForecast, draw_forecast
from lightning_itwin.reports.forecast_rows import Forecast, forecast_lines
from lightning_itwin.reports.html import page
from lightning_itwin.reports.metrics import METRICS
from lightning_itwin.reports.recommendation import Recommendation, recommend
from lightning_itwin.reports.scalability import Scalability, read_scalability
from lightning_itwin.reports.table import table
from lightning_itwin.reports.tensorboard import write_tensorboard

_KINDS = ("png", "svg")
_FORECAST = "forecast"


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report that was made: what it says and where it lies.

    Args:
        rows: the rows of the results.
        recommendation: one line a goal.
        forecast: what unmeasured numbers of workers will give.
        warnings: what the reader should know.
        html, results_json, results_csv, summary_json, forecast_json: the files.
        figures: the figures' files, PNG and SVG.
        tensorboard: the folder for ``tensorboard --logdir``.
        missing_gpu: what is shown for a GPU's metric that was not measured.
    """

    rows: tuple[ResultRow, ...]
    recommendation: tuple[str, ...]
    forecast: Forecast
    warnings: tuple[str, ...]
    html: Path
    results_json: Path
    results_csv: Path
    summary_json: Path
    forecast_json: Path
    figures: tuple[Path, ...]
    tensorboard: Path
    missing_gpu: str

    @property
    def table(self) -> str:
        """The rows as text for a terminal."""
        return table(self.rows, self.missing_gpu)

    @property
    def forecast_lines(self) -> tuple[str, ...]:
        """The forecast as lines for a terminal."""
        return forecast_lines(self.forecast)


def make_report(
    folder: Path,
    output: Path | None = None,
    *,
    allow_mixed: Iterable[str] = (),
    title: str | None = None,
    forecast: Sequence[int] | None = None,
    worker_hour_price: float | None = None,
) -> Report:
    """Make the report of every run at or below a folder.

    Args:
        folder: what ``python -m lightning_itwin.bench --output`` left, or any folder with trainings below it.
        output: where the report goes (default: ``folder``).
        allow_mixed: names of manifest fields in which the runs may differ.
        title: heading of the page (default: the workload's name).
        forecast: numbers of workers to forecast (default: twice and four times the largest measured one).
        worker_hour_price: price of an hour of a worker, in any currency, for the forecast's cost.

    Raises:
        ReportError: there is no run, no number, the runs cannot be compared, or a number of workers lies too
            far beyond what was measured for a forecast.
        MissingExtraError: altair, vl-convert or tensorboard is not installed.
    """
    for module in ("altair", "vl_convert", "tensorboard"):
        require(module, extra="report")
    folder = Path(folder)
    output = Path(output) if output is not None else folder
    study = read_scalability(folder, allow_mixed)
    found = make_forecast(study, forecast, worker_hour_price)
    return _write(study, recommend(study), found, output, title)


def _write(
    study: Scalability,
    recommendations: tuple[Recommendation, ...],
    found: Forecast,
    output: Path,
    title: str | None,
) -> Report:
    figures = draw(study)
    shown = ShownForecast(found=found, pictures=draw_forecast(study, found))
    summary = files.summary(study, recommendations, found)
    texts = {
        "results.csv": files.results_csv(study.rows),
        "results.json": files.results_json(study.rows),
        "summary.json": json.dumps(summary, indent=1, allow_nan=False) + "\n",
        "forecast.json": files.forecast_json(found),
    }
    sweep = _sweep(study.folder)
    text = page(study, recommendations, figures, texts, summary["environment"], sweep, title, shown)
    pictures = _pictures(figures, shown, output / "figures")
    output.mkdir(parents=True, exist_ok=True)
    made = Report(
        rows=study.rows,
        recommendation=tuple(found.line for found in recommendations),
        forecast=found,
        warnings=study.warnings,
        html=output / "report.html",
        results_json=output / "results.json",
        results_csv=output / "results.csv",
        summary_json=output / "summary.json",
        forecast_json=output / "forecast.json",
        figures=tuple(pictures),
        tensorboard=output / "tensorboard",
        missing_gpu=study.missing(gpu=True),
    )
    for name, content in texts.items():
        (output / name).write_text(content, encoding="utf-8")
    (output / "figures").mkdir(exist_ok=True)
    for name in (*(metric.name for metric in METRICS), _FORECAST):
        for kind in _KINDS:
            (output / "figures" / f"{name}.{kind}").unlink(missing_ok=True)
    for path, picture in pictures.items():
        path.write_bytes(picture)
    made.html.write_text(text, encoding="utf-8")
    write_tensorboard(made.tensorboard, study, recommendations, figures, shown)
    return made


def _pictures(figures: Iterable[Figure], shown: ShownForecast, folder: Path) -> dict[Path, bytes]:
    drawn = {
        figure.metric.name: (figure.png, figure.svg) for figure in figures if figure.specification is not None
    }
    if shown.pictures is not None:
        drawn[_FORECAST] = (shown.pictures.png, shown.pictures.svg)
    found = {}
    for name, (png, svg) in drawn.items():
        for kind, picture in zip(_KINDS, (png, svg.encode())):
            found[folder / f"{name}.{kind}"] = picture
    return found


def _sweep(folder: Path) -> dict[str, Any]:
    """Read what a sweep says that it ran; what cannot be read is left out, as it decides nothing."""
    try:
        plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return plan if isinstance(plan, dict) else {}
