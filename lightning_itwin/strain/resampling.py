"""Change of a sample rate by a polyphase filter of zero phase, in blocks, onto a clock of any offset."""

# T samples, K taps

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from lightning_itwin.optional import require
from lightning_itwin.strain.channel_pieces import GPS_TOLERANCE_S, ChannelError

# Factors of the polyphase filter: 16384 Hz to 1000 Hz needs 125/2048.
MAX_FACTOR = 4096
# The filter passes up to 0.8 of the lower Nyquist frequency and stops at that frequency, 100 dB down: a
# Kaiser window of 32 zero crossings a side; Kaiser's formulas for its length and shape, Oppenheim and
# Schafer, Discrete-Time Signal Processing, section 7.5.3.
ZERO_CROSSINGS = 32
PASSED = 0.8
_ATTENUATION_DB = 100.0
_BETA = 0.1102 * (_ATTENUATION_DB - 8.7)
_CUTOFF = (1 + PASSED) / 2


def rate_ratio(name: str, from_hz: float, to_hz: float) -> Fraction:
    """Give the ratio of two sample rates as whole numbers.

    Args:
        name: of the channel, for the error.
        from_hz: sample rate that it has.
        to_hz: sample rate that it gets.

    Raises:
        ChannelError: there is no ratio of whole numbers up to 4096.

    >>> rate_ratio("V1:X", 16384.0, 1000.0)
    Fraction(125, 2048)
    """
    ratio = Fraction(to_hz / from_hz).limit_denominator(MAX_FACTOR)
    exact = ratio.numerator > 0 and abs(ratio * from_hz / to_hz - 1) < 1e-9
    if not exact or ratio.numerator > MAX_FACTOR:
        raise ChannelError(
            f"{name}: {from_hz:g} Hz and {to_hz:g} Hz have no ratio of whole numbers up to {MAX_FACTOR}. "
            "Choose a sample rate that fits, or resample the channel before."
        )
    return ratio


def reach_s(from_hz: float, to_hz: float) -> float:
    """Give how far before and after a sample those lie that it is made of, in seconds.

    Args:
        from_hz: sample rate before.
        to_hz: sample rate after.
    """
    return 0.0 if from_hz == to_hz else ZERO_CROSSINGS / _CUTOFF / min(from_hz, to_hz)


