"""Measures a subtraction: spectra, range, coherence, ranking of channels."""

# T samples, W witnesses, F frequencies, E epochs

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from lightning_itwin.strain.bns_range import bns_range_mpc
from lightning_itwin.strain.segments import duration
from lightning_itwin.strain.spectra import CoherenceSums, power_spectrum
from lightning_itwin.subtraction.report.evidence import (
    UNWITNESSED,
    Coherences,
    Evidence,
    Spectra,
    Subtraction,
)
from lightning_itwin.subtraction.report.injections import measure_injections
from lightning_itwin.subtraction.report.transients import find_transients, scan_triples
from lightning_itwin.subtraction.report.veto_curve import veto_curve
from lightning_itwin.subtraction.report.whitened import usable_hz

EPOCH_S, SEGMENT_S = 32.0, 4.0
LOWEST_HZ = 10.0
LEAST_S = 8.0
_BLOCK_S = 64.0


def measure(subtraction: Subtraction, ranking: Sequence[tuple[str, float]] = ()) -> Evidence:
    """Measure what a subtraction did.

    Args:
        subtraction: the data and the noise.
        ranking: channels by what they contributed, where the model knows; else they are ranked by the part of
            the strain's whitened power that is coherent with them.

    Raises:
        ValueError: there is no stretch of 8 s from which noise was subtracted.
    """
    spectra = _spectra(subtraction)
    usable = (spectra.frequency_hz >= LOWEST_HZ) & (spectra.frequency_hz <= spectra.usable_hz)
    ranges = {
        name: bns_range_mpc(psd[:, usable], spectra.frequency_hz[usable])
        for name, psd in (
            ("before", spectra.epochs_before),
            ("after", spectra.epochs_after),
            ("ideal", spectra.epochs_ideal),
        )
        if psd is not None
    }
    coherences = _coherences(subtraction, spectra)
    transients = find_transients(subtraction, spectra)
    injections = measure_injections(subtraction, spectra)
    clock, covered = subtraction.data.clock, subtraction.covered
    return Evidence(
        spectra=spectra,
        range_mpc=ranges,
        coherences=coherences,
        transients=transients,
        scans=scan_triples(subtraction, spectra, transients, injections),
        injections=injections,
        veto=veto_curve(subtraction, transients, injections),
        ranking=list(ranking) or _ranking(coherences, spectra.usable_hz),
        live_s=duration(covered) / clock.sample_rate_hz,
        span_s=(float(clock.gps_s(int(covered[0, 0]))), float(clock.gps_s(int(covered[-1, 1])))),
    )


def _spectra(subtraction: Subtraction) -> Spectra:
    data = subtraction.data
    rate_hz = data.sample_rate_hz
    psds: dict[str, list[np.ndarray]] = {"before": [], "after": [], "subtracted": [], "ideal": []}
    middles, time_s = [], 0.0
    frequency_hz = np.zeros(0)
    for begin, end in epochs(subtraction.covered, rate_hz):
        strain = subtraction.strain(begin, end)
        noise = subtraction.noise(begin, end)
        series = {"before": strain, "after": strain - noise, "subtracted": noise}
        if subtraction.knows_truth:
            series["ideal"] = subtraction.part(UNWITNESSED, begin, end)
        for name, values in series.items():
            frequency_hz, psd = power_spectrum(values, rate_hz, SEGMENT_S)
            psds[name].append(psd)
        middles.append((begin + end) / 2)
        time_s += (end - begin) / rate_hz
    if not middles:
        raise ValueError(
            f"A report needs a stretch of {LEAST_S:g} s or more from which noise was subtracted."
        )
    stacked = {name: np.stack(rows) for name, rows in psds.items() if rows}
    return Spectra(
        frequency_hz=frequency_hz,
        before=stacked["before"].mean(axis=0),
        after=stacked["after"].mean(axis=0),
        subtracted=stacked["subtracted"].mean(axis=0),
        ideal=stacked["ideal"].mean(axis=0) if "ideal" in stacked else None,
        epoch_gps_s=np.asarray(data.clock.gps_s(np.array(middles))),
        epochs_before=stacked["before"],
        epochs_after=stacked["after"],
        epochs_ideal=stacked.get("ideal"),
        usable_hz=usable_hz(data),
        time_s=time_s,
    )


def epochs(covered: np.ndarray, sample_rate_hz: float, length_s: float = EPOCH_S) -> list[tuple[int, int]]:
    """Cut ranges of samples into epochs of nearly equal length; rests shorter than 8 s are left out.

    Args:
        covered: ranges of samples, int64 (S, 2).
        sample_rate_hz: sample rate.
        length_s: of an epoch, at most about 1.5 times.

    >>> epochs(np.array([[0, 100]]), 1.0)
    [(0, 33), (33, 66), (66, 100)]
    """
    found = []
    for begin, end in covered.tolist():
        size = end - begin
        if size < LEAST_S * sample_rate_hz:
            continue
        count = max(1, round(size / (length_s * sample_rate_hz)))
        edges = [begin + size * number // count for number in range(count + 1)]
        found += list(itertools.pairwise(edges))
    return found


def _coherences(subtraction: Subtraction, spectra: Spectra) -> Coherences | None:
    data = subtraction.data
    sums = CoherenceSums(data.sample_rate_hz, SEGMENT_S)
    for begin, end in epochs(subtraction.covered, data.sample_rate_hz, _BLOCK_S):
        strain = subtraction.strain(begin, end)
        both = np.stack([strain, strain - subtraction.noise(begin, end)])
        sums.add(both, np.asarray(data.values[1:, begin:end], dtype=np.float64))
    if sums.segments < 4:
        return None
    before, after = sums.coherence()
    inside = (sums.frequency_hz >= LOWEST_HZ) & (sums.frequency_hz <= spectra.usable_hz)
    return Coherences(
        names=data.names[1:],
        frequency_hz=sums.frequency_hz[inside],
        before=before[:, inside],
        after=after[:, inside],
        segments=sums.segments,
    )


def _ranking(coherences: Coherences | None, usable_hz: float) -> list[tuple[str, float]]:
    """Rank witnesses by the mean coherence above what chance gives."""
    if coherences is None:
        return []
    chance = 1.0 / coherences.segments
    scores = np.clip(coherences.before - chance, 0, None).mean(axis=1)
    order = np.argsort(-scores)
    return [(coherences.names[at], float(scores[at])) for at in order]
