"""One stretch of data of a set of detectors: its band, its noise, and the way between series and spectrum."""

# B batch, S sets of PSDs, D detectors, F frequencies in the band, T samples

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.detectors.interferometer import Interferometer, interferometers
from lightning_itwin.detectors.noise import Seed, device_noise, seeded_noise
from lightning_itwin.detectors.power_spectral_density import PowerSpectralDensity, PSDSpec, read_psd


@dataclass(frozen=True, kw_only=True)
class ObservationSettings:
    """What fixes an observation, in plain values: ``dataclasses.asdict`` of it goes into JSON.

    Args:
        detectors: bilby's names; a triangle stands for its three interferometers.
        duration_s: length of the data.
        sample_rate_hz: sample rate.
        minimum_frequency_hz: lower edge of the band.
        maximum_frequency_hz: upper edge of the band; None for all frequencies below Nyquist's.
        gps_time_s: reference time; it fixes how the Earth is turned, and ``geocent_time`` counts from it.
        after_merger_s: time from the reference time to the end of the data.
        psds: sets of power spectral densities to choose from; a set is one spec for all detectors or a list
            of one spec a detector, see :func:`~lightning_itwin.detectors.power_spectral_density.read_psd`.

    Raises:
        ValueError: a value is outside its range, or the values do not fit each other.
    """

    detectors: list[str] = field(default_factory=lambda: ["ET"])
    duration_s: float = 8.0
    sample_rate_hz: float = 8192.0
    minimum_frequency_hz: float = 10.0
    maximum_frequency_hz: float | None = None
    gps_time_s: float = 1126259462.4
    after_merger_s: float = 1.0
    psds: list[Any] = field(default_factory=lambda: ["ET_D"])

    def __post_init__(self) -> None:
        samples = self.duration_s * self.sample_rate_hz
        if not samples > 0 or abs(samples - round(samples)) > 1e-6 or round(samples) % 2:
            raise ValueError(
                f"duration_s times sample_rate_hz must be an even number of samples, not {samples:g}."
            )
        nyquist_hz = self.sample_rate_hz / 2
        highest_hz = nyquist_hz if self.maximum_frequency_hz is None else self.maximum_frequency_hz
        if not 0 < self.minimum_frequency_hz < highest_hz <= nyquist_hz:
            raise ValueError(
                f"0 < minimum_frequency_hz < maximum_frequency_hz <= {nyquist_hz:g} Hz (half the sample "
                f"rate) is needed, not {self.minimum_frequency_hz:g} and {highest_hz:g}."
            )
        if not 0 <= self.after_merger_s <= self.duration_s:
            raise ValueError(
                f"after_merger_s must lie between 0 and duration_s, not be {self.after_merger_s:g}."
            )
        if not self.psds:
            raise ValueError("psds must name at least one set, such as ['ET_D'].")

    @property
    def start_time_s(self) -> float:
        """GPS time of the first sample."""
        return self.gps_time_s + self.after_merger_s - self.duration_s

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ObservationSettings:
        """Make settings from what ``dataclasses.asdict`` or a JSON file gave.

        Raises:
            ValueError: a key is not known.
        """
        unknown = set(values) - {known.name for known in fields(cls)}
        if unknown:
            raise ValueError(f"Unknown settings of an observation: {sorted(unknown)}.")
        return cls(**values)

    def self_contained(self) -> ObservationSettings:
        """Give the same settings with the numbers of every PSD in them, so that no file is needed."""
        return replace(self, psds=[[read_psd(spec) for spec in _each(psd_set)] for psd_set in self.psds])


