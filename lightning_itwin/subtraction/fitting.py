"""From data to a noise filter, in two passes of plain sums and a closed form."""

# C channels, T samples, F features, N frequencies

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lightning_itwin.strain.whitening import ZeroPhaseFilter, whitening_filter
from lightning_itwin.subtraction.cross_sums import CoherenceSums, CrossSums, log_likelihood_gain
from lightning_itwin.subtraction.features import WAVELENGTH, Feature, FeatureLibrary, Level, WitnessFacts
from lightning_itwin.subtraction.noise_filter import NoiseFilter, taps_of
from lightning_itwin.subtraction.solution import Solution, SolutionSettings, running_mean, solve
from lightning_itwin.subtraction.unsafe_channels import unsafe
from lightning_itwin.subtraction.wavelengths import find_wavelengths

Read = Callable[[int, int], np.ndarray]
Reduce = Callable[[np.ndarray], np.ndarray]
_WHITENING_S = 0.5
_LOOK_S = 256.0  # at the longest stretch, for the whitening and what each witness is like
_MOST_FEATURES = 96


def _alone(series: np.ndarray) -> np.ndarray:
    """Give the sum over the only process."""
    return series


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How a subtraction is fitted.

    Args:
        level: which features: ``linear`` and ``bilinear`` are the published Wiener filters.
        wavelengths: of fringes that are supposed, in units of the slow channels; others are found.
        segment_s: length of a segment, and of the impulse responses.
        folds: parts of the training data, each held out once.
        solution: how features are chosen.
        leave_out_unsafe: whether channels that carry the strain itself are left out.
    """

    level: Level = "full"
    wavelengths: Sequence[float] = (WAVELENGTH,)
    segment_s: float = 1.0
    folds: int = 4
    solution: SolutionSettings = field(default_factory=SolutionSettings)
    leave_out_unsafe: bool = True

    def __post_init__(self) -> None:
        if self.segment_s <= 0 or self.folds < 2:
            raise ValueError(
                f"segment_s must be above 0 and folds at least 2, not {self.segment_s} and {self.folds}."
            )

    @classmethod
    def of(cls, given: FitSettings | Mapping[str, Any]) -> FitSettings:
        """Give settings from plain values, such as a checkpoint holds.

        Args:
            given: by name; or settings, which are given back.
        """
        if isinstance(given, FitSettings):
            return given
        solution = given.get("solution", {})
        made = solution if isinstance(solution, SolutionSettings) else SolutionSettings(**solution)
        return cls(**{**given, "solution": made})


@dataclass(frozen=True, kw_only=True)
class Data:
    """The training data, as a fit reads them.

    Args:
        names: of the channels, the strain first, (C,).
        sample_rate_hz: sample rate.
        band_hz: band in which noise is looked for.
        stretches: ranges of samples without a gap, (S, 2).
        read: gives all channels over a range of samples, (C, n) float64.
        blocks: ranges of samples of this process, whole numbers of half segments.
        reduce: adds a series of float64 up over processes.
    """

    names: Sequence[str]
    sample_rate_hz: float
    band_hz: tuple[float, float]
    stretches: np.ndarray
    read: Read
    blocks: Sequence[tuple[int, int]]
    reduce: Reduce = _alone

    @classmethod
    def of_array(
        cls, names: Sequence[str], values: np.ndarray, sample_rate_hz: float, band_hz: tuple[float, float]
    ) -> Data:
        """Take channels that lie in memory, (C, T), without a gap."""
        samples = values.shape[1]
        half = round(sample_rate_hz / 2)
        block = 64 * half
        ends = range(block, samples - 2 * half, block)
        starts = [0, *ends]
        return cls(
            names=names,
            sample_rate_hz=sample_rate_hz,
            band_hz=band_hz,
            stretches=np.array([[0, samples]]),
            read=lambda begin, end: np.asarray(values[:, begin:end], dtype=np.float64),
            blocks=[(begin, min(begin + block + half, samples)) for begin in starts],
        )


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A fitted subtraction.

    Args:
        filter: predicts the noise.
        frequency_hz: of the bins, (N,).
        held_out: power after over power before in held-out data, (N,).
        passed: frequencies that are left alone, (N,).
        ranking: channels by the evidence of their features, the best first.
        unsafe: names of channels that carry the strain itself.
        segments: segments that were summed, over all processes.
    """

    filter: NoiseFilter
    frequency_hz: np.ndarray
    held_out: np.ndarray
    passed: np.ndarray
    ranking: list[tuple[str, float]]
    unsafe: list[str]
    segments: float


