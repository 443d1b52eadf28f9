"""What a report of a subtraction is made from, and what it says: plain values and arrays."""

# T samples, C channels, W witnesses, F frequencies, E epochs, N transients, J injections

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lightning_itwin.strain.aligned_channels import AlignedChannels
from lightning_itwin.strain.q_transform import QScan
from lightning_itwin.subtraction.outputs.veto_list import VetoList

NoiseReader = Callable[[int, int], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Subtraction:
    """A subtraction that is to be reported.

    Args:
        data: strain and witnesses on one clock.
        noise: gives the noise that was subtracted over a range of samples of the clock, float64.
        covered: ranges of samples from which noise was subtracted, int64 (S, 2).
        vetoes: the veto list; may be empty.
        truth: parts of the strain by name, (T,) each, on the same clock, where a simulator knows them.
    """

    data: AlignedChannels
    noise: NoiseReader
    covered: np.ndarray
    vetoes: VetoList
    truth: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def strain_name(self) -> str:
        """Name of the strain."""
        return self.data.names[0]

    def strain(self, begin: int, end: int) -> np.ndarray:
        """Give the strain as it was over a range of samples, float64."""
        return self.data.values[0, begin:end].astype(np.float64)

    def part(self, names: Sequence[str], begin: int, end: int) -> np.ndarray:
        """Give the sum of the parts of the truth whose names begin with one of some, float64."""
        found = np.zeros(end - begin)
        for name, values in self.truth.items():
            if name.startswith(tuple(names)):
                found += np.nan_to_num(values[begin:end].astype(np.float64))
        return found

    @property
    def knows_truth(self) -> bool:
        """Whether the ideal subtraction is known."""
        return any(name.startswith("truth/background") for name in self.truth)


# What no witness can know; the rest of a simulated strain could ideally be subtracted.
UNWITNESSED = ("truth/background", "truth/glitches/unwitnessed", "truth/injections")


@dataclass(frozen=True, kw_only=True)
class Spectra:
    """Spectra before and after.

    Args:
        frequency_hz: (F,).
        before: PSD of the strain, mean over epochs of medians over segments, 1/Hz, (F,).
        after: PSD of the cleaned strain, (F,).
        subtracted: PSD of what was subtracted, (F,).
        ideal: PSD of the ideal subtraction, (F,); None where it is not known.
        epoch_gps_s: GPS time of the middle of each epoch, (E,).
        epochs_before: PSD of each epoch, (E, F).
        epochs_after: PSD of each epoch, (E, F).
        epochs_ideal: PSD of each epoch, (E, F), or None.
        usable_hz: frequencies up to which the spectra hold what the files hold.
        time_s: time that they were measured in.
    """

    frequency_hz: np.ndarray
    before: np.ndarray
    after: np.ndarray
    subtracted: np.ndarray
    ideal: np.ndarray | None
    epoch_gps_s: np.ndarray
    epochs_before: np.ndarray
    epochs_after: np.ndarray
    epochs_ideal: np.ndarray | None
    usable_hz: float
    time_s: float


@dataclass(frozen=True, kw_only=True)
class Coherences:
    """Coherence of the strain with the witnesses.

    Args:
        names: of the witnesses, (W,).
        frequency_hz: (F,).
        before: of the strain, (W, F).
        after: of the cleaned strain, (W, F).
        segments: number of segments.
    """

    names: tuple[str, ...]
    frequency_hz: np.ndarray
    before: np.ndarray
    after: np.ndarray
    segments: int


@dataclass(frozen=True, kw_only=True)
class Transients:
    """Loud moments of the strain.

    Args:
        gps_s: (N,).
        frequency_hz: of the loudest tile, (N,).
        snr_before: of the loudest tile, (N,).
        snr_after: of the loudest tile within 0.25 s after subtraction, (N,).
        kind: ``witnessed``, ``unwitnessed``, ``signal`` where the truth is known, else ``""``, (N,).
        quiet_snr: SNR of the loudest tile in half a second of quiet data, the median over many.
    """

    gps_s: np.ndarray
    frequency_hz: np.ndarray
    snr_before: np.ndarray
    snr_after: np.ndarray
    kind: tuple[str, ...]
    quiet_snr: float


@dataclass(frozen=True, kw_only=True)
class ScanTriple:
    """Q-scans around one moment.

    Args:
        title: what it is.
        gps_s: the moment.
        scans: of the strain before, after, and of what was subtracted; all whitened by the ASD before.
    """

    title: str
    gps_s: float
    scans: tuple[QScan, QScan, QScan]


@dataclass(frozen=True, kw_only=True)
class Injections:
    """Signals of known form in the strain, found again by their matched filter.

    Args:
        gps_s: (J,).
        snr_before: (J,).
        snr_after: (J,).
        subtracted: fraction of each signal that is in the noise that was subtracted, (J,); NaN for software.
        software: whether the signals were added after the subtraction, to strain and cleaned strain alike.
    """

    gps_s: np.ndarray
    snr_before: np.ndarray
    snr_after: np.ndarray
    subtracted: np.ndarray
    software: bool = False


@dataclass(frozen=True, kw_only=True)
class VetoCurve:
    """Efficiency of a veto against the time it costs.

    Args:
        threshold: of the probability, (K,), falling.
        dead_time: fraction of time vetoed, (K,).
        efficiency: fraction of glitches vetoed by kind, (K,) each.
    """

    threshold: np.ndarray
    dead_time: np.ndarray
    efficiency: Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that was measured.

    Args:
        spectra: before and after.
        range_mpc: BNS range of each epoch by name (``before``, ``after``, ``ideal``), (E,).
        coherences: with the witnesses; None where there is too little data.
        transients: loud moments.
        scans: of some of them.
        injections: signals; None where there is none.
        veto: the veto's curve; None without a veto list.
        ranking: channels by what they contributed, falling.
        live_s: time from which noise was subtracted.
        span_s: first and last GPS time.
    """

    spectra: Spectra
    range_mpc: Mapping[str, np.ndarray]
    coherences: Coherences | None
    transients: Transients
    scans: Sequence[ScanTriple]
    injections: Injections | None
    veto: VetoCurve | None
    ranking: Sequence[tuple[str, float]]
    live_s: float
    span_s: tuple[float, float]
