"""All that is shown of a study: its rows read once, what was found of them, and the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lightning_itwin.hpo.report.configurations import Configuration, configurations, ranked
from lightning_itwin.hpo.report.curve_figure import learning_curves
from lightning_itwin.hpo.report.drawing import Drawing, ValueAxis, value_axis
from lightning_itwin.hpo.report.energy import RowEnergy
from lightning_itwin.hpo.report.energy_figures import pareto_figure
from lightning_itwin.hpo.report.history import EpochTimes, History, history
from lightning_itwin.hpo.report.history_figures import history_figures
from lightning_itwin.hpo.report.importance import Importance, importances
from lightning_itwin.hpo.report.importance_figure import importance_figure
from lightning_itwin.hpo.report.parallel_figure import parallel_figure
from lightning_itwin.hpo.report.parameters import Parameter, parameters
from lightning_itwin.hpo.report.pareto import Front, candidates, front
from lightning_itwin.hpo.report.slots import work
from lightning_itwin.hpo.report.summary import Summary, summarise
from lightning_itwin.hpo.report.timeline_figure import timeline
from lightning_itwin.hpo.report.value_figures import contour_figure, slice_figures
from lightning_itwin.hpo.study_reading import StudyRecord


@dataclass(frozen=True, kw_only=True)
class StudyPicture:
    """A study and all that was found of it.

    Args:
        study: the rows.
        configurations: what they join to.
        order: those that have a value, the best first.
        axes: the hyperparameters, the most important first.
        importance: of each; empty where there are too few configurations.
        summary: the study in numbers.
        course: its history.
        front: of value and energy; None where no energy was measured.
        drawings: the figures.
    """

    study: StudyRecord
    configurations: tuple[Configuration, ...]
    order: tuple[Configuration, ...]
    axes: tuple[Parameter, ...]
    importance: tuple[Importance, ...]
    summary: Summary
    course: History
    front: Front | None
    drawings: tuple[Drawing, ...]


def picture(
    study: StudyRecord,
    *,
    repeats: tuple[Sequence[float], Sequence[float]] = ((), ()),
    times: EpochTimes | None = None,
    energy: RowEnergy | None = None,
    now_unix_s: float,
) -> StudyPicture:
    """Find all that is shown of a study; a function of its arguments alone.

    Args:
        study: the rows.
        repeats: values of the best and of the baseline with other seeds.
        times: when each epoch was reported, by row.
        energy: in kWh by row and epoch.
        now_unix_s: end of the rows that still run.
    """
    found = configurations(study)
    order = ranked(found, study.sign)
    axes = parameters(study, found)
    importance = importances(found, axes, study.sign)
    if importance:
        axes = tuple(one.parameter for one in importance)
    summary = summarise(study, found, repeats)
    course = history(study, times, now_unix_s)
    pareto = front(candidates(found, energy or {}, study.sign), study.sign)
    baseline = summary.baseline
    kept = [one.value for one in (summary.best, baseline) if one is not None and one.value is not None]
    bests = [one.value for one in order if one.value is not None]
    ends = value_axis(study.plan.metric, bests, kept, study.sign)
    curves = value_axis(
        study.plan.metric, [value for one in found for value in one.curve.values()], kept, study.sign
    )
    drawn = [
        *history_figures(study, found, course, ends, baseline),
        learning_curves(study, found, curves, summary.best, baseline, axes),
        timeline(study, work(study, now_unix_s)),
        importance_figure(importance, len(order)),
        parallel_figure(order, axes, ends),
        contour_figure(order, axes, ends, study.sign),
        *slice_figures(found, axes, ends, summary.best),
    ]
    if pareto is not None:
        drawn.append(pareto_figure(pareto, _pareto_axis(study, pareto), _number(baseline)))
    return StudyPicture(
        study=study,
        configurations=found,
        order=tuple(order),
        axes=axes,
        importance=importance,
        summary=summary,
        course=course,
        front=pareto,
        drawings=tuple(drawing for drawing in drawn if drawing is not None),
    )


def _pareto_axis(study: StudyRecord, found: Front) -> ValueAxis:
    values = [one.value for one in found.candidates]
    return value_axis(study.plan.metric, values, [one.value for one in found.members], study.sign)


def _number(one: Configuration | None) -> int | None:
    return None if one is None else one.number
