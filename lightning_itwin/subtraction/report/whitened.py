"""Whitens a strain and what was subtracted from it, so that they can be compared."""

# T samples, K taps

from __future__ import annotations

import numpy as np

from lightning_itwin.strain.aligned_channels import AlignedChannels
from lightning_itwin.strain.resampling import PASSED
from lightning_itwin.strain.whitening import TAPER_HZ, ZeroPhaseFilter, whitening_filter
from lightning_itwin.subtraction.report.evidence import Subtraction

_FILTER_S = 2.0
LOWEST_HZ = 20.0


def usable_hz(data: AlignedChannels) -> float:
    """Give the frequency up to which the strain on the clock holds what its files hold."""
    resampled = data.own_rate_hz[0] != data.sample_rate_hz
    return (PASSED if resampled else 0.98) * data.sample_rate_hz / 2


class Whitening:
    """Whitens by the spectrum of one stretch, so that what is whitened before and after may be compared.

    Args:
        subtraction: gives the stretch, the longest of up to 256 s.
        usable_hz: frequency up to which the data hold anything.
        after: whether the cleaned strain sets the spectrum.
    """

    def __init__(self, subtraction: Subtraction, usable_hz: float, after: bool = False) -> None:
        rate_hz = subtraction.data.sample_rate_hz
        covered = subtraction.covered
        begin, end = covered[np.argmax(covered[:, 1] - covered[:, 0])].tolist()
        end = min(end, begin + round(256 * rate_hz))
        values = subtraction.strain(begin, end)
        if after:
            values = values - subtraction.noise(begin, end)
        self.band_hz = (LOWEST_HZ - TAPER_HZ, usable_hz - TAPER_HZ)
        self._filter = whitening_filter(
            values, rate_hz, self.band_hz, min(_FILTER_S, (end - begin) / rate_hz / 4)
        )
        self.lost = len(self._filter.taps) // 2
        # of two series with unit variance in the band, to an inner product in units of SNR squared
        self.weight = 2 * (self.band_hz[1] - self.band_hz[0]) / rate_hz

    def __call__(self, values: np.ndarray, centred: bool = False) -> np.ndarray:
        """Whiten a series; half a filter is lost at each end.

        Args:
            values: (T,).
            centred: whether the mean has been taken off.
        """
        used = ZeroPhaseFilter(offset=0.0, taps=self._filter.taps) if centred else self._filter
        return used(values)
