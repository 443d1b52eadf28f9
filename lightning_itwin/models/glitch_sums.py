"""Sums over windows that set the response of glitches to witnesses, in closed form."""

# B batch, W witnesses, C channels, U units, T samples, K taps, L lags, R regularisations

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from lightning_itwin.models.glitch_response import GlitchResponse

_REGULARISATIONS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
_ALTERNATIONS = 8
_SIGNIFICANT = 25.0  # squared SNR, held out, that a witness must explain to count
_NEGLIGIBLE = 1e-3

Windows = Callable[[], Iterable[tuple[Tensor, Tensor, Tensor]]]
SumOverRanks = Callable[[Tensor], Tensor]


class LagSums:
    """Correlations of features with each other and with a target, summed over windows, in two halves.

    ``A_ij(l) = sum_t f_i(t) f_j(t + l)`` and ``b_i(l) = sum_t f_i(t) y(t + l)``: all that least squares of
    finite impulse responses needs. Plain sums: those of several processes or files may be added.

    Args:
        groups: groups of features G that are solved apart.
        features: features F of a group.
        before: taps that look ahead.
        taps: all taps K.
    """

    def __init__(self, groups: int, features: int, before: int, taps: int) -> None:
        self._before, self._taps = before, taps
        self.auto = torch.zeros(2, groups, features, features, 2 * taps - 1, dtype=torch.float64)
        self.cross = torch.zeros(2, groups, features, taps, dtype=torch.float64)

    def update(self, features: Tensor, target: Tensor, half: Tensor) -> None:
        """Add a batch of windows.

        Args:
            features: (B, G, F, T).
            target: (B, T).
            half: 0 or 1, (B,); windows that share samples must be in one half, or what is fitted to noise
                would seem to be confirmed by it.
        """
        for which in (0, 1):
            there = half == which
            if bool(there.any()):
                self._add(which, features[there], target[there])

    def _add(self, half: int, features: Tensor, target: Tensor) -> None:
        taps, samples = self._taps, features.shape[-1]
        length = 1 << (samples + taps - 1).bit_length()
        spectrum = torch.fft.rfft(features.double(), length)
        aim = torch.fft.rfft(target.double(), length)
        auto = torch.fft.irfft(torch.einsum("bgit,bgjt->gijt", spectrum.conj(), spectrum), length)
        cross = torch.fft.irfft(torch.einsum("bgit,bt->git", spectrum.conj(), aim), length)
        self.auto[half] += auto[..., torch.arange(1 - taps, taps) % length].cpu()
        self.cross[half] += cross[..., torch.arange(-self._before, taps - self._before) % length].cpu()

    def reduce(self, sum_over_ranks: SumOverRanks) -> None:
        """Add the sums of all processes."""
        self.auto, self.cross = sum_over_ranks(self.auto), sum_over_ranks(self.cross)

    def first(self, features: int) -> LagSums:
        """Give the sums of the first features alone."""
        found = LagSums(0, 0, self._before, self._taps)
        found.auto, found.cross = self.auto[:, :, :features, :features], self.cross[:, :, :features]
        return found

    def solve(self, group: int, channels: int = 1) -> tuple[Tensor, float]:
        """Solve a group; regularisation and form are those that predict either half best from the other.

        A form is an impulse response for each feature, or one a channel, times a gain for each feature:
        far fewer numbers, where a channel's saturation comes before its path.

        Args:
            group: which group.
            channels: channels S that the features belong to, in order, equally many each.

        Returns:
            Impulse responses, (F, K), and the squared SNR that they explain in the half not used.
        """
        halves = [self._normal(self.auto[half, group]) for half in (0, 1)]
        aims = [self.cross[half, group].reshape(-1) for half in (0, 1)]
        whole, whole_aim = halves[0] + halves[1], aims[0] + aims[1]
        best, explained = torch.zeros_like(whole_aim), 0.0
        for strength in _REGULARISATIONS:
            for shared in (True, False):
                found = 0.0
                for used, left in ((0, 1), (1, 0)):
                    taps = self._solution(halves[used], aims[used], strength, channels, shared)
                    found += float(2 * aims[left] @ taps - taps @ halves[left] @ taps)
                if found > explained:
                    best, explained = self._solution(whole, whole_aim, strength, channels, shared), found
        return best.view(-1, self._taps), explained

    def _solution(self, matrix: Tensor, aim: Tensor, strength: float, channels: int, shared: bool) -> Tensor:
        taps = _ridge(matrix, aim, strength)
        if not shared:
            return taps
        units = len(aim) // channels // self._taps
        split = (channels, units, self._taps)
        parts, goal = matrix.view(*split, *split), aim.view(split)
        left, singular, right = torch.linalg.svd(taps.view(split), full_matrices=False)
        path_SK, gain_SU = right[:, 0] * singular[:, :1], left[..., 0]
        for _ in range(_ALTERNATIONS):
            inner = torch.einsum("su,sukabl,ab->skal", gain_SU, parts, gain_SU).reshape(path_SK.numel(), -1)
            path_SK = _ridge(inner, torch.einsum("su,suk->sk", gain_SU, goal).reshape(-1), strength).view(
                path_SK.shape
            )
            inner = torch.einsum("sk,sukabl,al->suab", path_SK, parts, path_SK).reshape(gain_SU.numel(), -1)
            gain_SU = _ridge(inner, torch.einsum("sk,suk->su", path_SK, goal).reshape(-1), 1e-6).view(
                gain_SU.shape
            )
            gain_SU = gain_SU / gain_SU.norm(dim=1, keepdim=True).clamp(min=1e-30)
        inner = torch.einsum("su,sukabl,ab->skal", gain_SU, parts, gain_SU).reshape(path_SK.numel(), -1)
        path_SK = _ridge(inner, torch.einsum("su,suk->sk", gain_SU, goal).reshape(-1), strength).view(
            path_SK.shape
        )
        return (gain_SU[:, :, None] * path_SK[:, None]).reshape(-1)

    def _normal(self, auto: Tensor) -> Tensor:
        lag = torch.arange(self._taps)
        features = auto.shape[0]
        matrix = auto[:, :, lag[:, None] - lag[None, :] + self._taps - 1]
        return matrix.permute(0, 2, 1, 3).reshape(features * self._taps, features * self._taps)


