"""What is made of witness channels before it is filtered and subtracted."""

# W witnesses, T samples, F features, K taps

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from lightning_itwin.optional import require
from lightning_itwin.strain.whitening import SLOW_BELOW_HZ

Kind = Literal["linear", "product", "quadratic", "sine", "cosine", "gated", "tanh", "cubic"]
Level = Literal["linear", "bilinear", "full"]
LEVELS: tuple[Level, ...] = ("linear", "bilinear", "full")
WAVELENGTH = 1.064  # of the laser, in um
_SLOW_SHARE = 0.9  # of its power that a slow channel has below 3 Hz
_IMPULSIVE_KURTOSIS = 10.0
_FACTS_S = 8.0
_GATE_S = 1 / 16
_GATE_AT = 1.6  # of the envelope, in units of the quiet noise
_GATE_WIDTH = 0.1
# What a slow channel does up to 2 Hz must pass as it is: a fringe turns by 1 rad in 85 nm of 20 um.
_LOW_PASS_S = 0.9
_LOW_PASS_HZ = 5.5
_LOW_PASS_BETA = 10.0


@dataclass(frozen=True, kw_only=True)
class WitnessFacts:
    """What one witness was like in the training data.

    Args:
        name: of the channel.
        mean, deviation: of its samples.
        quiet: standard deviation of its samples where nothing loud happens, from their median.
        slow: whether it acts by what it does below 3 Hz.
        speed: root mean square of its change a second, of a slow channel, below where its noise begins.
        impulsive: whether it holds glitches.
    """

    name: str
    mean: float
    deviation: float
    quiet: float
    slow: bool
    speed: float
    impulsive: bool

    @classmethod
    def of(cls, name: str, values: np.ndarray, sample_rate_hz: float) -> WitnessFacts:
        """Look at a stretch of a witness.

        Args:
            name: of the channel.
            values: samples, (T,), at least some seconds.
            sample_rate_hz: sample rate.
        """
        signal = require("scipy.signal", extra="virgo")
        mean, deviation = float(values.mean()), float(values.std())
        centred = values - mean
        segment = min(len(values), round(_FACTS_S * sample_rate_hz))
        frequency_hz, psd = signal.welch(centred, sample_rate_hz, nperseg=segment)
        below = frequency_hz < SLOW_BELOW_HZ
        slow = bool(psd[below].sum() > _SLOW_SHARE * psd.sum())
        kurtosis = float(np.mean(centred**4) / max(deviation, 1e-300) ** 4)
        floor = np.median(psd[(frequency_hz >= SLOW_BELOW_HZ) & (frequency_hz < 3 * SLOW_BELOW_HZ)])
        loud = frequency_hz[below & (psd > 2 * floor)]
        slow_to_hz = float(np.clip(1.3 * loud.max(initial=0.5), 0.5, SLOW_BELOW_HZ))
        moving = frequency_hz <= slow_to_hz
        step_hz = frequency_hz[1] - frequency_hz[0]
        return cls(
            name=name,
            mean=mean,
            deviation=max(deviation, 1e-300),
            quiet=max(float(1.4826 * np.median(np.abs(centred))), 1e-300),
            slow=slow,
            speed=float(np.sqrt(((2 * np.pi * frequency_hz[moving]) ** 2 * psd[moving]).sum() * step_hz)),
            impulsive=not slow and kurtosis > _IMPULSIVE_KURTOSIS,
        )


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One series that is made of witnesses.

    Args:
        kind: ``linear``: w; ``product``: w s; ``quadratic``: w (s^2 - 1); ``sine``, ``cosine``: of
            ``4 pi s / wavelength``; ``gated``, ``tanh``, ``cubic``: w, tanh w and w^3 / (1 + w^2) while w is
            louder than usual.
        fast: number of the witness w; of s for fringes.
        slow: number of the slow witness s of a product.
        wavelength: of fringes, in units of the channel.
    """

    kind: Kind
    fast: int
    slow: int = -1
    wavelength: float = 0.0

    @property
    def is_prompt(self) -> bool:
        """Whether the strain has it at once: light comes back within microseconds, where nothing resounds."""
        return self.kind in ("sine", "cosine")


class FeatureLibrary:
    """Makes features of witnesses.

    Args:
        facts: one a witness.
        sample_rate_hz: sample rate.
        level: ``linear`` and ``bilinear`` are those of the published Wiener filters; ``full`` adds squares
            and saturation.
    """

    def __init__(
        self,
        facts: Sequence[WitnessFacts],
        sample_rate_hz: float,
        level: Level = "full",
    ) -> None:
        if level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}, not {level!r}.")
        self.facts, self.sample_rate_hz, self.level = tuple(facts), sample_rate_hz, level

    @property
    def reach(self) -> int:
        """Samples on each side that a feature's sample depends on, at most."""
        return round(max(_LOW_PASS_S, _GATE_S) / 2 * self.sample_rate_hz)

    def channels(self) -> list[Feature]:
        """Give each channel as it is."""
        return [Feature(kind="linear", fast=number) for number in range(len(self.facts))]

    def features(self) -> list[Feature]:
        """Give every feature of the library but fringes, whose wavelengths the data tell."""
        slow = [number for number, facts in enumerate(self.facts) if facts.slow]
        fast = [number for number, facts in enumerate(self.facts) if not facts.slow]
        found = [Feature(kind="linear", fast=number) for number in fast]
        if self.level == "linear":
            return found
        kinds: tuple[Kind, ...] = ("product", "quadratic") if self.level == "full" else ("product",)
        found += [
            Feature(kind=kind, fast=one, slow=other)
            for one, other, kind in itertools.product(fast, slow, kinds)
        ]
        if self.level == "full":
            shapes: tuple[Kind, ...] = ("gated", "tanh", "cubic")
            found += [
                Feature(kind=kind, fast=number)
                for number in fast
                if self.facts[number].impulsive
                for kind in shapes
            ]
        return found

    def compute(
        self, witnesses: np.ndarray, features: Sequence[Feature], inner: slice = slice(None)
    ) -> np.ndarray:
        """Make features; samples within :attr:`reach` of an end know less than others.

        Args:
            witnesses: (W, T) float64.
            features: which.
            inner: which samples are asked for; all by default.

        Returns:
            (F, T) float64, or as many samples as are asked for.
        """
        made = np.empty((len(features), len(range(witnesses.shape[1])[inner])))
        kept: dict[tuple[str, int], np.ndarray] = {}

        def cached(what: str, number: int) -> np.ndarray:
            if (what, number) not in kept:
                values = getattr(self, f"_{what}")(witnesses[number], self.facts[number])
                kept[what, number] = values[inner]
            return kept[what, number]

        for row, feature in zip(made, features):
            row[:] = self._make(feature, cached)
        return made

    def slow(self, witnesses: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
        """Give slow witnesses as products and fringes have them, low-passed, in standard deviations.

        Args:
            witnesses: (W, T) float64.
            numbers: which, S of them.

        Returns:
            (S, T) float64.
        """
        made = np.empty((len(numbers), witnesses.shape[1]))
        for row, number in zip(made, numbers):
            row[:] = self._slow(witnesses[number], self.facts[number])
        return made

    def name(self, feature: Feature) -> str:
        """Give a feature's name for a reader."""
        fast = self.facts[feature.fast].name
        if feature.kind in ("product", "quadratic"):
            slow = self.facts[feature.slow].name
            return f"{fast} x {slow}" if feature.kind == "product" else f"{fast} x ({slow}^2 - 1)"
        return fast if feature.kind == "linear" else f"{feature.kind} of {fast}"

    def _make(self, feature: Feature, cached: Callable[[str, int], np.ndarray]) -> np.ndarray:
        number = feature.fast
        if feature.kind == "linear":
            return cached("fast", number)
        if feature.kind == "product":
            return cached("fast", number) * cached("slow", feature.slow)
        if feature.kind == "quadratic":
            return cached("fast", number) * (cached("slow", feature.slow) ** 2 - 1)
        if feature.kind in ("sine", "cosine"):
            phase = 4 * np.pi / feature.wavelength * self.facts[number].deviation * cached("slow", number)
            return np.sin(phase) if feature.kind == "sine" else np.cos(phase)
        values, gate = cached("own_units", number), cached("gate", number)
        if feature.kind == "gated":
            return gate * values
        return gate * (np.tanh(values) if feature.kind == "tanh" else values**3 / (1 + values**2))

    def _fast(self, values: np.ndarray, facts: WitnessFacts) -> np.ndarray:
        return (values - facts.mean) / facts.deviation

    def _own_units(self, values: np.ndarray, facts: WitnessFacts) -> np.ndarray:
        return values - facts.mean  # a sensor that saturates does so at some volts

    def _slow(self, values: np.ndarray, facts: WitnessFacts) -> np.ndarray:
        signal = require("scipy.signal", extra="virgo")
        taps = self._low_pass
        padded = np.pad((values - facts.mean) / facts.deviation, len(taps) // 2, mode="edge")
        return signal.oaconvolve(padded, taps, mode="valid")

    @cached_property
    def _low_pass(self) -> np.ndarray:
        signal = require("scipy.signal", extra="virgo")
        taps = 2 * round(_LOW_PASS_S / 2 * self.sample_rate_hz) + 1
        window = ("kaiser", _LOW_PASS_BETA)
        return signal.firwin(taps, _LOW_PASS_HZ, window=window, fs=self.sample_rate_hz)

    def _gate(self, values: np.ndarray, facts: WitnessFacts) -> np.ndarray:
        signal = require("scipy.signal", extra="virgo")
        half = round(_GATE_S / 2 * self.sample_rate_hz)
        taps = np.hanning(2 * half + 3)[1:-1]
        power = ((values - facts.mean) / facts.quiet) ** 2
        smooth = signal.oaconvolve(np.pad(power, half, mode="edge"), taps / taps.sum(), mode="valid")
        return 1 / (1 + np.exp(-(np.sqrt(smooth.clip(0)) - _GATE_AT) / _GATE_WIDTH))
