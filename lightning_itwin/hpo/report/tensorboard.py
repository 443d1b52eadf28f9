"""A study in TensorBoard: every configuration is a line of the hparams tab, with its learning curve.

::

    report/                  which hyperparameters and metrics the hparams tab shows
    report/trials/<number>/  one configuration
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lightning_itwin.hpo.report.configurations import Configuration
from lightning_itwin.hpo.report.picture import StudyPicture
from lightning_itwin.optional import require
from lightning_itwin.reports.tensorboard_events import experiment, own_folder, scalar, session, write_events


def write_tensorboard(folder: Path, shown: StudyPicture) -> Path:
    """Write the study below ``folder``, in place of what an earlier report wrote there.

    Args:
        folder: the folder for ``tensorboard --logdir``.
        shown: the study.

    Returns:
        the folder of the study's own run.

    Raises:
        MissingExtraError: tensorboard is not installed.
    """
    require("tensorboard", extra="report")
    report = own_folder(folder)
    metric = shown.study.plan.metric
    titles = {
        "best": f"best {metric}",
        "epochs": "epochs trained",
        "gain_percent": "better than baseline (%)",
    }
    told = {one.number: _parameters(one, shown) for one in shown.configurations}
    write_events(report, [(experiment(list(told.values()), titles), 0)])
    for one in shown.configurations:
        write_events(report / "trials" / f"{one.number:04d}", _session(one, told[one.number], shown))
    return report


def _session(
    one: Configuration, parameters: dict[str, str | float], shown: StudyPicture
) -> Iterable[tuple[Any, int]]:
    started = one.rows[0].started_unix_s or 0.0
    ended = one.rows[-1].ended_unix_s or started
    yield from session(parameters, one.state not in ("failed", "diverged", "lost"), started, ended)
    if one.value is not None:
        yield scalar("best", one.value), 0
        baseline = shown.summary.baseline
        gain = shown.study.improvement_percent(one.value, baseline.value if baseline else None)
        if gain is not None:
            yield scalar("gain_percent", gain), 0
    yield scalar("epochs", float(one.epochs)), 0
    for epoch, value in one.curve.items():
        if math.isfinite(value):
            yield scalar(shown.study.plan.metric, value), epoch


def _parameters(one: Configuration, shown: StudyPicture) -> dict[str, str | float]:
    found: dict[str, str | float] = {}
    for axis in shown.axes:
        if axis.key in one.params:
            value = axis.shown(one.params[axis.key])
            found[axis.key] = value if axis.choices else float(value)
    return {**found, "state": one.state, "baseline": "yes" if one.baseline else "no"}
