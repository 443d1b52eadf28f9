"""Signals in a strain, found again before and after a subtraction."""

# T samples, J injections

from __future__ import annotations

import numpy as np

from lightning_itwin.strain.chirp import binary_chirp
from lightning_itwin.strain.matched_filter import MatchedFilter
from lightning_itwin.subtraction.report.evidence import Injections, Spectra, Subtraction
from lightning_itwin.subtraction.report.transients import truth_times
from lightning_itwin.subtraction.report.whitened import LOWEST_HZ, Whitening

_NAMES = ("truth/injections",)
_LEAST_SNR = 4.0
_SLACK_S = 0.25
_REACH_S = 5.0  # of a filter beyond its template: more than the inverse of the spectra's resolution
# Signals that are added: black holes of 30 suns each.
_ADDED_SNR, _MASS_MSUN, _APART_S, _MOST = 12.0, 30.0, 32.0, 64


def measure_injections(subtraction: Subtraction, spectra: Spectra) -> Injections | None:
    """Measure the matched-filter SNR of signals before and after, and how much of each was subtracted.

    The inner products have the spectrum of the strain before, and of the cleaned strain after. The fraction
    subtracted, ``<n|h> / <h|h>`` for the noise n that was subtracted, has an error of about 1 / SNR where
    much was subtracted, so it shows an unsafe channel, and a safe one only on the mean.

    Where no signals are known, some of an SNR of 12 are added to strain and cleaned strain alike, every half
    a minute or more. They tell by how much a signal gains, and nothing of how safe the channels are.

    Args:
        subtraction: the data and the noise.
        spectra: of it.

    Returns:
        The signals; None where there is no room for any.
    """
    return _known(subtraction, spectra) or _added(subtraction, spectra)


def _known(subtraction: Subtraction, spectra: Spectra) -> Injections | None:
    if not any(name.startswith(_NAMES) for name in subtraction.truth):
        return None
    rate_hz = subtraction.data.sample_rate_hz
    by = Whitening(subtraction, spectra.usable_hz)
    reach = round(_REACH_S * rate_hz)
    rows: list[tuple[float, ...]] = []
    for start_s, peak_s, end_s, _ in truth_times(subtraction, by, _NAMES, _LEAST_SNR).tolist():
        first, middle, last = (
            round((at_s - subtraction.data.gps_start_s) * rate_hz)
            for at_s in (start_s - _SLACK_S, peak_s, end_s + _SLACK_S)
        )
        begin, end = _segment(subtraction, middle)
        first, last = max(begin, first), min(end, last)
        template = subtraction.part(_NAMES, first, last)
        begin, end = max(begin, first - reach), min(end, last + reach)
        strain, noise = subtraction.strain(begin, end), subtraction.noise(begin, end)
        before, after = (
            MatchedFilter(template, rate_hz, psd, spectra.frequency_hz, _band(spectra))
            for psd in (spectra.before, spectra.after)
        )
        start = first - begin
        snrs = (before.snr(strain, start), after.snr(strain - noise, start))
        rows.append((peak_s, *snrs, before.fraction(noise, start)))
    return _injections(rows, software=False)


def _added(subtraction: Subtraction, spectra: Spectra) -> Injections | None:
    rate_hz = subtraction.data.sample_rate_hz
    shape = binary_chirp(_MASS_MSUN, _MASS_MSUN, rate_hz, lowest_hz=LOWEST_HZ)
    before, after = (
        MatchedFilter(shape.values, rate_hz, psd, spectra.frequency_hz, _band(spectra))
        for psd in (spectra.before, spectra.after)
    )
    reach = round(_REACH_S * rate_hz)
    grown = _ADDED_SNR * after.optimal_snr / before.optimal_snr
    rows: list[tuple[float, ...]] = []
    for begin, end in subtraction.covered.tolist():
        count = min(_MOST, int((end - begin) / (_APART_S * rate_hz)))
        for first in np.linspace(begin, end - len(shape.values), count + 2)[1:-1].astype(int).tolist():
            low, high = max(begin, first - reach), min(end, first + len(shape.values) + reach)
            strain, noise = subtraction.strain(low, high), subtraction.noise(low, high)
            start = first - low
            gps_s = float(subtraction.data.clock.gps_s(first + shape.merger))
            # the filters are linear: a signal of SNR 12 adds its own ratio to that of the noise
            snrs = (_ADDED_SNR + before.snr(strain, start), grown + after.snr(strain - noise, start))
            rows.append((gps_s, *snrs, np.nan))
    return _injections(rows[:: -(-len(rows) // _MOST) or 1], software=True)


def _band(spectra: Spectra) -> tuple[float, float]:
    return LOWEST_HZ, spectra.usable_hz


def _segment(subtraction: Subtraction, sample: int) -> tuple[int, int]:
    """Give the range without a gap that a sample lies in."""
    at = int(np.searchsorted(subtraction.covered[:, 0], sample, side="right")) - 1
    begin, end = subtraction.covered[max(at, 0)].tolist()
    return begin, end


def _injections(rows: list[tuple[float, ...]], software: bool) -> Injections | None:
    if not rows:
        return None
    table = np.array(rows)
    return Injections(
        gps_s=table[:, 0],
        snr_before=table[:, 1],
        snr_after=table[:, 2],
        subtracted=table[:, 3],
        software=software,
    )