def fit_response(
    response: GlitchResponse,
    windows: Windows,
    num_witnesses: int,
    sum_over_ranks: SumOverRanks,
    gather: SumOverRanks,
) -> Tensor:
    """Set a response from windows of witnesses and strain: three passes, each witness by itself first.

    The target may hold noise: it is independent of the witnesses, so the response is that of the glitches.

    Args:
        response: set in place; its whitening filter is there already.
        windows: gives (witnesses (B, W, T), whitened strain (B, T), half of ``LagSums.update`` (B,)), the
            same at every call.
        num_witnesses: witnesses W.
        sum_over_ranks: adds a tensor over the processes.
        gather: joins the rows of the processes' tensors.

    Returns:
        Squared SNR that each witness explains in windows that it was not fitted to, (W,).
    """
    settings = response.settings
    usual, scales = _levels(response, windows, num_witnesses, gather)
    sums = LagSums(num_witnesses, settings.saturations + 1, response.before, response.taps)
    for witnesses, strain, half in windows():
        units = response.features(witnesses, usual, scales)
        sums.update(response.whiten(units), strain, half)
    sums.reduce(sum_over_ranks)
    explained = torch.tensor([sums.solve(group)[1] for group in range(num_witnesses)])
    order = explained.argsort(descending=True)[: settings.channels]
    chosen = order[explained[order] > _SIGNIFICANT]
    response.kernel.zero_()
    if not len(chosen):
        return explained
    count = len(chosen)
    joint = LagSums(1, count * (settings.saturations + 1), response.before, response.taps)
    for witnesses, strain, half in windows():
        units = response.features(witnesses[:, chosen], usual[chosen], scales[chosen])
        joint.update(response.whiten(units).flatten(1, 2)[:, None], strain, half)
    joint.reduce(sum_over_ranks)
    units_each = settings.saturations + 1
    kernel, told = joint.first(units_each).solve(0)
    used = 1
    for more in range(2, count + 1):  # a witness that tells nothing new would only bring its noise
        wider, by_all = joint.first(more * units_each).solve(0, more)
        if by_all < told + max(_SIGNIFICANT, _NEGLIGIBLE * told):
            break
        kernel, told, used = wider, by_all, more
    chosen = chosen[:used]
    response.selected[:used] = chosen.to(response.selected.device)
    response.usual[:used] = usual[chosen].to(response.usual)
    response.scales[:used] = scales[chosen].to(response.scales)
    response.kernel[:used] = kernel.view(used, units_each, response.taps).to(response.kernel)
    return explained


def _levels(
    response: GlitchResponse, windows: Windows, num_witnesses: int, gather: SumOverRanks
) -> tuple[Tensor, Tensor]:
    medians, peaks = [], []
    for witnesses, _, _ in windows():
        medians.append(response.gate.amplitude(witnesses).median(dim=-1).values)
        peaks.append(witnesses.abs().amax(dim=-1))
    level, peak = gather(torch.cat(medians)), gather(torch.cat(peaks))
    usual = level.median(dim=0).values.clamp(min=1e-12)
    # Windows with a glitch are those whose peak stands far out of the noise.
    loud = torch.where(peak > 4 * response.settings.open_above * usual, peak, torch.nan)
    typical = torch.nanquantile(loud, 0.9, dim=0)
    typical = torch.where(torch.isfinite(typical), typical, 10 * usual)
    levels = torch.logspace(-1.3, 0.3, response.settings.saturations, dtype=usual.dtype).to(usual.device)
    return usual, torch.cat([typical[:, None], typical[:, None] * levels], dim=1)


def _ridge(matrix: Tensor, aim: Tensor, strength: float) -> Tensor:
    level = matrix.diagonal().mean()
    if level <= 0:
        return torch.zeros_like(aim)
    regular = matrix + strength * level * torch.eye(len(matrix), dtype=matrix.dtype)
    return torch.linalg.solve(regular, aim)
