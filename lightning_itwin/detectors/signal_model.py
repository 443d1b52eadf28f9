"""From a binary to the whitened spectra that a set of detectors would record of it without noise."""

# B batch, S sets of PSDs, D detectors, F frequencies in the band

from __future__ import annotations

from dataclasses import fields

import torch
from torch import Tensor

from lightning_itwin.cuda_graph import RecordedFunction
from lightning_itwin.detectors.observation import Observation
from lightning_itwin.detectors.projection import antenna_patterns, arrival_delays_s, time_shift
from lightning_itwin.detectors.sidereal_time import sidereal_rate_rad_per_s, sidereal_time_rad
from lightning_itwin.waveforms import Binary, EndsEarly, Recordable, Waveform

_SCALE = 1e23  # brings strain of 1e-23 to 1: squares and products stay inside float32


class SignalModel:
    """Computes whitened signals: waveform, antenna patterns, arrival times, whitening.

    Args:
        waveform: gives the polarisations.
        observation: gives detectors, band and noise level; binaries must come on its device.
        highest_hz: no binary that comes has a signal above it (``highest_frequency_hz``); None: nobody knows.
    """

    def __init__(self, waveform: Waveform, observation: Observation, highest_hz: float | None = None) -> None:
        self.waveform = waveform
        self.observation = observation
        self.highest_hz = highest_hz
        settings = observation.settings
        self._sidereal_time_rad = sidereal_time_rad(settings.gps_time_s)
        self._sidereal_rate = sidereal_rate_rad_per_s(settings.gps_time_s)
        self._merger_s = settings.duration_s - settings.after_merger_s
        self._whitening = (1 / (_SCALE * observation.standard_deviation)).to(torch.float32)

    def to(self, device: torch.device | str) -> SignalModel:
        """Give the same model on a device."""
        return SignalModel(self.waveform, self.observation.to(device), self.highest_hz)

    @property
    def num_audible(self) -> int:
        """Frequencies of the band up to the last where any binary that comes can have a signal."""
        return self._count(self.highest_hz)

    @property
    def recordable(self) -> bool:
        """Whether ``RecordedSignals`` can be made of it: on a GPU, by a waveform of launches alone."""
        recordable = isinstance(self.waveform, Recordable) and self.waveform.recordable
        return self.observation.device.type == "cuda" and recordable

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
        signal = self.audible(binary, psd_index)
        count, all_frequencies = signal.shape[-1], self.observation.num_frequencies
        if count == all_frequencies:
            return signal
        full = signal.new_zeros((*signal.shape[:-1], all_frequencies))
        full[..., :count] = signal
        return full

    def audible(self, binary: Binary, psd_index: Tensor | None = None) -> Tensor:
        """Give the whitened signals up to the last frequency where any of them can be other than zero.

        Args:
            binary: as for a call.
            psd_index: as for a call.

        Returns:
            the first frequencies of what a call gives, (B, D, at most F) complex64.
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
        return signal

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
        # On a GPU the waveform is not asked which frequencies are zero: that would wait for the device and
        # change shapes from batch to batch.
        if self.observation.device.type == "cpu" and isinstance(self.waveform, EndsEarly):
            return self._count(self.waveform.highest_frequency_hz(binary))
        return self.num_audible

    def _count(self, highest_hz: float | None) -> int:
        count = self.observation.num_frequencies
        if highest_hz is None:
            return count
        steps = highest_hz / self.observation.step_hz
        return int(min(max(steps - self.observation.first + 2, 2), count))


class RecordedSignals:
    """The signals of a ``SignalModel``; on a GPU from one CUDA graph, a thousand small launches in one.

    Args:
        model: whose signals; one that is not ``recordable`` is asked itself.
    """

    def __init__(self, model: SignalModel) -> None:
        self.model = model
        self._recorded = RecordedFunction(self._of_columns)

    def audible(self, binary: Binary, psd_index: Tensor | None = None) -> Tensor:
        """Give the whitened signals as ``SignalModel.audible`` does.

        Returns:
            (B, D, at most F) complex64; if ``model.recordable``, the next call writes over them.
        """
        if not self.model.recordable:
            return self.model.audible(binary, psd_index)
        columns = torch.stack([getattr(binary, field.name) for field in fields(Binary)], dim=1)
        if psd_index is None:
            psd_index = torch.zeros(len(binary), dtype=torch.int64, device=columns.device)
        return self._recorded(columns, psd_index)

    def _of_columns(self, columns: Tensor, psd_index: Tensor) -> Tensor:
        values = columns.unbind(dim=1)
        binary = Binary(**{field.name: value for field, value in zip(fields(Binary), values)})
        return self.model.audible(binary, psd_index)


def _check_index(psd_index: Tensor | None, sets: int) -> None:
    # A GPU checks an index by itself; there it must not be waited for.
    if psd_index is None or psd_index.device.type != "cpu" or not len(psd_index):
        return
    if psd_index.min() < 0 or psd_index.max() >= sets:
        raise ValueError(f"psd_index must lie between 0 and {sets - 1}, the sets of PSDs of the observation.")
