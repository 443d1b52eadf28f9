"""The search space: ranges and choices of a config's keys, and the distributions that Optuna samples from."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lightning_itwin.hpo.study_plan import StudyError
from lightning_itwin.optional import require

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_RANGE_KEYS = ("low", "high", "log", "step", "type")
EDGE = 0.02


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers from ``low`` to ``high``, both included.

    Args:
        low, high: the ends.
        log: whether the logarithm is sampled evenly.
        step: distance of the values; None for any number (1 for whole numbers).
        whole: whether the values are integers.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    def ends(self) -> list[Any]:
        """Give the values that are tried on the config before the first trial."""
        return list(dict.fromkeys((self.low, self.high)))

    def distribution(self) -> BaseDistribution:
        """Give Optuna's distribution."""
        distributions = require("optuna", extra="hpo").distributions
        if self.whole:
            step = int(self.step or 1)
            return distributions.IntDistribution(int(self.low), int(self.high), log=self.log, step=step)
        return distributions.FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def value(self, sampled: Any) -> Any:
        """Give the config's value of a sampled one."""
        return sampled

    def sampled(self, value: Any) -> Any:
        """Give what the study holds for the config's value."""
        return value

    def end_at(self, value: float) -> str:
        """Say at which end a value lies: ``"lower"``, ``"upper"`` or nothing.

        >>> Range(low=1e-4, high=1e-2, log=True).end_at(0.0099), Range(low=0.0, high=0.5).end_at(0.25)
        ('upper', '')
        """
        scale = math.log if self.log else float
        place = (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return "lower" if place <= EDGE else "upper" if place >= 1 - EDGE else ""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Values without an order: what YAML can say, lists and class paths with arguments included.

    Args:
        values: the choices.
    """

    values: tuple[Any, ...]

    def ends(self) -> list[Any]:
        """Give the values that are tried on the config before the first trial."""
        return list(self.values)

    def distribution(self) -> BaseDistribution:
        """Give Optuna's distribution."""
        categorical = require("optuna", extra="hpo").distributions.CategoricalDistribution
        return categorical([_label(value) for value in self.values])

    def value(self, sampled: Any) -> Any:
        """Give the config's value of a sampled one."""
        return next((value for value in self.values if _label(value) == sampled), sampled)

    def sampled(self, value: Any) -> Any:
        """Give what the study holds for the config's value: itself, or its JSON where it is no scalar."""
        return _label(value)


Dimension = Range | Choices


def read_space(space: Mapping[str, Any]) -> dict[str, Dimension]:
    """Read the space of a study.

    A list holds choices; ``{low, high}`` is a range, with ``log: true`` or ``step`` where wanted.

    Raises:
        StudyError: an entry is neither, or its numbers do not fit together.

    >>> read_space({"model.lr": {"low": "1e-4", "high": 0.1, "log": True}, "data.batch": [8, 16]})["model.lr"]
    Range(low=0.0001, high=0.1, log=True, step=None, whole=False)
    """
    return {str(key): _dimension(str(key), value) for key, value in space.items()}


def fit_to_baseline(space: Mapping[str, Dimension], baseline: Mapping[str, Any]) -> dict[str, Dimension]:
    """Make the space hold the config's own values, which are trial 0.

    A range with whole ends becomes one of floats where the config has a float; a choice that is missing is
    added.

    Args:
        space: as it was read.
        baseline: the config's own value of each key.

    Raises:
        StudyError: the config has no number where a range is given.
    """
    fitted: dict[str, Dimension] = {}
    for key, dimension in space.items():
        value = baseline[key]
        if isinstance(dimension, Choices):
            known = {_label(choice) for choice in dimension.values}
            extra = () if _label(value) in known else (value,)
            fitted[key] = replace(dimension, values=(*dimension.values, *extra))
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise StudyError(
                f"space: {key} is a range, but the config has {value!r} there, where trial 0 cannot be "
                "placed; give it a number in the config, or list the choices"
            )
        as_float = isinstance(value, float) and dimension.step is None
        fitted[key] = replace(dimension, whole=False) if as_float else dimension
    return fitted


def _dimension(key: str, value: Any) -> Dimension:
    if isinstance(value, Mapping) and set(value) == {"choices"}:
        value = value["choices"]
    if isinstance(value, (list, tuple)):
        if len({_label(choice) for choice in value}) < 2:
            raise StudyError(f"space: {key} has {value!r}; choices are at least 2 different values")
        return Choices(values=tuple(value))
    if not isinstance(value, Mapping):
        raise StudyError(f"space: {key} has {value!r}; give a list of choices, or {{low: ..., high: ...}}")
    if unknown := sorted(set(value) - set(_RANGE_KEYS)):
        raise StudyError(f"space: {key} does not know {', '.join(unknown)}; it has {', '.join(_RANGE_KEYS)}")
    low, high, step = (_number(key, name, value.get(name)) for name in ("low", "high", "step"))
    if low is None or high is None:
        raise StudyError(f"space: {key} needs both low and high")
    if not low < high or not (math.isfinite(low) and math.isfinite(high)):
        raise StudyError(f"space: {key} has low {low} and high {high}; low has to be the smaller one")
    log = bool(value.get("log", False))
    if log and low <= 0:
        raise StudyError(f"space: {key} has low {low} with log: true; a logarithm needs low above 0")
    if step is not None and (log or step <= 0):
        raise StudyError(f"space: {key} has step {step}; a step is positive, and goes without log: true")
    whole = all(isinstance(number, int) for number in (low, high, step or 1))
    kind = value.get("type") or ("int" if whole else "float")
    if kind not in ("int", "float"):
        raise StudyError(f"space: {key} has type {kind!r}; it has to be int or float")
    if kind == "int":
        return Range(low=int(low), high=int(high), log=log, step=step, whole=True)
    return Range(low=float(low), high=float(high), log=log, step=step)


def _number(key: str, name: str, value: Any) -> int | float | None:
    if isinstance(value, str):  # YAML reads 1e-5 as text
        with contextlib.suppress(ValueError):
            value = float(value)
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise StudyError(f"space: {key} has {name} {value!r}, which is no number")


def _label(value: Any) -> Any:
    scalar = value is None or isinstance(value, (bool, int, float, str))
    return value if scalar else json.dumps(value, sort_keys=True)
