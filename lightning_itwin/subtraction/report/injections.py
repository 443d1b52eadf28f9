"""Signals in a strain, found again before and after a subtraction."""

# T samples, J injections

from __future__ import annotations

import numpy as np

from lightning_itwin.subtraction.report.evidence import Injections, Spectra, Subtraction
from lightning_itwin.subtraction.report.transients import truth_times
from lightning_itwin.subtraction.report.whitened import Whitening

_NAMES = ("truth/injections",)
_LEAST_SNR = 4.0
_SLACK_S = 0.25


def measure_injections(subtraction: Subtraction, spectra: Spectra) -> Injections | None:
    """Measure the matched-filter SNR of each signal of the truth, and how much of it was subtracted.

    A signal h has the SNR ``<s|h> / sqrt(<h|h>)`` in a strain s, with the noise's own spectrum in the inner
    product, so before and after have spectra of their own; the fraction of it that was subtracted is
    ``<n|h> / <h|h>`` for the noise n that was subtracted. That has an error of about 1 / SNR where much was
    subtracted, so it shows an unsafe channel, and a safe one only on the mean.

    Args:
        subtraction: the data and the noise.
        spectra: of it.

    Returns:
        The signals; None where the truth is not known, or holds none.
    """
    before_by, after_by = (
        Whitening(subtraction, spectra.usable_hz),
        Whitening(subtraction, spectra.usable_hz, after=True),
    )
    times = truth_times(subtraction, before_by, _NAMES, _LEAST_SNR)
    if not len(times):
        return None
    clock = subtraction.data.clock
    rows = []
    for start_s, peak_s, end_s, _ in times.tolist():
        middle = round((peak_s - clock.gps_start_s) * clock.sample_rate_hz)
        segment = subtraction.covered[np.searchsorted(subtraction.covered[:, 0], middle, side="right") - 1]
        first, last = (
            round((at_s - clock.gps_start_s) * clock.sample_rate_hz)
            for at_s in (start_s - _SLACK_S, end_s + _SLACK_S)
        )
        begin = max(int(segment[0]), first - before_by.lost)
        end = min(int(segment[1]), last + before_by.lost)
        if end - begin <= 2 * before_by.lost:
            continue
        signal = subtraction.part(_NAMES, begin, end)
        strain, noise = subtraction.strain(begin, end), subtraction.noise(begin, end)
        snrs = [
            _snr(by(series), by(signal, centred=True), by.weight)
            for by, series in ((before_by, strain), (after_by, strain - noise))
        ]
        template = before_by(signal, centred=True)
        fraction = float(np.dot(before_by(noise, centred=True), template) / np.dot(template, template))
        rows.append((peak_s, *snrs, fraction))
    if not rows:
        return None
    table = np.array(rows)
    return Injections(
        gps_s=table[:, 0], snr_before=table[:, 1], snr_after=table[:, 2], subtracted=table[:, 3]
    )


def _snr(series: np.ndarray, template: np.ndarray, weight: float) -> float:
    return float(np.sqrt(weight) * np.dot(series, template) / np.linalg.norm(template))
