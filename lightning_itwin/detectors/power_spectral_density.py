"""Power spectral densities: bilby's noise curves, text files, arrays, or estimated from strain."""

# F frequencies, T samples

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lightning_itwin.detectors.bilby_files import detector_folder
from lightning_itwin.optional import require

# Between any PSD (below 1e-30 / Hz) and any ASD (above 1e-27 / sqrt(Hz)) of a detector on the ground.
_LARGEST_PSD_PER_HZ = 1e-28


@dataclass(frozen=True, kw_only=True)
class PowerSpectralDensity:
    """A one-sided power spectral density of strain noise, linear between its frequencies.

    It holds plain numbers, so that it fits into a manifest.

    Args:
        name: what it is called in messages and files.
        frequency_hz: ascending frequencies.
        psd_per_hz: values at these, above 0.

    Raises:
        ValueError: the two do not fit each other, are not ascending or not positive.
    """

    name: str
    frequency_hz: tuple[float, ...]
    psd_per_hz: tuple[float, ...]

    def __post_init__(self) -> None:
        frequency_hz, psd = np.asarray(self.frequency_hz, float), np.asarray(self.psd_per_hz, float)
        if frequency_hz.shape != psd.shape or frequency_hz.ndim != 1 or len(psd) < 2:
            raise ValueError(f"PSD {self.name!r}: as many values as frequencies are needed, at least 2.")
        if not (np.diff(frequency_hz) > 0).all() or not (np.isfinite(psd) & (psd > 0)).all():
            raise ValueError(
                f"PSD {self.name!r}: frequencies must ascend, values must be finite and above 0."
            )

    def at(self, frequency_hz: np.ndarray) -> np.ndarray:
        """Give the PSD at frequencies.

        Args:
            frequency_hz: frequencies, (F,).

        Returns:
            PSD in 1/Hz, (F,).

        Raises:
            ValueError: a frequency lies outside of what is known.
        """
        low, high = self.frequency_hz[0], self.frequency_hz[-1]
        # A curve that stops a hair short of the band is no reason to refuse.
        if frequency_hz.min() < low * (1 - 1e-6) or frequency_hz.max() > high * (1 + 1e-6):
            raise ValueError(
                f"PSD {self.name!r} is known from {low:g} to {high:g} Hz, the band is "
                f"{frequency_hz.min():g} to {frequency_hz.max():g} Hz. Narrow the band with "
                "minimum_frequency_hz and maximum_frequency_hz."
            )
        return np.interp(frequency_hz, self.frequency_hz, self.psd_per_hz)


PSDSpec = str | PowerSpectralDensity | Mapping


def read_psd(spec: PSDSpec) -> PowerSpectralDensity:
    """Read a power spectral density.

    Args:
        spec: one of bilby's noise curves (``"ET_D"``, ``"aLIGO_O4_high"`` or a file name of it), a text file
            of two columns (frequency in Hz; PSD in 1/Hz, or ASD in 1/sqrt(Hz), told apart by ``psd`` or
            ``asd`` in the file's name, else by size), a :class:`PowerSpectralDensity`, or its fields as a
            mapping.

    Raises:
        ValueError: there is no such curve or file, or it is not understood.
        MissingExtraError: a name is given and bilby is not installed.
    """
    if isinstance(spec, PowerSpectralDensity):
        return spec
    if isinstance(spec, Mapping):
        return PowerSpectralDensity(
            name=str(spec["name"]),
            frequency_hz=tuple(map(float, spec["frequency_hz"])),
            psd_per_hz=tuple(map(float, spec["psd_per_hz"])),
        )
    path = Path(spec)
    if not path.is_file():
        folder = detector_folder() / "noise_curves"
        tried = [folder / f"{spec}{end}" for end in ("", "_psd.txt", "_asd.txt", ".txt")]
        path = next((file for file in tried if file.is_file()), path)
    if not path.is_file():
        known = sorted({file.stem.removesuffix("_psd").removesuffix("_asd") for file in folder.glob("*.txt")})
        raise ValueError(f"{spec!r} is neither a file nor one of bilby's noise curves: {', '.join(known)}.")
    try:
        frequency_hz, values = np.loadtxt(path, usecols=(0, 1), unpack=True, comments=("#", "%"))
    except (ValueError, IndexError) as error:
        raise ValueError(f"{path}: two columns of numbers are needed, frequency and PSD or ASD.") from error
    if _is_asd(path, values):
        values = values**2
    return PowerSpectralDensity(
        name=str(spec), frequency_hz=tuple(frequency_hz.tolist()), psd_per_hz=tuple(values.tolist())
    )


def _is_asd(path: Path, values: np.ndarray) -> bool:
    name = path.stem.lower()
    if ("asd" in name) != ("psd" in name):
        return "asd" in name
    return bool(np.nanmin(values) > _LARGEST_PSD_PER_HZ)


def estimate_psd(
    strain: np.ndarray,
    sample_rate_hz: float,
    *,
    segment_s: float,
    start_s: float = 0.0,
    exclude_s: tuple[float, float] | None = None,
    name: str = "estimated",
) -> PowerSpectralDensity:
    """Estimate a PSD from a stretch of strain by Welch's method, with the median over segments.

    Args:
        strain: samples, (T,).
        sample_rate_hz: sample rate.
        segment_s: length of a segment, Hann-windowed, overlapping by half.
        start_s: time of the first sample, on any clock.
        exclude_s: interval on that clock that no segment may touch: the event.
        name: of the PSD.

    Raises:
        ValueError: there are fewer than 4 segments without a gap (NaN) and outside the interval.
        MissingExtraError: scipy is not installed.

    Reference:
        FINDCHIRP, arXiv:gr-qc/0509116, section VI: the median and its bias.
    """
    signal = require("scipy.signal", extra="gw")
    length = round(segment_s * sample_rate_hz)
    starts = np.arange(0, len(strain) - length + 1, length // 2)
    if exclude_s is not None:
        begins_s = start_s + starts / sample_rate_hz
        starts = starts[(begins_s + segment_s <= exclude_s[0]) | (begins_s >= exclude_s[1])]
    segments = (
        np.stack([strain[start : start + length] for start in starts]) if len(starts) else np.empty((0, 1))
    )
    segments = segments[np.isfinite(segments).all(axis=1)]
    if len(segments) < 4:
        raise ValueError(
            f"PSD {name!r}: only {len(segments)} segments of {segment_s:g} s without a gap lie in "
            f"{len(strain)} samples outside {exclude_s}; at least 4 are needed. Give more data or shorter "
            "segments."
        )
    window = signal.get_window("hann", length)
    spectra = np.fft.rfft((segments - segments.mean(axis=1, keepdims=True)) * window, axis=1)
    power = np.median(np.abs(spectra) ** 2, axis=0) / _median_bias(len(segments))
    psd = 2 * power / (sample_rate_hz * np.sum(window**2))
    frequency_hz = np.fft.rfftfreq(length, 1 / sample_rate_hz)
    inside = slice(1, len(psd) - 1)  # the two ends are real, not complex: their scale is another
    return PowerSpectralDensity(
        name=name, frequency_hz=tuple(frequency_hz[inside].tolist()), psd_per_hz=tuple(psd[inside].tolist())
    )


def _median_bias(segments: int) -> float:
    terms = np.arange(1, segments + 1 if segments % 2 else segments)
    return float(np.sum((-1.0) ** (terms + 1) / terms))