def fit(data: Data, settings: FitSettings | None = None) -> Fit:
    """Fit a subtraction.

    The first pass over the data sums each feature alone with the whitened strain: channels that carry the
    strain are found, and features without evidence left out. The second one sums the cross spectra of those
    that are left. All processes come to the same result.

    Args:
        data: to fit on.
        settings: how.

    Raises:
        ValueError: there are fewer segments than folds need.
    """
    settings = settings or FitSettings()
    passes = _Passes(data, settings)
    library, facts, frequency_hz = passes.library, passes.library.facts, passes.frequency_hz
    channels = library.channels()
    features = library.features()
    if settings.level == "full":
        features += _fringes(library, passes.looked_at, data.band_hz, settings.wavelengths)
    summed = list(dict.fromkeys([*channels, *features]))
    alone = passes.coherence(summed)
    if alone.segments < 8 * settings.folds:
        raise ValueError(
            f"The training data hold {alone.segments:g} segments of {settings.segment_s:g} s; "
            f"{8 * settings.folds} or more are needed. Give more data, or a shorter segment_s."
        )
    bad: set[int] = set()
    if settings.leave_out_unsafe:
        of_channels = alone.chosen(range(len(channels)))  # they stand first
        bad = set(np.flatnonzero(unsafe(of_channels, frequency_hz, data.band_hz)).tolist())
    of_features = alone.chosen([summed.index(one) for one in features])
    chosen = _worth_it(of_features, frequency_hz, data.band_hz, settings.solution)
    # Products are of a slow channel about its mean in a part of the data: another mean is the factor alone.
    factors = {one.fast for one, good in zip(features, chosen) if good and one.slow >= 0}
    chosen |= np.array([one.kind == "linear" and one.fast in factors for one in features], dtype=bool)
    features = [one for one, good in zip(features, chosen) if good and not bad & {one.fast, one.slow}]
    folds = passes.cross(features, settings.folds)
    prompt = np.array([one.is_prompt for one in features], dtype=bool)
    solution = solve(folds, frequency_hz, data.band_hz, settings.solution, prompt)
    used = np.flatnonzero(np.abs(solution.response).max(axis=0) > 0)
    taps = taps_of(solution.response[:, used], data.sample_rate_hz, data.band_hz)
    return Fit(
        filter=NoiseFilter(library=library, features=[features[number] for number in used], taps=taps),
        frequency_hz=frequency_hz,
        held_out=solution.held_out,
        passed=solution.passed,
        ranking=_ranking(facts, features, solution),
        unsafe=[facts[number].name for number in sorted(bad)],
        segments=alone.segments,
    )


def unsafe_names(data: Data, settings: FitSettings | None = None) -> list[str]:
    """Give the names of channels that carry the strain itself: those that ``fit`` leaves out.

    Args:
        data: to look at.
        settings: of a fit.
    """
    passes = _Passes(data, settings or FitSettings())
    found = unsafe(passes.coherence(passes.library.channels()), passes.frequency_hz, data.band_hz)
    return [facts.name for facts, bad in zip(passes.library.facts, found) if bad]


