"""The hyperparameters of a study as axes of figures: ranges or choices, short names, positions."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lightning_itwin.hpo.report.configurations import Configuration
from lightning_itwin.hpo.search_space import Range, read_space
from lightning_itwin.hpo.study_reading import StudyRecord

_LONGEST = 26


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One hyperparameter.

    Args:
        key: of the config.
        label: as short as it can be told apart.
        low, high: of a range, widened to what was tried; 0 and 0 for choices.
        log: whether a range is one of logarithms.
        whole: whether a range is one of integers.
        choices: as the study holds them, in their order; empty for a range.
        labels: of the choices.
    """

    key: str
    label: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    choices: tuple[Any, ...] = ()
    labels: tuple[str, ...] = ()

    def position(self, value: Any) -> float:
        """Give where a value lies, 0 at the low end to 1 at the high one; a choice in the middle of its band.

        >>> Parameter(key="model.lr", label="lr", low=1e-4, high=1e-2, log=True).position(1e-3)
        0.5
        """
        if self.choices:
            return (self.choices.index(value) + 0.5) / len(self.choices)
        low, high, value = self.low, self.high, float(value)
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return (value - low) / (high - low)

    def shown(self, value: Any) -> Any:
        """Give the value for a figure: a number, or a choice's label."""
        return self.labels[self.choices.index(value)] if self.choices else value

    def ticks(self, most: int = 6) -> list[tuple[float, str]]:
        """Give positions and labels for an axis.

        >>> Parameter(key="lr", label="lr", low=1e-4, high=1e-2, log=True).ticks()
        [(0.0, '0.0001'), (0.5, '0.001'), (1.0, '0.01')]
        >>> Parameter(key="units", label="units", low=8, high=64, whole=True).ticks(4)
        [(0.21428571428571427, '20'), (0.5714285714285714, '40'), (0.9285714285714286, '60')]
        """
        if self.choices:
            return [(self.position(choice), label) for choice, label in zip(self.choices, self.labels)]
        values = _powers(self.low, self.high, most) if self.log else []
        values = values or _round_values(self.low, self.high, most, self.whole)
        return [(self.position(value), number(value)) for value in values]

    def text(self, value: Any) -> str:
        """Say a value in a word."""
        return self.labels[self.choices.index(value)] if self.choices else number(value)

    def extent(self) -> str:
        """Say which values it may have."""
        if self.choices:
            return ", ".join(self.labels)
        return f"{number(self.low)} to {number(self.high)}" + (", log" if self.log else "")


def parameters(study: StudyRecord, found: Iterable[Configuration]) -> tuple[Parameter, ...]:
    """Give the hyperparameters of a study, in the order of its space.

    Args:
        study: whose plan names the space.
        found: its configurations; what they have beyond the space widens it.
    """
    space = read_space(study.plan.space)
    labels = short_names(list(space))
    made = []
    for key, dimension in space.items():
        values = [one.params[key] for one in found if key in one.params]
        if isinstance(dimension, Range):
            ends = [float(end) for end in (dimension.low, dimension.high, *values)]
            whole = dimension.whole and all(isinstance(value, int) for value in values)
            made.append(
                Parameter(
                    key=key,
                    label=labels[key],
                    low=min(ends),
                    high=max(ends),
                    log=dimension.log,
                    whole=whole,
                )
            )
        else:
            choices = list(dict.fromkeys([*(dimension.sampled(one) for one in dimension.values), *values]))
            if all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in choices):
                choices.sort()
            made.append(
                Parameter(
                    key=key,
                    label=labels[key],
                    choices=tuple(choices),
                    labels=_distinct([choice_label(choice) for choice in choices]),
                )
            )
    return tuple(made)


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Give each dotted key the shortest of its ends that no other key has.

    >>> short_names(["model.optimizer.lr", "model.scheduler.lr", "data.batch"])
    {'model.optimizer.lr': 'optimizer.lr', 'model.scheduler.lr': 'scheduler.lr', 'data.batch': 'batch'}
    """
    found = {}
    for key in keys:
        parts = key.split(".")
        for count in range(1, len(parts) + 1):
            end = ".".join(parts[-count:])
            if sum(other == end or other.endswith(f".{end}") for other in keys) == 1:
                break
        found[key] = end
    return found


def choice_label(choice: Any) -> str:
    """Name a choice: the class of a class path, else its text, cut where it is long.

    >>> choice_label('{"class_path": "torch.optim.Adam"}'), choice_label(None), choice_label(32)
    ('Adam', 'null', '32')
    """
    if isinstance(choice, str):
        text = choice
        if text.startswith("{"):
            try:
                text = json.loads(text)["class_path"].rpartition(".")[2]
            except (ValueError, KeyError, AttributeError):
                text = choice
    else:
        text = json.dumps(choice)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def number(value: float | None) -> str:
    """Give a number with four digits that count.

    >>> number(0.000123456), number(128), number(1.5e-7), number(12345.678), number(None)
    ('0.0001235', '128', '1.5e-07', '12346', 'n/a')
    """
    if value is None:
        return "n/a"
    if isinstance(value, int) or (abs(value) >= 1000 and abs(value) < 1e7):
        return f"{value:.0f}"
    return f"{value:.4g}"


def _powers(low: float, high: float, most: int) -> list[float]:
    """Give the powers of ten of a range, or what lies between them too where they are few."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    powers = range(first, last + 1, max(1, math.ceil((last - first + 1) / most)))
    if len(powers) > 2:
        return [10.0**power for power in powers]
    found = [factor * 10.0**power for power in range(first - 1, last + 1) for factor in (1, 2, 5)]
    inside = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
    return inside if 1 < len(inside) <= most else [10.0**power for power in powers]


def _round_values(low: float, high: float, most: int, whole: bool) -> list[float]:
    """Give evenly spaced round numbers of a range."""
    if high <= low:
        return [low]
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= most)
    if whole:
        step = max(1.0, step)
    count = math.floor(high / step + 1e-9) - math.ceil(low / step - 1e-9) + 1
    found = [round(step * (math.ceil(low / step - 1e-9) + index), 12) for index in range(count)]
    return [int(value) for value in found] if whole else found


def _distinct(labels: Sequence[str]) -> tuple[str, ...]:
    """Number the labels that are not the only ones of their kind."""
    return tuple(
        label if labels.count(label) == 1 else f"{label} ({number_ + 1})"
        for number_, label in enumerate(labels)
    )
