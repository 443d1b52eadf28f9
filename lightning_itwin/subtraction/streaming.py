"""Subtraction of data as they come: causal but for a look-ahead below one second."""

# W witnesses, F features, T samples of a block, K taps, N frequencies

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from lightning_itwin.optional import require
from lightning_itwin.subtraction.features import Feature, FeatureLibrary
from lightning_itwin.subtraction.noise_filter import NoiseFilter
from lightning_itwin.subtraction.safety import SEGMENT_S, Comparison

_LONGEST = 4096  # samples that are transformed at once
_LENGTHS = 256  # of transforms are multiples of it: the responses' are kept for each
_KEPT_LENGTHS = 4


class StreamingSubtractor:
    """Subtracts predicted noise from a strain that comes block by block.

    What comes out is what the filter makes of the whole series: a sample leaves once the samples that its
    noise depends on are there. Each block costs what is new in it: features of its samples alone, filtered by
    overlap-save with the responses' spectra kept. While the last seconds say that the instrument is another
    one, nothing is subtracted; they are looked at every half second of data, however these are cut in blocks.

    Args:
        noise_filter: predicts the noise.
        band_hz: band of the prediction.
        guard_s: length of the last part of the data that is looked at; 0 subtracts whatever happens.

    Reference:
        Oppenheim and Schafer 2010, Discrete-Time Signal Processing, 3rd edition, 8.7.3: overlap-save.
    """

    def __init__(
        self, noise_filter: NoiseFilter, band_hz: tuple[float, float], guard_s: float = 16.0
    ) -> None:
        self._reach, self._rate_hz = noise_filter.reach, noise_filter.library.sample_rate_hz
        self._features = _FeatureStream(noise_filter.library, noise_filter.features)
        self._filter = _OverlapSave(noise_filter.taps)
        self._guard = _Guard(self._rate_hz, band_hz, guard_s) if guard_s else None
        self._waiting = np.zeros(0)  # strain whose noise is not known yet

    @property
    def look_ahead_s(self) -> float:
        """Time by which what comes out is behind what came in."""
        return self._reach / self._rate_hz

    def push(self, witnesses: np.ndarray, strain: np.ndarray) -> np.ndarray:
        """Take a block of any length, and give the cleaned strain that it completes.

        Args:
            witnesses: (W, T).
            strain: (T,).

        Returns:
            The next samples of the cleaned strain: all that came in, but for the look-ahead.

        Raises:
            ValueError: witnesses and strain are not of one length, or the witnesses are others than before.
        """
        if witnesses.ndim != 2 or witnesses.shape[1:] != strain.shape:
            raise ValueError(
                "push takes witnesses (W, T) and a strain (T,) of the same samples, not arrays of shape "
                f"{witnesses.shape} and {strain.shape}."
            )
        self._waiting = np.concatenate([self._waiting, strain])
        return self._clean(self._filter.push(self._features.push(witnesses)))

    def flush(self) -> np.ndarray:
        """Give what is left at the end of the data, of which less is known; the next block begins anew."""
        last = self._filter.push(self._features.flush())
        left = self._clean(np.concatenate([last, self._filter.flush()]))
        if self._guard is not None:
            self._guard.reset()
        return left

    def _clean(self, noise: np.ndarray) -> np.ndarray:
        strain, self._waiting = self._waiting[: len(noise)], self._waiting[len(noise) :]
        return strain - (noise if self._guard is None else self._guard(noise, strain))


class _FeatureStream:
    """Makes features of witnesses that come block by block, as of the whole series."""

    def __init__(self, library: FeatureLibrary, features: Sequence[Feature]) -> None:
        self._library, self._features, self._reach = library, features, library.reach
        self._kept = np.zeros((len(library.facts), 0))
        self._begin = 0  # of the kept samples, those before it have left as features

    def push(self, witnesses: np.ndarray) -> np.ndarray:
        """Give the features that a block, (W, T), completes, (F, n)."""
        expected = len(self._library.facts)
        if len(witnesses) != expected:
            raise ValueError(f"push takes {expected} witnesses, those of the filter, not {len(witnesses)}.")
        self._kept = np.concatenate([self._kept, witnesses], axis=1)
        return self._made(self._kept.shape[1] - self._reach)

    def flush(self) -> np.ndarray:
        """Give the features that are left at the end, (F, n)."""
        made = self._made(self._kept.shape[1])
        self._kept, self._begin = self._kept[:, :0], 0
        return made

    def _made(self, end: int) -> np.ndarray:
        begin = self._begin
        if end <= begin:
            return np.zeros((len(self._features), 0))
        made = self._library.compute(self._kept, self._features, slice(begin, end))
        left = max(0, end - self._reach)
        self._kept, self._begin = self._kept[:, left:], end - left
        return made