class _Passes:
    """Goes over the data of this process and adds up over processes."""

    def __init__(self, data: Data, settings: FitSettings) -> None:
        self._data, self._segment = data, 2 * round(settings.segment_s * data.sample_rate_hz / 2)
        self.frequency_hz = np.fft.rfftfreq(self._segment, 1 / data.sample_rate_hz)
        begin, end = max(data.stretches.tolist(), key=lambda stretch: stretch[1] - stretch[0])
        self.looked_at = data.read(begin, min(end, begin + round(_LOOK_S * data.sample_rate_hz)))
        facts = [
            WitnessFacts.of(name, values, data.sample_rate_hz)
            for name, values in zip(data.names[1:], self.looked_at[1:])
        ]
        self.library = FeatureLibrary(facts, data.sample_rate_hz, settings.level)
        white = whitening_filter(self.looked_at[0], data.sample_rate_hz, data.band_hz, _WHITENING_S)
        self._white = ZeroPhaseFilter(offset=0.0, taps=white.taps)

    def coherence(self, features: Sequence[Feature]) -> CoherenceSums:
        sums = CoherenceSums.zeros(len(features), self._segment)
        for begin, end in self._data.blocks:
            values, target = self._block(begin, end, features)
            sums.update(values, target)
        return sums.filled(self._data.reduce(sums.flat()))

    def cross(self, features: Sequence[Feature], folds: int) -> list[CrossSums]:
        parts = [CrossSums.zeros(len(features), self._segment) for _ in range(folds)]
        for begin, end in self._data.blocks:
            values, target = self._block(begin, end, features)
            # Which fold a block is in depends on its time alone, not on the process that has it.
            parts[begin // (32 * self._segment) % folds].update(values, target)
        return [part.filled(self._data.reduce(part.flat())) for part in parts]

    def _block(self, begin: int, end: int, features: Sequence[Feature]) -> tuple[np.ndarray, np.ndarray]:
        half = len(self._white.taps) // 2
        margin = self.library.reach + half
        first, last = next(one for one in self._data.stretches.tolist() if one[0] <= begin and end <= one[1])
        low, high = max(first, begin - margin), min(last, end + margin)
        values = self._data.read(low, high)
        made = self.library.compute(values[1:], features)
        inside = slice(begin - low, end - low)
        whitened = [self._whiten(series, half)[inside] for series in (values[0] - values[0].mean(), *made)]
        stacked = np.stack(whitened)
        return stacked[1:], stacked[0]

    def _whiten(self, values: np.ndarray, half: int) -> np.ndarray:
        return self._white(np.pad(values, half))


def _fringes(
    library: FeatureLibrary,
    values: np.ndarray,
    band_hz: tuple[float, float],
    nominal: Sequence[float],
) -> list[Feature]:
    """Give sine and cosine of each slow channel at the wavelengths that are supposed or found, of (C, T)."""
    found = []
    for number, facts in enumerate(library.facts):
        if facts.slow:
            position = facts.deviation * library.slow(values[1:], [number])[0]
            for wavelength in find_wavelengths(
                values[0], position, facts.speed, library.sample_rate_hz, band_hz, nominal
            ):
                found += [
                    Feature(kind=kind, fast=number, wavelength=wavelength) for kind in ("sine", "cosine")
                ]
    return found


def _worth_it(
    sums: CoherenceSums, frequency_hz: np.ndarray, band_hz: tuple[float, float], settings: SolutionSettings
) -> np.ndarray:
    """Tell which features have evidence anywhere in the band, at most 96: (F,) bool."""
    inside = (frequency_hz >= band_hz[0]) & (frequency_hz <= band_hz[1])
    width = max(0, round(settings.smoothing_hz / (frequency_hz[1] - frequency_hz[0])))
    gain = log_likelihood_gain(sums.coherence, sums.segments)
    best = running_mean(gain, width)[inside].max(axis=0)
    # A feature without anything in common gains 1 on average, with a spread that the smoothing makes small.
    order = np.argsort(-best)[:_MOST_FEATURES]
    found = np.zeros(len(best), dtype=bool)
    found[order] = best[order] > 0.75 * settings.evidence
    return found


def _ranking(
    facts: Sequence[WitnessFacts], features: Sequence[Feature], solution: Solution
) -> list[tuple[str, float]]:
    """Give each channel the evidence of the features that it is the witness of, the best first."""
    shares = dict.fromkeys((one.name for one in facts), 0.0)
    for feature, evidence in zip(features, solution.evidence):
        shares[facts[feature.fast].name] += float(evidence)
        if feature.slow >= 0:
            shares[facts[feature.slow].name] += float(evidence)
    total = max(sum(shares.values()), 1e-300)
    return sorted(((name, share / total) for name, share in shares.items()), key=lambda one: -one[1])
