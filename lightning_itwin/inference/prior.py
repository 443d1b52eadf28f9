"""Prior: bilby's prior files, sampled by inverse distribution functions, the same draw for the same event."""

# N draws, P free parameters, A all parameters

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.inference.event_uniforms import event_uniforms
from lightning_itwin.inference.prior_text import parse_prior_text, read_prior_text, units_in_latex
from lightning_itwin.optional import require
from lightning_itwin.waveforms import Binary, EndsEarly, Waveform
from lightning_itwin.waveforms.binary import MASSES

# No relative time is as large; no GPS time of a detection is as small.
_ABSOLUTE_FROM_S = 1e6
_SHIFTABLE = ("Uniform", "Gaussian", "TruncatedGaussian", "DeltaFunction")
_MOST_ATTEMPTS = 10_000
_DRAWS_FOR_NORMALISATION = 400_000


class Prior:
    """A prior over the parameters of a binary, as a bilby prior file states it.

    Parameters with a distribution are free, numbers and ``DeltaFunction`` are fixed, and ``Constraint``
    bounds what follows from the others (``mass_1`` from ``chirp_mass`` and ``mass_ratio``): a draw outside
    is drawn again. ``geocent_time`` is relative to the observation's reference time; a prior file with GPS
    times is shifted by it.

    Args:
        text: text of a prior file; :meth:`from_file` reads one.
        gps_time_s: reference time of the observation, needed where the file states GPS times.

    Attributes:
        names: free parameters in the order of the file, P of them.
        fixed: fixed parameters and their values.
        periodic: those free parameters whose file says ``boundary='periodic'``, and their periods.
        minimum: lower bounds, (P,) float64, ``-inf`` where there is none.
        maximum: upper bounds, (P,) float64.

    Raises:
        ValueError: a line cannot be read, priors depend on each other (conditional, joint), no parameter is
            free, or GPS times come without ``gps_time_s``.
        MissingExtraError: bilby is not installed.

    Reference:
        Ashton et al. 2019, arXiv:1811.02042: bilby and its prior files.
    """

    def __init__(self, text: str, gps_time_s: float | None = None) -> None:
        expressions = parse_prior_text(text)
        self._bilby = _read(expressions)
        _shift_time(self._bilby, expressions, gps_time_s)
        self._text = "".join(f"{name} = {expression}\n" for name, expression in expressions.items())
        self.names: list[str] = list(self._bilby.non_fixed_keys)
        if not self.names:
            raise ValueError("The prior file leaves no parameter free.")
        self.fixed = {name: float(self._bilby[name].peak) for name in self._bilby.fixed_keys}
        free = [self._bilby[name] for name in self.names]
        self.minimum = torch.tensor([float(prior.minimum) for prior in free], dtype=torch.float64)
        self.maximum = torch.tensor([float(prior.maximum) for prior in free], dtype=torch.float64)
        self.periodic = {
            name: float(prior.maximum - prior.minimum)
            for name, prior in zip(self.names, free)
            if prior.boundary == "periodic"
        }

    @classmethod
    def from_file(cls, path: str | Path, gps_time_s: float | None = None) -> Prior:
        """Read a prior file.

        Args:
            path: a file, or the name of one that the package brings: ``et_14``, ``et_small``, ``ligo_bbh``.
            gps_time_s: reference time of the observation, needed where the file states GPS times.
        """
        return cls(read_prior_text(path), gps_time_s)

    @classmethod
    def from_text(cls, text: str) -> Prior:
        """Make the prior again that :meth:`settings` was asked of."""
        return cls(text)

    def settings(self) -> str:
        """Give the prior as the text of a prior file, times relative: for manifests and checkpoints."""
        return self._text

    def without(self, *names: str) -> Prior:
        """Give the prior of the other parameters, such as those that a flow learns beside a synthetic phase.

        Raises:
            ValueError: a name is not one of the free parameters.
        """
        unknown = set(names) - set(self.names)
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: not among the free {', '.join(self.names)}.")
        expressions = parse_prior_text(self._text)
        return Prior("".join(f"{name} = {expressions[name]}\n" for name in expressions if name not in names))

    def rescale(self, uniforms: Tensor | np.ndarray) -> Tensor:
        """Map the unit cube to the parameters, by the inverse distribution function of each.

        Constraints do not act here.

        Args:
            uniforms: in [0, 1], (N, P).

        Returns:
            Parameters, (N, P) float64.
        """
        values_NP = self._table(uniforms)
        theta_NP = np.empty_like(values_NP)
        for column, name in enumerate(self.names):
            theta_NP[:, column] = self._bilby[name].rescale(values_NP[:, column])
        return torch.from_numpy(theta_NP)

    def cdf(self, theta: Tensor | np.ndarray) -> Tensor:
        """Map the parameters to the unit cube: the inverse of :meth:`rescale`, (N, P) to (N, P)."""
        values_NP = self._table(theta)
        return torch.from_numpy(
            np.stack([self._bilby[name].cdf(values_NP[:, i]) for i, name in enumerate(self.names)], axis=1)
        )

    def sample(self, num: int, seed: int, first: int = 0) -> Tensor:
        """Draw the events ``first`` to ``first + num - 1`` of a seed, (num, P) float64.

        Event i is the same in whatever batch and process it is drawn.
        """
        return self.sample_events(range(first, first + num), seed)

    def sample_events(self, indices: Sequence[int] | np.ndarray, seed: int) -> Tensor:
        """Draw the events of these numbers, (N, P) float64.

        Raises:
            ValueError: the constraints let nearly nothing through.
        """
        index_N = np.asarray(indices, dtype=np.int64).reshape(-1)
        theta_NP = self.rescale(event_uniforms(index_N, len(self.names), seed))
        wrong_M = np.flatnonzero(~self._allowed(theta_NP))
        attempt = 0
        while len(wrong_M):
            attempt += 1
            if attempt > _MOST_ATTEMPTS:
                raise ValueError(f"{attempt} draws of an event broke a constraint of the prior.")
            theta_MP = self.rescale(event_uniforms(index_N[wrong_M], len(self.names), seed, attempt))
            theta_NP[wrong_M] = theta_MP
            wrong_M = wrong_M[~self._allowed(theta_MP)]
        return theta_NP

    def log_prob(self, theta: Tensor | np.ndarray) -> Tensor:
        """Give the log density of parameters, (N, P) to (N,) float64, ``-inf`` outside and for NaN.

        With constraints it is normalised by the share of 400,000 draws that they let through.
        """
        values_NP = self._table(theta)
        total_N = np.zeros(len(values_NP))
        with np.errstate(divide="ignore", invalid="ignore"):
            for column, name in enumerate(self.names):
                total_N += self._bilby[name].ln_prob(values_NP[:, column])
        total_N[~np.isfinite(total_N)] = -math.inf
        inside_M = np.flatnonzero(np.isfinite(total_N))
        if self._bilby.constraint_keys and len(inside_M):
            allowed_M = self._allowed(values_NP[inside_M])
            total_N[inside_M] = np.where(allowed_M, total_N[inside_M] - self._log_share_allowed, -math.inf)
        return torch.from_numpy(total_N)

    def with_fixed(self, theta: Tensor) -> tuple[list[str], Tensor]:
        """Add the fixed parameters to a table, as ``Binary.from_table`` takes it.

        Args:
            theta: (N, P).

        Returns:
            Names of all A parameters, and the table (N, A) on the device of ``theta``.
        """
        # A tensor of them would be a copy from the host, which waits for a GPU.
        columns = [theta.new_full((len(theta), 1), value) for value in self.fixed.values()]
        return [*self.names, *self.fixed], torch.cat([theta, *columns], dim=1)

    def highest_frequency_hz(self, waveform: Waveform) -> float | None:
        """Give the frequency above which no binary of the prior has a signal, None where nobody knows.

        Every mass parameter makes a binary heavier, or every one lighter: the lightest is at a corner of
        their ranges.

        Args:
            waveform: one that ``EndsEarly`` knows.
        """
        masses = [column for column, name in enumerate(self.names) if name in MASSES]
        bounds = torch.stack((self.minimum, self.maximum))[:, masses]
        if not isinstance(waveform, EndsEarly) or not bool((bounds.isfinite() & (bounds > 0)).all()):
            return None
        theta = self.sample(2 ** len(masses), seed=0)
        if masses:
            theta[:, masses] = torch.cartesian_prod(*bounds.T).reshape(len(theta), -1)
        return waveform.highest_frequency_hz(Binary.from_table(*self.with_fixed(theta)))

    @cached_property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of every free parameter, (P,) float64 each, from 100,000 draws."""
        theta_NP = self.sample(100_000, seed=0)
        return theta_NP.mean(dim=0), theta_NP.std(dim=0)

    def is_uniform(self, name: str) -> bool:
        """Say whether a free parameter has the same density everywhere."""
        return name in self.names and type(self._bilby[name]).__name__ == "Uniform"

    def to_bilby(self, gps_time_s: float = 0.0) -> Any:
        """Give a bilby ``PriorDict`` with ``geocent_time`` as a GPS time."""
        expressions = parse_prior_text(self._text)
        priors = _read(expressions)
        _shift_time(priors, expressions, -gps_time_s, always=True)
        return priors

    def check_inside(self, training: Prior) -> None:
        """Refuse this prior where the flow that proposes was trained on a narrower or another one.

        Raises:
            ValueError: another free parameter, another fixed value, or a bound outside ``training``'s.
        """
        if set(self.names) != set(training.names):
            raise ValueError(f"The prior frees {self.names}, the training prior {training.names}.")
        for name in self.names:
            mine, theirs = self._bilby[name], training._bilby[name]
            slack = 1e-9 * (theirs.maximum - theirs.minimum)
            if mine.minimum < theirs.minimum - slack or mine.maximum > theirs.maximum + slack:
                raise ValueError(
                    f"The prior of {name}, [{mine.minimum:g}, {mine.maximum:g}], reaches beyond the training "
                    f"prior, [{theirs.minimum:g}, {theirs.maximum:g}]: no sample would come from there, and "
                    "the evidence would be wrong."
                )
        for name in self.fixed.keys() | training.fixed.keys():
            given, trained = self.fixed.get(name, 0.0), training.fixed.get(name, 0.0)
            if not math.isclose(given, trained, rel_tol=1e-9, abs_tol=1e-12):
                raise ValueError(f"The prior fixes {name} at {given:g}, the training prior at {trained:g}.")

    def _table(self, values: Tensor | np.ndarray) -> np.ndarray:
        table_NP = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
        if table_NP.ndim != 2 or table_NP.shape[1] != len(self.names):
            raise ValueError(f"A table of {len(self.names)} columns is wanted, not {table_NP.shape}.")
        return table_NP.astype(np.float64)

    def _allowed(self, theta_NP: Tensor | np.ndarray) -> np.ndarray:
        if not self._bilby.constraint_keys:
            return np.ones(len(theta_NP), dtype=bool)
        columns = {name: np.asarray(theta_NP)[:, i] for i, name in enumerate(self.names)}
        return np.asarray(self._bilby.evaluate_constraints(columns), dtype=bool)

    @cached_property
    def _log_share_allowed(self) -> float:
        uniforms = event_uniforms(range(_DRAWS_FOR_NORMALISATION), len(self.names), seed=0)
        return math.log(self._allowed(self.rescale(uniforms)).mean())


def _read(expressions: dict[str, str]) -> Any:
    bilby_prior = require("bilby.gw.prior", extra="gw")
    logging.getLogger("bilby").setLevel(logging.WARNING)
    try:
        with units_in_latex():
            priors = bilby_prior.BBHPriorDict(dictionary=dict(expressions))
    except (TypeError, ValueError, AttributeError, KeyError, SyntaxError) as error:
        raise ValueError(f"bilby cannot read the prior file: {error}") from error
    for name in expressions:
        kinds = {kind.__name__ for kind in type(priors.get(name)).__mro__}
        if "Prior" not in kinds:
            raise ValueError(f"{name} = {expressions[name]} is none of bilby's priors.")
        if "JointPrior" in kinds or hasattr(priors[name], "required_variables"):
            raise ValueError(f"The prior of {name} depends on other parameters; give each its own.")
    return priors


def _shift_time(
    priors: Any, expressions: dict[str, str], gps_time_s: float | None, always: bool = False
) -> None:
    prior = priors.get("geocent_time")
    centre = getattr(prior, "peak", getattr(prior, "mu", getattr(prior, "minimum", 0.0)))
    if prior is None or not (always or abs(centre) > _ABSOLUTE_FROM_S):
        return
    if gps_time_s is None:
        raise ValueError(
            "The prior file states GPS times: give gps_time_s, the observation's reference time."
        )
    if type(prior).__name__ not in _SHIFTABLE:
        raise ValueError(f"A prior of GPS times may be {', '.join(_SHIFTABLE)}, not {type(prior).__name__}.")
    values = prior.get_instantiation_dict()
    for key in {"minimum", "maximum", "mu", "peak"} & values.keys():
        values[key] = float(values[key]) - gps_time_s
    priors["geocent_time"] = type(prior)(**values)
    expressions["geocent_time"] = repr(priors["geocent_time"])