class Observation:
    """Tensors of an observation on a device: band, noise level, geometry.

    Spectra are whitened: divided by ``standard_deviation``, so that the noise has unit variance in its real
    and in its imaginary part. Then log L = -1/2 sum |d - h|^2 and the optimal SNR^2 = sum |h|^2, both over
    D and F.

    Args:
        settings: what to observe with.
        device: where the tensors live.

    Attributes:
        settings: as given.
        interferometers: D of them; a triangle has given three.
        names: of the interferometers, D.
        first: number of the band's first frequency, in steps of 1 / duration.
        frequency_hz: k / duration in the band, (F,) float64.
        standard_deviation: sqrt(PSD duration / 4) in 1/Hz, (S, D, F) float64.
        samples: T.

    Raises:
        ValueError: a detector or PSD is not known, a PSD does not cover the band, or a set has not one PSD a
            detector.
        MissingExtraError: bilby is not installed, whose files describe detectors and noise curves.
    """

    def __init__(self, settings: ObservationSettings, device: torch.device | str = "cpu") -> None:
        self.settings = settings
        self.device = torch.device(device)
        self.interferometers: list[Interferometer] = interferometers(settings.detectors)
        self.names = [one.name for one in self.interferometers]
        self.samples = round(settings.duration_s * settings.sample_rate_hz)
        self.step_hz = 1 / settings.duration_s
        highest_hz = settings.maximum_frequency_hz or settings.sample_rate_hz / 2
        self.first = math.ceil(settings.minimum_frequency_hz * settings.duration_s - 1e-9)
        # The bin at Nyquist's frequency is real: no complex number fits into it.
        last = min(math.floor(highest_hz * settings.duration_s + 1e-9), self.samples // 2 - 1)
        frequency_hz = np.arange(self.first, last + 1) / settings.duration_s
        psds = [self._psd_set(psd_set, frequency_hz) for psd_set in settings.psds]
        self.frequency_hz = torch.from_numpy(frequency_hz).to(self.device)
        deviation = np.sqrt(np.stack(psds) * settings.duration_s / 4)
        self.standard_deviation = torch.from_numpy(deviation).to(self.device)
        self.vertex_m = torch.from_numpy(np.stack([one.vertex_m for one in self.interferometers])).to(
            self.device
        )
        response = np.stack([one.response for one in self.interferometers])
        self.response = torch.from_numpy(response).to(self.device)

    @property
    def num_detectors(self) -> int:
        """D."""
        return len(self.names)

    @property
    def num_psds(self) -> int:
        """S."""
        return len(self.standard_deviation)

    @property
    def num_frequencies(self) -> int:
        """F."""
        return len(self.frequency_hz)

    def to(self, device: torch.device | str) -> Observation:
        """Give the same observation on a device."""
        if torch.device(device) == self.device:
            return self
        moved = object.__new__(Observation)
        moved.__dict__.update(self.__dict__)
        moved.device = torch.device(device)
        for name in ("frequency_hz", "standard_deviation", "vertex_m", "response"):
            setattr(moved, name, getattr(self, name).to(device))
        return moved

    def noise(self, batch: int, generator: torch.Generator | Iterable[Seed]) -> Tensor:
        """Draw whitened noise.

        Args:
            batch: B.
            generator: a generator on any device, fast, one draw for the whole batch; or B seeds, a number or
                a tuple of numbers each, and then an event's noise depends on its seed alone, whatever the
                batch.

        Returns:
            noise, (B, D, F) complex64, on the observation's device; real and imaginary part of unit variance.

        Raises:
            ValueError: the number of seeds is not B.
        """
        shape = (self.num_detectors, self.num_frequencies)
        if isinstance(generator, torch.Generator):
            return device_noise(batch, shape, generator).to(self.device)
        seeds = list(generator)
        if len(seeds) != batch:
            raise ValueError(f"{batch} events need as many seeds, not {len(seeds)}.")
        return seeded_noise(seeds, shape).to(self.device)

    def to_series(self, spectrum: Tensor) -> Tensor:
        """Turn whitened spectra into whitened series.

        The scale, sqrt(T / 2), is such that white noise in all frequencies has unit variance in every sample.

        Args:
            spectrum: whitened, (B, D, F) complex, or (..., F).

        Returns:
            series, (B, D, T), real.
        """
        scale = math.sqrt(self.samples / 2)
        band = slice(self.first, self.first + self.num_frequencies)
        if spectrum.device.type != "cpu":
            full = spectrum.new_zeros((*spectrum.shape[:-1], self.samples // 2 + 1))
            torch.mul(spectrum, scale, out=full[..., band])
            return torch.fft.irfft(full, self.samples)
        # Event by event, so that the work stays in the cache: twice as fast.
        rows = spectrum.reshape(-1, spectrum.shape[-2] if spectrum.ndim > 1 else 1, spectrum.shape[-1])
        full = spectrum.new_zeros((rows.shape[1], self.samples // 2 + 1))
        series = torch.empty((*rows.shape[:2], self.samples), dtype=spectrum.real.dtype)
        for row, out in zip(rows, series):
            torch.mul(row, scale, out=full[:, band])
            torch.fft.irfft(full, self.samples, out=out)
        return series.reshape(*spectrum.shape[:-1], self.samples)

    def to_spectrum(self, series: Tensor) -> Tensor:
        """Turn whitened series into whitened spectra of the band; the inverse of :meth:`to_series` on the
        band.

        Args:
            series: whitened, (B, D, T), or (..., T).

        Returns:
            spectra, (B, D, F) complex.

        Raises:
            ValueError: the series is not T samples long.
        """
        if series.shape[-1] != self.samples:
            raise ValueError(f"A series of {self.samples} samples is needed, not {series.shape[-1]}.")
        full = torch.fft.rfft(series)
        return full[..., self.first : self.first + self.num_frequencies] / math.sqrt(self.samples / 2)

    def _psd_set(self, psd_set: Any, frequency_hz: np.ndarray) -> np.ndarray:
        specs = _each(psd_set)
        if len(specs) == 1:
            specs = specs * self.num_detectors
        if len(specs) != self.num_detectors:
            raise ValueError(
                f"A set of PSDs has one spec, or one for each of {self.names}, not {len(specs)} specs."
            )
        read: dict[int, np.ndarray] = {}
        for spec in specs:
            if id(spec) not in read:
                read[id(spec)] = read_psd(spec).at(frequency_hz)
        return np.stack([read[id(spec)] for spec in specs])


def _each(psd_set: PSDSpec | list[PSDSpec]) -> list[PSDSpec]:
    if isinstance(psd_set, (str, PowerSpectralDensity, Mapping)):
        return [psd_set]
    return list(psd_set)
