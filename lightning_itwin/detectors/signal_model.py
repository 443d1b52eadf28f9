"""From a binary to the whitened spectra that a set of detectors would record of it without noise."""

# B batch, S sets of PSDs, D detectors, F frequencies in the band

from __future__ import annotations

import torch
from torch import Tensor

from lightning_itwin.detectors.observation import Observation
from lightning_itwin.detectors.projection import antenna_patterns, arrival_delays_s, time_shift
from lightning_itwin.detectors.sidereal_time import sidereal_rate_rad_per_s, sidereal_time_rad
from lightning_itwin.waveforms import Binary, EndsEarly, Waveform

_SCALE = 1e23  # brings strain of 1e-23 to 1: squares and products stay inside float32


class SignalModel:
    """Computes whitened signals: waveform, antenna patterns, arrival times, whitening.

    Args:
        waveform: gives the polarisations.
        observation: gives detectors, band and noise level; binaries must come on its device.
    """

    def __init__(self, waveform: Waveform, observation: Observation) -> None:
        self.waveform = waveform
        self.observation = observation
        settings = observation.settings
        self._sidereal_time_rad = sidereal_time_rad(settings.gps_time_s)
        self._sidereal_rate = sidereal_rate_rad_per_s(settings.gps_time_s)
        self._merger_s = settings.duration_s - settings.after_merger_s
        self._whitening = (1 / (_SCALE * observation.standard_deviation)).to(torch.float32)

    def to(self, device: torch.device | str) -> SignalModel:
        """Give the same model on a device."""
        return SignalModel(self.waveform, self.observation.to(device))

    def __call__(self, binary: Binary, psd_index: Tensor | None = None) -> Tensor:
        """Give the whitened signals.

        Args:
            binary: the binaries, B of them.
            psd_index: which set of PSDs whitens each of them, (B,) int64; the first one by default.

        Returns:
            whitened spectra, (B, D, F) complex64; the sum of their squared magnitudes is the optimal SNR^2.

        Raises:
            ValueError: psd_index is not (B,) or names a set that is not there.
        """
        observation = self.observation
        if psd_index is not None and tuple(psd_index.shape) != (len(binary),):
            raise ValueError(f"psd_index must be ({len(binary)},), not {tuple(psd_index.shape)}.")
        count = self._evaluated(binary)
        plus, cross = self.waveform(binary, observation.frequency_hz[:count])
        f_plus, f_cross, delay_s = self.projection(binary)
        # The scale first, while the numbers are still as wide as the waveform made them.
        plus, cross = ((h * _SCALE).to(torch.complex64)[:, None] for h in (plus, cross))
        signal = plus * f_plus.to(torch.float32)[..., None]
        signal.addcmul_(cross, f_cross.to(signal.dtype)[..., None])
        signal *= time_shift(
            self._merger_s + delay_s, observation.first, count, observation.step_hz, torch.complex64
        )
        if psd_index is None or observation.num_psds == 1:
            _check_index(psd_index, 1)
            signal *= self._whitening[0, :, :count]
        else:
            _check_index(psd_index, observation.num_psds)
            signal *= self._whitening[psd_index][..., :count]
        if count == observation.num_frequencies:
            return signal
        full = signal.new_zeros((*signal.shape[:-1], observation.num_frequencies))
        full[..., :count] = signal
        return full

    def projection(self, binary: Binary) -> tuple[Tensor, Tensor, Tensor]:
        """Give antenna patterns and arrival times.

        Args:
            binary: the binaries, B of them.

        Returns:
            F plus, F cross, and the time of the merger at each detector after the reference time in seconds,
            (B, D) float64 each.
        """
        turned = self._sidereal_time_rad + self._sidereal_rate * binary.time_s
        f_plus, f_cross = antenna_patterns(
            self.observation.response, binary.ra_rad, binary.dec_rad, binary.psi_rad, turned
        )
        delay_s = arrival_delays_s(self.observation.vertex_m, binary.ra_rad, binary.dec_rad, turned)
        return f_plus, f_cross, binary.time_s[:, None] + delay_s

    def _evaluated(self, binary: Binary) -> int:
        # On the CPU the waveform is not asked for the frequencies where it is zero. On a GPU this would wait
        # for the device and change shapes from batch to batch.
        count = self.observation.num_frequencies
        if self.observation.device.type != "cpu" or not isinstance(self.waveform, EndsEarly):
            return count
        steps = self.waveform.highest_frequency_hz(binary) / self.observation.step_hz
        return int(min(max(steps - self.observation.first + 2, 2), count))


def _check_index(psd_index: Tensor | None, sets: int) -> None:
    # A GPU checks an index by itself; there it must not be waited for.
    if psd_index is None or psd_index.device.type != "cpu" or not len(psd_index):
        return
    if psd_index.min() < 0 or psd_index.max() >= sets:
        raise ValueError(f"psd_index must lie between 0 and {sets - 1}, the sets of PSDs of the observation.")
