"""Makes ``report.html``, ``figures/`` and ``tensorboard/`` of a study, from what its folder holds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from lightning_itwin.hpo.best import BEST_CONFIG
from lightning_itwin.hpo.report.energy import read_energy
from lightning_itwin.hpo.report.history import read_epoch_times
from lightning_itwin.hpo.report.page import page
from lightning_itwin.hpo.report.picture import StudyPicture, picture
from lightning_itwin.hpo.report.tensorboard import write_tensorboard
from lightning_itwin.hpo.study_reading import StudyRecord, read_study
from lightning_itwin.hpo.trials_file import TRIALS, trials_csv
from lightning_itwin.optional import require
from lightning_itwin.records.manifest import write_text
from lightning_itwin.reports.vega import Pictures, render

REPORT = "report.html"
REPEATS = "repeats.json"
_WIDTHS = {True: 1000, False: 560}
_MANY = 300  # rows; beyond, pictures for paper would be most of the page


@dataclass(frozen=True, kw_only=True)
class StudyReport:
    """A report that was made.

    Args:
        picture: what it shows.
        html: the page.
        figures: the figures' files, PNG and SVG.
        tensorboard: the folder for ``tensorboard --logdir``.
    """

    picture: StudyPicture
    html: Path
    figures: tuple[Path, ...]
    tensorboard: Path


def make_report(study: StudyRecord | Path | str, output: Path | None = None) -> StudyReport:
    """Make the report of a study, while it runs or afterwards.

    The study's storage is read once, or not at all where its record is given; all else comes from its folder.

    Args:
        study: its folder, or its record.
        output: where the report goes (default: the study's folder).

    Raises:
        StudyError: the folder holds no study.
        MissingExtraError: Optuna, altair, vl-convert or tensorboard is not installed.
    """
    for module in ("altair", "vl_convert", "tensorboard"):
        require(module, extra="report")
    record = study if isinstance(study, StudyRecord) else read_study(study)
    folder, output = record.folder, output or record.folder
    shown = picture(
        record,
        repeats=_repeats(folder),
        times=read_epoch_times(folder),
        energy=read_energy(folder),
        now_unix_s=time.time(),
    )
    scale = 2 if len(record.rows) <= _MANY else 1
    drawn = {
        drawing.name: render(drawing.chart, drawing.title, drawing.height, _WIDTHS[drawing.wide], scale)
        for drawing in shown.drawings
        if drawing.chart is not None
    }
    files = {TRIALS: trials_csv(record)}
    best = folder / BEST_CONFIG
    if best.exists():
        files = {BEST_CONFIG: best.read_text(encoding="utf-8"), **files}
    output.mkdir(parents=True, exist_ok=True)
    figures = _write_figures(output / "figures", drawn)
    tensorboard = write_tensorboard(output / "tensorboard", shown)
    write_text(output / REPORT, page(shown, drawn, files))
    return StudyReport(picture=shown, html=output / REPORT, figures=figures, tensorboard=tensorboard)


def _write_figures(folder: Path, drawn: dict[str, Pictures]) -> tuple[Path, ...]:
    folder.mkdir(exist_ok=True)
    found = []
    for name, pictures in drawn.items():
        for kind, content in (("png", pictures.png), ("svg", pictures.svg.encode())):
            path = folder / f"{name}.{kind}"
            path.write_bytes(content)
            found.append(path)
    return tuple(found)


def _repeats(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Read the values with other seeds; none where they were not run."""
    from lightning_itwin.hpo.repeats import read_repeats

    try:
        found = read_repeats((folder / REPEATS).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError):
        return (), ()
    return found.winner, found.baseline
