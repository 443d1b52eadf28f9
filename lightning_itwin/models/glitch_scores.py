"""How well glitches are predicted, left over, vetoed; and how much is done where there is no witness."""

# N windows, B batch, T samples of a window

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

_INNER = 0.99  # share of a glitch's energy in the middle half of its window, for the window to count
_SEEN = 0.1  # SNR of witnessed glitches below which a window counts as one without


@dataclass(frozen=True, kw_only=True)
class WindowScores:
    """Rows, one a window.

    Args:
        snr: of the witnessed glitches, (N,).
        other_snr: of those without a witness, (N,).
        predicted_snr: of the mean that is subtracted, (N,).
        residual_snr: of witnessed glitches after subtraction, (N,).
        mismatch: 1 minus the normalised inner product of glitch and mean, (N,).
        veto: probability of a veto, (N,).
        inner: 1 where glitches lie in the middle half of the window, (N,).
    """

    snr: Tensor
    other_snr: Tensor
    predicted_snr: Tensor
    residual_snr: Tensor
    mismatch: Tensor
    veto: Tensor
    inner: Tensor

    @classmethod
    def of(cls, mean: Tensor, glitch: Tensor, other: Tensor, veto: Tensor) -> WindowScores:
        """Score windows.

        Args:
            mean: predicted whitened glitch, (B, T).
            glitch: the witnessed glitches, (B, T).
            other: the glitches without a witness, (B, T).
            veto: probability, (B,).
        """
        snr, predicted = glitch.norm(dim=1), mean.norm(dim=1)
        product = (mean * glitch).sum(dim=1)
        mismatch = 1 - product / (snr * predicted).clamp(min=1e-12)
        energy = (glitch + other).square()
        quarter = energy.shape[1] // 4
        inner = energy[:, quarter:-quarter].sum(dim=1) >= _INNER * energy.sum(dim=1)
        return cls(
            snr=snr,
            other_snr=other.norm(dim=1),
            predicted_snr=predicted,
            residual_snr=(glitch - mean).norm(dim=1),
            mismatch=mismatch,
            veto=veto,
            inner=inner.to(snr),
        )

    @classmethod
    def join(cls, several: list[WindowScores]) -> WindowScores:
        """Join rows."""
        return cls(
            **{one.name: torch.cat([getattr(rows, one.name) for rows in several]) for one in fields(cls)}
        )

    def rows(self) -> Tensor:
        """Give all columns, (N, 7)."""
        return torch.stack([getattr(self, one.name) for one in fields(self)], dim=1)

    @classmethod
    def of_rows(cls, rows: Tensor) -> WindowScores:
        """Make scores of the columns of ``rows``."""
        return cls(**{one.name: column for one, column in zip(fields(cls), rows.T)})

    def summary(self, lowest_snr: float) -> dict[str, float]:
        """Give the figures; NaN where no window counts.

        Args:
            lowest_snr: of glitches that count, before subtraction.
        """
        witnessed = (self.inner > 0) & (self.snr >= lowest_snr)
        alone = (self.inner > 0) & (self.other_snr >= lowest_snr) & (self.snr < _SEEN)
        left = self.residual_snr[witnessed]
        return {
            "mismatch_median": _quantile(self.mismatch[witnessed], 0.5),
            "mismatch_90_percent": _quantile(self.mismatch[witnessed], 0.9),
            "residual_snr_median": _quantile(left, 0.5),
            "residual_snr_below_5_fraction": float((left < 5).double().mean()) if len(left) else math.nan,
            "unwitnessed_altered_median": _quantile((self.predicted_snr / self.other_snr)[alone], 0.5),
            "unwitnessed_altered_95_percent": _quantile((self.predicted_snr / self.other_snr)[alone], 0.95),
            "witnessed_glitches": float(witnessed.sum()),
            "unwitnessed_glitches": float(alone.sum()),
        }

    def veto_curve(self, snr: float, witnessed_only: bool = True) -> tuple[Tensor, Tensor]:
        """Give dead time and efficiency of a veto as the threshold falls.

        Args:
            snr: windows whose glitch is at least that loud should be vetoed.
            witnessed_only: whether only glitches that a witness has seen count.

        Returns:
            Share of all windows that is vetoed, and share of those with a loud glitch, (N + 1,) each.
        """
        loud = self.snr if witnessed_only else (self.snr.square() + self.other_snr.square()).sqrt()
        order = self.veto.argsort(descending=True)
        hit = (loud >= snr).double()[order]
        zero = hit.new_zeros(1)
        dead = torch.arange(len(hit) + 1, dtype=hit.dtype) / max(1, len(hit))
        return dead, torch.cat([zero, hit.cumsum(0) / hit.sum().clamp(min=1)])

    def false_vetoes(self, snr: float, efficiency: float) -> float:
        """Give the share of windows without a glitch that a veto takes; NaN where no window counts.

        Args:
            snr: windows whose witnessed glitch is at least that loud should be vetoed.
            efficiency: share of these that are.
        """
        loud, quiet = self.snr >= snr, self.snr < _SEEN
        if not bool(loud.any()) or not bool(quiet.any()):
            return math.nan
        threshold = self.veto[loud].double().quantile(1 - efficiency)
        return float((self.veto[quiet].double() >= threshold).double().mean())


def veto_probability(snr: Tensor, threshold: float) -> Tensor:
    """Give the probability that a glitch is measured at least so loud, noise included.

    ``P = mean over samples of Phi(snr - threshold)``: a matched filter measures an SNR with an error of
    unit variance.

    Args:
        snr: of the samples of each window, (S, B).
        threshold: in SNR.

    Returns:
        (B,).
    """
    return torch.special.ndtr(snr - threshold).mean(dim=0)


def _quantile(values: Tensor, share: float) -> float:
    return float(values.double().quantile(share)) if len(values) else math.nan
