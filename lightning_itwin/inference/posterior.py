"""Posterior: samples of one event with their densities and weights, and the numbers that come of them."""

# N samples, P parameters

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lightning_itwin.inference.importance import ImportanceWeights, normalise, resample
from lightning_itwin.inference.prior import Prior


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """Samples of one event's posterior.

    Without weights the samples are the flow's own answer. With them, the weighted samples are those of the
    exact posterior, and the evidence is known.

    Attributes:
        samples: (N, P) float64; ``geocent_time`` in seconds relative to ``gps_time_s``.
        names: of the parameters, P of them.
        log_prob: log density that the samples were drawn with, (N,).
        log_likelihood: log of the likelihood over that of noise alone, (N,).
        log_prior: (N,).
        log_weights: log importance weights, not normalised, (N,).
        efficiency: effective over drawn samples, 0 to 1.
        log_evidence: log of the evidence over that of noise alone.
        log_evidence_error: its standard error.
        pareto_k: shape of the weights' tail; above 0.7 weights and evidence cannot be trusted.
        invalid: samples without a finite density, of weight 0.
        log_noise_evidence: log likelihood of noise alone, ``-1/2 sum |d|^2``.
        truth: parameters of the injection, by name.
        prior: the prior, for the bilby result.
        gps_time_s: reference time of the observation.
        label: name of the event, and of its files.
        settings: plain values for the files' metadata. PESummary is told of ``waveform``,
            ``reference_frequency_hz`` and of ``observation``, fields of ``ObservationSettings``.
    """

    samples: np.ndarray
    names: Sequence[str]
    log_prob: np.ndarray | None = None
    log_likelihood: np.ndarray | None = None
    log_prior: np.ndarray | None = None
    log_weights: np.ndarray | None = None
    efficiency: float | None = None
    log_evidence: float | None = None
    log_evidence_error: float | None = None
    pareto_k: float | None = None
    invalid: int = 0
    log_noise_evidence: float | None = None
    truth: Mapping[str, float] | None = None
    prior: Prior | None = None
    gps_time_s: float = 0.0
    label: str = "posterior"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = np.shape(self.samples)
        if len(shape) != 2 or shape[1] != len(self.names):
            raise ValueError(f"Samples of {len(self.names)} parameters are wanted, (N, P), not {shape}.")
        for name in ("log_prob", "log_likelihood", "log_prior", "log_weights"):
            values = getattr(self, name)
            if values is not None and np.shape(values) != shape[:1]:
                raise ValueError(f"{name} holds {np.shape(values)} values for {shape[0]} samples.")

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, name: str) -> np.ndarray:
        """Give one parameter's samples, (N,)."""
        if name not in self.names:
            raise KeyError(f"{name} is not among {', '.join(self.names)}.")
        return self.samples[:, list(self.names).index(name)]

    @property
    def weights(self) -> np.ndarray:
        """Normalised weights, (N,): equal ones where there are no importance weights."""
        if self.log_weights is None:
            return np.full(len(self), 1 / len(self))
        return normalise(self.log_weights)

    def with_weights(self, weights: ImportanceWeights) -> Posterior:
        """Give the same samples with importance weights and what follows from them."""
        return dataclasses.replace(
            self,
            log_weights=weights.log_weights,
            efficiency=weights.efficiency,
            log_evidence=weights.log_evidence,
            log_evidence_error=weights.log_evidence_error,
            pareto_k=weights.pareto_k,
            invalid=weights.invalid,
        )

    def resampled_rows(self, num: int | None = None, seed: int = 0) -> np.ndarray:
        """Give the numbers of equally weighted samples, (num,); of unweighted ones all, in their order.

        Args:
            num: how many; the effective number of samples if None.
            seed: of the resampling.

        Raises:
            ValueError: no sample weighs anything.
        """
        if num is None and self.log_weights is None:
            return np.arange(len(self))
        if num is None:
            num = max(1, round(1 / max(float(np.square(self.weights).sum()), 1 / len(self))))
        log_weights_N = np.zeros(len(self)) if self.log_weights is None else self.log_weights
        return resample(log_weights_N, num, seed)

    def resampled(self, num: int | None = None, seed: int = 0) -> np.ndarray:
        """Give equally weighted samples, (num, P), as :meth:`resampled_rows` chooses them."""
        return self.samples[self.resampled_rows(num, seed)]

    def quantiles(self, name: str, at: Sequence[float] = (0.05, 0.5, 0.95)) -> np.ndarray:
        """Give weighted quantiles of a parameter: by default the 90 % interval around the median."""
        values_N = self[name]
        order = np.argsort(values_N)
        cumulated_N = np.cumsum(self.weights[order])
        return values_N[order][
            np.searchsorted(cumulated_N, np.asarray(at) * cumulated_N[-1]).clip(max=len(self) - 1)
        ]

    def table(self, published: Mapping[str, float] | None = None) -> str:
        """Write median and 90 % interval of every parameter beside its true or published value."""
        known = {**(self.truth or {}), **(published or {})}
        rows = [("parameter", "median", "5 %", "95 %", "published" if published else "truth")]
        for name in self.names:
            low, middle, high = self.quantiles(name)
            there = f"{known[name]:.5g}" if name in known else ""
            rows.append((name, f"{middle:.5g}", f"{low:.5g}", f"{high:.5g}", there))
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = [
            "  ".join(
                cell.ljust(width) if not i else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths))
            )
            for row in rows
        ]
        if self.efficiency is not None:
            lines.append(
                f"{len(self)} samples, efficiency {100 * self.efficiency:.2f} %, log evidence over noise "
                f"{self.log_evidence:.3f} +- {self.log_evidence_error:.3f}, Pareto k {self.pareto_k:.2f}"
            )
        return "\n".join(line.rstrip() for line in lines)

    def to_bilby(self, seed: int = 0) -> Any:
        """Give a ``bilby.core.result.Result``: resampled samples, priors, injection, evidence, weights."""
        from lightning_itwin.inference.bilby_result import to_bilby

        return to_bilby(self, seed)

    def write(self, path: str | Path, seed: int = 0) -> Path:
        """Write a bilby result file, whole or not at all: ``.json`` or ``.hdf5``."""
        from lightning_itwin.inference.bilby_result import write

        return write(self, Path(path), seed)

    @classmethod
    def read(cls, path: str | Path) -> Posterior:
        """Read a file that :meth:`write` wrote, with all samples and weights."""
        from lightning_itwin.inference.bilby_result import read

        return read(path)