class _OverlapSave:
    """Filters features that come block by block, and sums them up, as of the whole series."""

    def __init__(self, taps: np.ndarray) -> None:
        self._taps = taps
        self._half = taps.shape[1] // 2
        self._spectra: dict[int, np.ndarray] = {}
        self._past = np.zeros((len(taps), 0))

    def push(self, features: np.ndarray) -> np.ndarray:
        """Give the noise that features, (F, n), complete."""
        if not features.shape[1] or not len(self._taps):
            return np.zeros(features.shape[1])
        if not self._past.shape[1]:
            # Before the beginning of the data a feature has its first value, as in NoiseFilter.
            self._past = np.repeat(features[:, :1], self._half, axis=1)
        pieces = range(0, features.shape[1], _LONGEST)
        return np.concatenate([self._filtered(features[:, at : at + _LONGEST]) for at in pieces])

    def flush(self) -> np.ndarray:
        """Give the noise that is left at the end."""
        left = np.zeros(0)
        if self._past.shape[1]:
            left = self._filtered(np.repeat(self._past[:, -1:], self._half, axis=1))
        self._past = self._past[:, :0]
        return left

    def _filtered(self, features: np.ndarray) -> np.ndarray:
        fft = require("scipy.fft", extra="virgo")
        known = np.concatenate([self._past, features], axis=1)
        memory = self._taps.shape[1] - 1
        self._past = known[:, max(0, known.shape[1] - memory) :]
        if known.shape[1] <= memory:
            return np.zeros(0)
        length = -(-known.shape[1] // _LENGTHS) * _LENGTHS
        product = np.einsum("fn,fn->n", fft.rfft(known, length, axis=1), self._responses(length))
        return fft.irfft(product, length)[memory : known.shape[1]]

    def _responses(self, length: int) -> np.ndarray:
        if length not in self._spectra:
            if len(self._spectra) == _KEPT_LENGTHS:
                self._spectra.pop(next(iter(self._spectra)))
            fft = require("scipy.fft", extra="virgo")
            self._spectra[length] = fft.rfft(self._taps, length, axis=1)
        return self._spectra[length]


class _Guard:
    """Lets noise pass while the last seconds do not say that the instrument is another one."""

    def __init__(self, sample_rate_hz: float, band_hz: tuple[float, float], guard_s: float) -> None:
        self._hop = round(SEGMENT_S * sample_rate_hz / 2)
        self._band_hz = band_hz
        self._frequency_hz = np.fft.rfftfreq(2 * self._hop, 1 / sample_rate_hz)
        self._window = np.hanning(2 * self._hop + 1)[:-1]
        self._segments = max(2, round(2 * guard_s / SEGMENT_S) - 1)
        self.reset()

    def reset(self) -> None:
        """Forget all data."""
        self._powers: deque[np.ndarray] = deque(maxlen=self._segments)  # before and after, (2, N)
        self._last = np.zeros((2, 0))  # noise and strain of the hop before
        self._hop_so_far: list[np.ndarray] = []
        self._there = 0
        self._gates = (1.0, 1.0)  # of the hop before and of this one

    def __call__(self, noise: np.ndarray, strain: np.ndarray) -> np.ndarray:
        """Give what of the noise is subtracted from the next samples of the strain."""
        pieces, at = [], 0
        while at < len(noise):
            piece = slice(at, at + self._hop - self._there)
            values = noise[piece]
            before, now = self._gates
            place = np.arange(self._there, self._there + len(values)) / self._hop
            pieces.append(values if before == now == 1 else values * (before + (now - before) * place))
            self._hop_so_far.append(np.stack([values, strain[piece]]))
            self._there += len(values)
            at += len(values)
            if self._there == self._hop:
                self._look()
        return np.concatenate([np.zeros(0), *pieces])

    def _look(self) -> None:
        """End a hop: a segment of it and the one before is complete."""
        fft = require("scipy.fft", extra="virgo")
        hop = np.concatenate(self._hop_so_far, axis=1)
        both = np.concatenate([self._last, hop], axis=1)
        self._last, self._hop_so_far, self._there = hop, [], 0
        gate = self._gates[1]
        if both.shape[1] == len(self._window):
            noise, strain = both
            pair = fft.rfft(np.stack([strain, strain - noise]) * self._window)
            self._powers.append(np.abs(pair) ** 2)
            if len(self._powers) > self._segments // 2:
                before, after = np.stack(self._powers, axis=1)
                changed = Comparison.of(before, after, self._frequency_hz, self._band_hz).is_changed
                gate = 0.0 if changed else 1.0
        self._gates = (self._gates[1], gate)
