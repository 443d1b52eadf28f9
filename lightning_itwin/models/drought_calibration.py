"""Conformal calibration of quantile forecasts, per lead and state at issue, from sums that ranks can add."""

# B forecasts, L leads, Q levels, G groups, F fine bins of the state, S bins of the scores

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

GROUPS = 10
_FINE, _REACH = 64, 3.2  # bins of the state at issue from -3.2 to 3.2 standard deviations
_SCORES, _SCORE_REACH, _SCORE_UNIT = 401, 20.0, 0.02
_BLOCK_DAYS = 30  # forecasts of one history and one such stretch of days count as one
_PER_GROUP = 20  # independent stretches that a group must hold
_LEAST_DAYS = 5  # after which the errors of the shortest leads are new
# Weight, in independent periods, of all states together against a group, and of no correction against them.
_PRIOR = 20.0


@dataclass(frozen=True, kw_only=True)
class CalibrationReport:
    """What a calibration rested on.

    Args:
        forecasts: that it saw.
        independent: stretches of 30 days of different histories of weather among them.
        groups: of the state at issue.
    """

    forecasts: int
    independent: int
    groups: int

    def __str__(self) -> str:
        told = f"calibrated on {self.forecasts} forecasts of {self.independent} independent months"
        if self.groups < GROUPS:
            told += f"; too few for {GROUPS} groups of the state at issue, so there are {self.groups}"
        return told