class Resampler:
    """Brings one run of samples onto a clock, block by block; the result does not depend on the blocks.

    At the ends of the run the samples are continued by their point reflection, so that the filter sees
    neither a step nor a bend there.

    Args:
        name: of the channel, for errors.
        from_hz: sample rate of the run.
        to_hz: sample rate of the clock.
        start_s: time of the run's first sample on the clock, in seconds; negative before the clock begins.
            Any fraction of a sample is met by the filter.

    Raises:
        ChannelError: the rates have no ratio of whole numbers up to 4096.
    """

    def __init__(self, name: str, from_hz: float, to_hz: float, start_s: float) -> None:
        self.ratio = rate_ratio(name, from_hz, to_hz)
        up, down = self.ratio.numerator, self.ratio.denominator
        self._from_hz, self._to_hz = from_hz, to_hz
        self._start_s = start_s
        # The first sample of the clock that is not before the run.
        self.first = math.ceil(start_s * to_hz - GPS_TOLERANCE_S * to_hz)
        # Where it lies, in steps of the run's samples divided by `up`: a whole number, and what is left.
        place = (self.first / to_hz - start_s) * from_hz * up
        whole = round(place)
        left = (place - whole) / up
        self._shift = 0.0 if abs(left) < GPS_TOLERANCE_S * from_hz else left
        self._place = whole
        # At one rate, on the clock: samples pass as they are.
        self.passes = up == down and self._shift == 0.0
        self._half = 0 if self.passes else math.ceil(ZERO_CROSSINGS / _CUTOFF * max(1.0, down / up)) + 1
        self._held = np.zeros(0)
        self._held_from = -self._half  # number of the first sample that is held, in the run
        self._begun = False
        self._given = 0  # samples of the clock given so far
        self._pushed = 0

    @property
    def offset(self) -> float:
        """By how much of a sample of the run the clock is missed, -0.5 to 0.5; the filter makes up for it."""
        return self._shift

    @property
    def shortest(self) -> int:
        """Samples that a run must have."""
        return self._half + 1

    def push(self, block: np.ndarray) -> np.ndarray:
        """Take the next samples of the run, and give those of the clock that are known by now.

        Args:
            block: float64, (T,).
        """
        self._pushed += len(block)
        self._held = np.concatenate([self._held, block])
        if not self._begun:
            if len(self._held) <= self._half:
                return np.zeros(0)
            self._held = np.concatenate([_reflected(self._held[: self._half + 1])[::-1], self._held])
            self._begun = True
        return self._give(self._last_known())

    def flush(self) -> np.ndarray:
        """End the run, and give what is left of it on the clock.

        Raises:
            ChannelError: the run has fewer samples than ``shortest``.
        """
        if not self._begun:
            raise ChannelError(f"A run of {self._pushed} samples is shorter than {self.shortest}.")
        if self._half:
            self._held = np.concatenate([self._held, _reflected(self._held[-self._half - 1 :][::-1])])
        # up to the time after the last sample, as far as the run's next sample would be
        end = math.ceil((self._start_s + self._pushed / self._from_hz) * self._to_hz - 1e-3)
        return self._give(end - self.first)

    def _last_known(self) -> int:
        """Give how many samples of the clock see all of their samples of the run."""
        up, down = self.ratio.numerator, self.ratio.denominator
        complete = self._pushed - self._half
        return max(self._given, (complete * up - self._place) // down)

    def _give(self, until: int) -> np.ndarray:
        count = until - self._given
        if count <= 0:
            return np.zeros(0)
        up, down = self.ratio.numerator, self.ratio.denominator
        place = self._place + self._given * down  # in steps of 1 / up of the run's samples
        if self.passes:
            first = place - self._held_from
            found = self._held[first : first + count]
        else:
            first = place // up - self._half - self._held_from
            last = (place + (count - 1) * down) // up + self._half + 1 - self._held_from
            found = self._filter(self._held[first : last + 1], place % up, count)
        self._given = until
        # what the next sample will need
        keep_from = max(0, (self._place + until * down) // up - self._half - self._held_from)
        self._held = self._held[keep_from:]
        self._held_from += keep_from
        return found

    def _filter(self, samples: np.ndarray, phase: int, count: int) -> np.ndarray:
        """Give samples at ``half + (phase + n down) / up + shift`` of some samples, for n below a count."""
        signal = require("scipy.signal", extra="virgo")
        up, down = self.ratio.numerator, self.ratio.denominator
        # upfirdn gives sum_k samples[k] taps[n down - k up]; taps[q] is the impulse response at the time
        # (q - centre) / up + shift, so that output n + skipped lies where sample n is wanted.
        skipped = -(-(self._half * up + phase + self._half * up) // down)
        centre = skipped * down - self._half * up - phase
        taps = np.zeros(-(-(centre + self._half * up + 1) // up) * up)
        taps[:] = self._response((np.arange(len(taps)) - centre) / up + self._shift)
        # Each phase passes a constant as it is, or a large mean would leave lines at the channel's own rate.
        phases = taps.reshape(-1, up)
        phases /= phases.sum(axis=0)
        return signal.upfirdn(taps, samples, up, down)[skipped : skipped + count]

    def _response(self, time: np.ndarray) -> np.ndarray:
        """Give the impulse response at times in samples of the run."""
        scale = _CUTOFF * min(1.0, self._to_hz / self._from_hz)
        inside = np.abs(time * scale) < ZERO_CROSSINGS
        window = np.zeros_like(time)
        window[inside] = np.i0(_BETA * np.sqrt(1 - (time[inside] * scale / ZERO_CROSSINGS) ** 2)) / np.i0(
            _BETA
        )
        return scale * np.sinc(scale * time) * window


def resample(values: np.ndarray, from_hz: float, to_hz: float, name: str = "series") -> np.ndarray:
    """Change the sample rate of a series; the first sample keeps its time.

    Args:
        values: (T,), all finite.
        from_hz: sample rate.
        to_hz: wanted sample rate.
        name: for errors.

    Returns:
        Samples over the same time, float64.

    Raises:
        ChannelError: the rates have no ratio of whole numbers up to 4096, or the series is too short.
    """
    resampler = Resampler(name, from_hz, to_hz, 0.0)
    return np.concatenate([resampler.push(np.asarray(values, dtype=np.float64)), resampler.flush()])


def resampled_blocks(
    blocks: Iterator[np.ndarray], from_hz: float, to_hz: float, start_s: float = 0.0
) -> Iterator[np.ndarray]:
    """Change the sample rate of a run that comes in blocks.

    Args:
        blocks: float64, in time order.
        from_hz: sample rate.
        to_hz: wanted sample rate.
        start_s: time of the first sample on the clock.
    """
    resampler = Resampler("series", from_hz, to_hz, start_s)
    for block in blocks:
        yield resampler.push(block)
    yield resampler.flush()


def _reflected(samples: np.ndarray) -> np.ndarray:
    """Give samples[1:] reflected at the point of samples[0]."""
    return 2 * samples[0] - samples[1:]
