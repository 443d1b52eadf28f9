"""The study in words: one sentence for all, a card for each question, notes on what to beware of."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_itwin.hpo.best import percent
from lightning_itwin.hpo.report.configurations import Configuration
from lightning_itwin.hpo.report.drawing import duration
from lightning_itwin.hpo.report.history import History
from lightning_itwin.hpo.report.parameters import Parameter, number
from lightning_itwin.hpo.report.summary import Gain, Summary
from lightning_itwin.hpo.search_space import EDGE
from lightning_itwin.hpo.study_reading import StudyRecord
from lightning_itwin.pages import Finding


def headline(study: StudyRecord, found: Summary) -> str:
    """Give the study in a sentence or two.

    Args:
        study: the rows.
        found: its numbers.
    """
    metric, direction = study.plan.metric, study.plan.direction
    if found.best is None or found.best.value is None:
        return (
            f"No value of {metric} yet." if found.running else f"No configuration gave a value of {metric}."
        )
    told = f"{'So far the' if found.running else 'The'} best {metric} is {number(found.best.value)}"
    if found.best.baseline:
        told += ": the baseline's own; no other configuration beat it"
    elif found.gain is not None and found.baseline is not None:
        told += f", {percent(found.gain.percent, direction)} the baseline's {number(found.baseline.value)}"
    if found.repeated is not None and not found.best.baseline:
        told += (
            f". With {found.repeated.repeats} other seeds it is {percent(found.repeated.percent, direction)}"
        )
        told += _bounds(found.repeated, direction)
    share = found.epochs_percent
    told += f". {found.configurations} configurations took {found.epochs:,} epochs"
    if share is not None and share < 100:
        told += f", {share:.0f} % of what whole trainings of all of them would have taken"
    return told + "."


def findings(study: StudyRecord, found: Summary, course: History) -> list[Finding]:
    """Give the cards.

    Args:
        study: the rows.
        found: its numbers.
        course: its history.
    """
    return [_best(study, found), _repeated(study, found), _cost(found, course), _fates(found)]


def notes(
    study: StudyRecord, found: Summary, axes: Sequence[Parameter], all_: Sequence[Configuration]
) -> list[str]:
    """Give what the reader should beware of.

    Args:
        study: the rows.
        found: its numbers.
        axes: the hyperparameters.
        all_: the configurations.
    """
    told = []
    if found.running:
        told.append("the study has not ended: this page shows what was known when it was made")
    best = found.best
    if best is not None and not best.baseline:
        for axis in axes:
            if axis.key not in best.params or axis.choices:
                continue
            place = axis.position(best.params[axis.key])
            if place <= EDGE or place >= 1 - EDGE:
                end = "lower" if place <= EDGE else "upper"
                told.append(
                    f"the best {axis.key}, {axis.text(best.params[axis.key])}, lies at the {end} end of its "
                    "range: a wider range may hold better ones"
                )
        if best.state in ("paused", "stopped") and not found.running:
            told.append(
                f"the best configuration was {best.state} after {best.reached} of {study.max_epochs} epochs: "
                "trained to its end it may be better still"
            )
        if found.repeated is None and not found.running:
            told.append(
                "the best was not trained again with other seeds: a part of its gain is the luck of the best "
                f"of {found.configurations}"
            )
        if found.repeated is not None and not found.repeated.decided and found.repeated.repeats > 1:
            told.append("the repeats do not decide whether the best is better than the baseline: add repeats")
    if not any(one.baseline for one in all_):
        told.append("the study has no baseline: nothing says what was gained")
    elif found.baseline is None and not found.running:
        told.append("the baseline gave no value: nothing says what was gained")
    failed = found.counts.get("failed", 0)
    if failed * 4 > found.configurations > 3:
        told.append(f"{failed} of {found.configurations} configurations failed: see why below")
    return told


def fates(counts: dict[str, int]) -> str:
    """Say what came of the configurations.

    >>> fates({"complete": 3, "paused": 20, "failed": 2})
    '3 trained to the end, 20 paused, 2 failed'
    """
    words = {"complete": "trained to the end"}
    order = ("complete", "paused", "stopped", "running", "waiting", "diverged", "failed", "lost")
    return ", ".join(f"{counts[state]} {words.get(state, state)}" for state in order if counts.get(state))


def _best(study: StudyRecord, found: Summary) -> Finding:
    question = "Best value"
    if found.best is None:
        return Finding(question=question, answer="n/a", why=f"no configuration has a {study.plan.metric}")
    verdict: tuple[str, str] | None = None
    if found.gain is not None and not found.best.baseline:
        kind = "good" if found.gain.percent > 0 else "bad"
        verdict = (f"{percent(found.gain.percent, study.plan.direction)} the baseline", kind)
    elif found.best.baseline:
        verdict = ("the baseline", "warn")
    why = f"configuration {found.best.number} after epoch {found.best.best_epoch}"
    if found.baseline is not None and not found.best.baseline:
        why += f"; the baseline's {study.plan.metric} is {number(found.baseline.value)}"
    return Finding(question=question, answer=number(found.best.value), verdict=verdict, why=why)


def _repeated(study: StudyRecord, found: Summary) -> Finding:
    question, told = "With other seeds", found.repeated
    if told is None:
        why = (
            "Best and baseline are trained again once the budget is spent"
            if found.running
            else ("Best and baseline were not trained again; --repeats does")
        )
        return Finding(question=question, answer="n/a", why=why)
    verdict = ("not decided", "warn")
    if told.decided:
        verdict = ("better", "good") if told.percent > 0 else ("worse", "bad")
    below = percent(told.percent, study.plan.direction)
    bounds = _bounds(told, study.plan.direction).strip(" ()")
    why = f"means of {told.repeats} trainings each"
    return Finding(
        question=question,
        answer=below.removesuffix(" below").removesuffix(" above"),
        unit=f"{below.rpartition(' ')[2]} the baseline",
        verdict=verdict,
        why=f"{bounds}; {why}" if bounds else f"{why}, which give no interval",
    )


def _cost(found: Summary, course: History) -> Finding:
    share = found.epochs_percent
    why = f"whole trainings of all {found.configurations} would have taken {found.full_epochs:,}"
    if course.wall_s:
        why += f"; {duration(course.wall_s)} of wall time"
    if found.retried:
        why += f"; {found.retried} segment{'s were' if found.retried > 1 else ' was'} lost and tried again"
    verdict = None if share is None or share >= 99.5 else (f"{share:.0f} % of whole trainings", "good")
    return Finding(question="Cost", answer=f"{found.epochs:,}", unit="epochs", verdict=verdict, why=why)


def _fates(found: Summary) -> Finding:
    bad = sum(found.counts.get(state, 0) for state in ("failed", "diverged", "lost"))
    return Finding(
        question="What came of them",
        answer=f"{found.configurations}",
        unit=f"configuration{'' if found.configurations == 1 else 's'}",
        verdict=("running", "warn") if found.running else (f"{bad} failed", "bad") if bad else None,
        why=fates(found.counts),
    )


def _bounds(told: Gain, direction: str) -> str:
    if told.low is None or told.high is None:
        return ""
    ends = sorted((told.low, told.high))
    if ends[0] >= 0 or ends[1] <= 0:
        sizes = sorted(abs(end) for end in ends)
        return f" (95 % interval {sizes[0]:.1f} to {sizes[1]:.1f} %)"
    return f" (95 % interval from {percent(ends[0], direction)} to {percent(ends[1], direction)})"