class CalibrationSums:
    """Counts of how far the truth lay from each quantile, by lead and state; they add up over ranks.

    The distance is in widths of the forecast's own 80 % interval, so that one correction serves forecasts of
    any sharpness.

    Args:
        levels: of the quantiles, (Q,).
        leads: number of leads, L.
        histories: independent histories of weather.
        days: length of the time axis.
        device: of the counts.
    """

    def __init__(
        self,
        levels: Sequence[float],
        leads: int,
        histories: int,
        days: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.levels = list(levels)
        shape = (_FINE + 1, leads, len(self.levels), _SCORES)  # the last state is an unknown one
        self.counts = torch.zeros(shape, dtype=torch.float64, device=device)
        stretches = days // _BLOCK_DAYS + 1
        self.seen = torch.zeros(histories, stretches, dtype=torch.float64, device=device)

    def add(self, quantiles: Tensor, target: Tensor, state: Tensor, history: Tensor, origin: Tensor) -> None:
        """Count forecasts; those without a truth are left out.

        Args:
            quantiles: (B, L, Q).
            target: (B, L).
            state: anomaly at issue, NaN where it is unknown, (B,).
            history: which history of weather, (B,).
            origin: day of issue on the time axis, (B,).
        """
        distance = (target.unsqueeze(-1) - quantiles) / interval_width(quantiles, self.levels)
        known = ~target.isnan()
        bins, leads, count, scores = self.counts.shape
        place = _score_bin(distance.nan_to_num(0.0))
        fine = torch.where(state.isnan(), bins - 1, _fine_bin(state.nan_to_num(0.0)))
        lead = torch.arange(leads, device=place.device).view(1, -1, 1)
        level = torch.arange(count, device=place.device)
        flat = ((fine.view(-1, 1, 1) * leads + lead) * count + level) * scores + place
        weight = known.unsqueeze(-1).expand(flat.shape).to(self.counts.dtype)
        self.counts.view(-1).index_add_(0, flat.flatten(), weight.flatten())
        some = known.any(1)
        stretch = (origin.clamp_min(0) // _BLOCK_DAYS).clamp_max(self.seen.shape[1] - 1)
        self.seen[history[some], stretch[some]] = 1.0

    def add_over_ranks(self, total: Callable[[Tensor], Tensor]) -> None:
        """Take the sums of all ranks.

        Args:
            total: sums a tensor over the ranks.
        """
        self.counts, self.seen = total(self.counts), total(self.seen).clamp_max(1.0)


class ConformalCalibration(nn.Module):
    """Corrects each quantile so that its share of truths below was right in a period of calibration.

    ``q' = q + c[state, lead, level] (q_90 - q_10)``, where c is the level's quantile of
    ``(y - q) / (q_90 - q_10)`` in the period of calibration, for forecasts that were issued in a similar
    state (a tenth of them each, by the anomaly on the day of issue). A group's c is drawn towards that of all
    states, and that towards 0, by the weight of 20 independent periods of the lead's length. Corrected
    quantiles are sorted.

    Args:
        levels: of the quantiles, rising, (Q,).
        leads: number of leads, L.

    Reference:
        Romano et al. 2019, arXiv:1905.03222: conformalized quantile regression; Lei et al. 2018, JASA 113,
        1094: locally weighted scores.
    """

    edges: Tensor
    corrections: Tensor
    step: Tensor

    def __init__(self, levels: Sequence[float], leads: int) -> None:
        super().__init__()
        self.levels = list(levels)
        self.register_buffer("edges", torch.full((GROUPS - 1,), torch.inf))
        self.register_buffer("corrections", torch.zeros(GROUPS, leads, len(self.levels)))
        self.register_buffer("step", torch.tensor(-1))

    @property
    def is_ready(self) -> bool:
        """Whether there was a calibration."""
        return int(self.step) >= 0

    @property
    def can_calibrate(self) -> bool:
        """Whether the levels have an interval: a point forecast is not calibrated."""
        return len(self.levels) > 1

    def reset(self) -> None:
        """Correct nothing."""
        with torch.no_grad():
            self.edges.fill_(torch.inf)
            self.corrections.zero_()
            self.step.fill_(-1)

    def fit(self, sums: CalibrationSums, leads: Sequence[int], step: int) -> CalibrationReport:
        """Find the corrections.

        Args:
            sums: of all ranks.
            leads: days ahead, (L,).
            step: of the training, at which the model has this calibration.

        Raises:
            ValueError: nothing was counted.
        """
        counts = sums.counts.cpu()
        per_state = counts[:, :, 0].sum(-1)  # (F + 1, L)
        forecasts = int(per_state.sum(0).max())
        if not forecasts:
            raise ValueError("The period of calibration has no forecast whose truth is known.")
        independent = int(sums.seen.sum())
        groups = min(GROUPS, max(1, independent // _PER_GROUP))
        of_group, edges = _groups(per_state[:-1].sum(1), groups)
        # Errors of forecasts overlap for as long as their lead.
        periods = torch.tensor([independent * _BLOCK_DAYS / max(_LEAST_DAYS, lead) for lead in leads])
        weight = (periods / (periods + _PRIOR)).unsqueeze(-1)
        pooled = weight * _level_quantiles(counts.sum(0), sums.levels)
        corrections = pooled.repeat(GROUPS, 1, 1)
        for group in range(groups if groups > 1 else 0):
            own = counts[:-1][of_group == group].sum(0)
            share = own.sum(-1)[:, :1] / counts.sum((0, -1))[:, :1].clamp_min(1)
            worth = periods.unsqueeze(-1) * share
            mixed = worth / (worth + _PRIOR)
            own_corrections = torch.where(share > 0, _level_quantiles(own, sums.levels), pooled)
            corrections[group] = mixed * own_corrections + (1 - mixed) * pooled
        with torch.no_grad():
            self.edges.fill_(torch.inf)
            self.edges[: groups - 1] = edges
            self.corrections.copy_(corrections)
            self._pooled_last(groups, pooled)
            self.step.fill_(step)
        return CalibrationReport(forecasts=forecasts, independent=independent, groups=groups)

    def forward(self, quantiles: Tensor, state: Tensor) -> Tensor:
        """Correct quantiles (..., L, Q) that were issued in a state (...), NaN where it is unknown."""
        if not self.can_calibrate or not self.is_ready:
            return quantiles
        group = torch.bucketize(state.nan_to_num(0.0).contiguous(), self.edges)
        correction = self.corrections[group]
        if bool(state.isnan().any()):
            correction = torch.where(state.isnan()[..., None, None], self.corrections.mean(0), correction)
        corrected = quantiles + correction * interval_width(quantiles, self.levels)
        return corrected.sort(dim=-1).values

    def _pooled_last(self, groups: int, pooled: Tensor) -> None:
        self.corrections[groups:] = pooled.to(self.corrections)


def interval_width(quantiles: Tensor, levels: Sequence[float]) -> Tensor:
    """Give the width of the interval between the levels nearest to 0.1 and 0.9, (..., Q) to (..., 1)."""
    low, high = (min(range(len(levels)), key=lambda at: abs(levels[at] - end)) for end in (0.1, 0.9))
    return (quantiles[..., high : high + 1] - quantiles[..., low : low + 1]).clamp_min(1e-6)


def _fine_bin(state: Tensor) -> Tensor:
    return ((state + _REACH) * (_FINE / (2 * _REACH))).long().clamp(0, _FINE - 1)


def _score_bin(score: Tensor) -> Tensor:
    half = _SCORES // 2
    scale = half / math.asinh(_SCORE_REACH / _SCORE_UNIT)
    return (torch.asinh(score / _SCORE_UNIT) * scale + half + 0.5).floor().long().clamp(0, _SCORES - 1)


def _score_edges() -> Tensor:
    half = _SCORES // 2
    scale = half / math.asinh(_SCORE_REACH / _SCORE_UNIT)
    at = torch.arange(_SCORES + 1, dtype=torch.float64) - half - 0.5
    return torch.sinh(at / scale) * _SCORE_UNIT


def _groups(counts: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Join fine bins of the state, (F,), into groups of about one size: group (F,) and edges (G - 1,)."""
    middle = (counts.cumsum(0) - counts / 2) / counts.sum().clamp_min(1)
    of_group = (middle * groups).long().clamp(0, groups - 1)
    upper = -_REACH + (torch.arange(_FINE) + 1) * (2 * _REACH / _FINE)
    edges = []
    for group in range(groups - 1):
        upto = torch.nonzero(of_group <= group).flatten()
        edges.append(float(upper[upto[-1]]) if len(upto) else -_REACH)
    return of_group, torch.tensor(edges)


def _level_quantiles(counts: Tensor, levels: Sequence[float]) -> Tensor:
    """Give of counts of scores, (L, Q, S), the quantile of each level: (L, Q)."""
    edges = _score_edges()
    total = counts.sum(-1)
    reached = counts.cumsum(-1)
    wanted = torch.tensor(list(levels), dtype=torch.float64) * (total + 1)
    wanted = torch.minimum(wanted, total).unsqueeze(-1)
    place = torch.searchsorted(reached, wanted.contiguous()).clamp_max(counts.shape[-1] - 1)
    inside = counts.gather(-1, place)
    before = reached.gather(-1, place) - inside
    share = torch.where(inside > 0, (wanted - before) / inside.clamp_min(1), 0.5).clamp(0, 1)
    found = edges[place] + share * (edges[place + 1] - edges[place])
    return torch.where(total.unsqueeze(-1) > 0, found, 0.0).squeeze(-1).float()
