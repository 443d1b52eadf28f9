"""Q-transform: the energy of a whitened series in time and frequency, in tiles of one quality factor."""

# T samples, F frequencies, N times

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_MISMATCH = 0.2  # loss of energy between neighbouring rows: Chatterji 2005, section 5.2


@dataclass(frozen=True, kw_only=True)
class QScan:
    """Energy of a series in time and frequency.

    Args:
        energy: energy of every tile, (..., F, N); its mean is 1 in white noise of unit variance, where it is
            distributed exponentially. A burst that fits a tile adds half its squared SNR.
        frequency_hz: central frequencies, rising on a logarithmic scale, (F,).
        time_s: times after the first sample, (N,).
        q: quality factor Q of the tiles.
    """

    energy: np.ndarray
    frequency_hz: np.ndarray
    time_s: np.ndarray
    q: float

    @property
    def loudest(self) -> tuple[float, float, float]:
        """Time in s, frequency in Hz and energy of the loudest tile of all series."""
        place = np.unravel_index(int(np.argmax(self.energy)), self.energy.shape)
        return (
            float(self.time_s[place[-1]]),
            float(self.frequency_hz[place[-2]]),
            float(self.energy[place]),
        )


def q_transform(
    series: np.ndarray | Tensor,
    sample_rate_hz: float,
    *,
    q: float = 12.0,
    frequency_range_hz: tuple[float, float | None] = (10.0, None),
    rows: int | None = None,
    time_step_s: float = 1 / 128,
    normalise: bool = False,
) -> QScan:
    """Project a series on windowed sinusoids of one quality factor.

    ``X(t, f) = int x~(f + u) w~(u) exp(2 pi i u t) du`` with the bisquare window
    ``w~(u) ~ (1 - (u q' / f)^2)^2`` for ``|u| < f / q'`` and ``q' = q / sqrt(11)``; the energy is ``|X|^2``.
    The series counts as periodic: keep the ends of the scan, ``q / (2 pi f)`` or so, for margin.

    Args:
        series: whitened samples, (..., T).
        sample_rate_hz: their sample rate.
        q: quality factor of the tiles, above sqrt(11); a tile fits a burst ``exp(-(2 pi f t / q)^2)`` times
            a sinusoid of frequency f.
        frequency_range_hz: lowest and highest central frequency; None goes as high as windows fit below the
            Nyquist frequency.
        rows: number of frequencies; if not given, so many that no burst loses more than 20 % between two.
        time_step_s: wanted distance of the times; the nearest that divides the series is taken.
        normalise: divide each row by its median over ln 2, for a series that is not quite white.

    Raises:
        ValueError: the series is too short or not finite, or a value is outside its range.

    Reference:
        Chatterji et al. 2004, arXiv:gr-qc/0412119; Chatterji 2005, PhD thesis, MIT, chapter 5.

    >>> time_s = np.arange(2048) / 1024.0
    >>> burst = 4.0 * np.exp(-(((time_s - 1.0) / 0.02) ** 2)) * np.sin(2 * np.pi * 100.0 * time_s)
    >>> at_s, at_hz, energy = q_transform(burst, 1024.0).loudest
    >>> round(at_s, 2), 90.0 < at_hz < 110.0
    (1.0, True)
    """
    x = torch.as_tensor(series).double()
    samples = x.shape[-1]
    duration_s = samples / sample_rate_hz
    frequency_hz = _frequencies(q, frequency_range_hz, rows, sample_rate_hz, duration_s)
    if not bool(torch.isfinite(x).all()):
        raise ValueError("The series is not finite everywhere; scan a stretch without gaps.")
    half_width = frequency_hz * math.sqrt(11.0) / q * duration_s  # in bins of the Fourier transform
    reach = int(half_width.max()) + 1
    steps = max(1, round(duration_s / time_step_s))
    stride = -(-(2 * reach + 1) // steps)
    offsets = torch.arange(-reach, reach + 1)
    bins_FK = torch.round(frequency_hz * duration_s)[:, None].long() + offsets
    distance_FK = (bins_FK - (frequency_hz * duration_s)[:, None]) / half_width[:, None]
    window_FK = (1 - distance_FK.square()).clamp(min=0).square()
    window_FK = window_FK / (samples * window_FK.square().sum(dim=1, keepdim=True)).sqrt()
    spectrum = torch.fft.fft(x)
    inside = (bins_FK > 0) & (bins_FK <= samples // 2)
    taken = spectrum[..., bins_FK.clamp(0, samples - 1)] * torch.where(inside, window_FK, 0.0)
    padded = torch.zeros((*taken.shape[:-1], steps * stride), dtype=taken.dtype)
    padded[..., offsets % (steps * stride)] = taken
    rows_energy = (torch.fft.ifft(padded, norm="forward")[..., ::stride]).abs().square()
    if normalise:
        rows_energy = rows_energy * (math.log(2.0) / rows_energy.median(dim=-1, keepdim=True).values)
    return QScan(
        energy=rows_energy.numpy(),
        frequency_hz=frequency_hz.numpy(),
        time_s=np.arange(steps) * (duration_s / steps),
        q=q,
    )


def loudest_q_transform(
    series: np.ndarray | Tensor,
    sample_rate_hz: float,
    *,
    qs: Sequence[float] = (4.0, 5.7, 8.0, 11.3, 16.0, 22.6, 32.0, 45.3, 64.0),
    frequency_range_hz: tuple[float, float | None] = (10.0, None),
    rows: int | None = None,
    time_step_s: float = 1 / 128,
    normalise: bool = False,
) -> QScan:
    """Scan with several quality factors and give the scan with the loudest tile.

    Args:
        series, sample_rate_hz, frequency_range_hz, rows, time_step_s, normalise: see :func:`q_transform`.
        qs: quality factors to try, a factor of about sqrt(2) apart.

    Raises:
        ValueError: see :func:`q_transform`; or there is no quality factor.
    """
    if not qs:
        raise ValueError("loudest_q_transform needs at least one quality factor.")
    scans = [
        q_transform(
            series,
            sample_rate_hz,
            q=q,
            frequency_range_hz=frequency_range_hz,
            rows=rows,
            time_step_s=time_step_s,
            normalise=normalise,
        )
        for q in qs
    ]
    return max(scans, key=lambda scan: scan.energy.max())


def _frequencies(
    q: float,
    frequency_range_hz: tuple[float, float | None],
    rows: int | None,
    sample_rate_hz: float,
    duration_s: float,
) -> Tensor:
    if q <= math.sqrt(11.0):
        raise ValueError(f"q must be above sqrt(11) = 3.317, so that the windows exclude 0 Hz, not {q}.")
    highest_hz = sample_rate_hz / 2 / (1 + math.sqrt(11.0) / q)
    lowest_hz, wanted_hz = frequency_range_hz
    top_hz = highest_hz if wanted_hz is None else wanted_hz
    if not 0 < lowest_hz < top_hz <= highest_hz * (1 + 1e-9):
        raise ValueError(
            f"With q = {q:g} at {sample_rate_hz:g} Hz, central frequencies must lie between 0 and "
            f"{highest_hz:.1f} Hz, rising; not {frequency_range_hz}."
        )
    bins = lowest_hz * math.sqrt(11.0) / q * duration_s
    if bins < 1:
        raise ValueError(
            f"At {lowest_hz:g} Hz and q = {q:g} a window is narrower than one bin of a series of "
            f"{duration_s:g} s. Give at least {duration_s / bins:.3g} s, or a higher lowest frequency."
        )
    if rows is None:
        # Distance in frequency between tiles: Chatterji et al. 2004, eq. 12.
        distance = math.sqrt(2.0 + q**2) / 2 * math.log(top_hz / lowest_hz)
        rows = max(2, math.ceil(distance / (2 * math.sqrt(_MISMATCH / 3))))
    if rows < 1:
        raise ValueError(f"rows must be at least 1, not {rows}.")
    return torch.logspace(math.log10(lowest_hz), math.log10(top_hz), rows, dtype=torch.float64)
