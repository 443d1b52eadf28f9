"""Numbers of a report, from its evidence."""

# F frequencies

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from lightning_itwin.subtraction.report.evidence import Evidence, Spectra

LOWEST_HZ = 10.0
_HARMLESS_RATIO, _SIGMAS = 1.01, 4.0
_EDGES_HZ = (10.0, 20.0, 30.0, 48.0, 52.0, 90.0, 120.0, 200.0, 400.0, 1000.0, 2000.0, 8000.0)


@dataclass(frozen=True, kw_only=True)
class BandRow:
    """What was removed in a band.

    Args:
        low_hz: lower edge.
        high_hz: upper edge.
        before: root mean square of the strain in the band.
        after: of the cleaned strain.
        removed: fraction of the power removed; negative where power was added.
        ideal: fraction that the ideal subtraction removes; None where it is not known.
        worst_ratio: highest ASD ratio of any band of 1 Hz in it.
    """

    low_hz: float
    high_hz: float
    before: float
    after: float
    removed: float
    ideal: float | None
    worst_ratio: float


def band_rows(spectra: Spectra) -> list[BandRow]:
    """Give power before and after by band."""
    edges = [edge for edge in _EDGES_HZ if edge < spectra.usable_hz] + [spectra.usable_hz]
    step_hz = float(spectra.frequency_hz[1] - spectra.frequency_hz[0])
    centre_hz, ratio = asd_ratio_by_hz(spectra)
    found = []
    for low_hz, high_hz in itertools.pairwise(edges):
        inside = (spectra.frequency_hz >= low_hz) & (spectra.frequency_hz < high_hz)
        near = (centre_hz >= low_hz) & (centre_hz < high_hz)
        if not inside.any() or not near.any():
            continue
        before, after = (float(psd[inside].sum() * step_hz) for psd in (spectra.before, spectra.after))
        ideal = None if spectra.ideal is None else float(spectra.ideal[inside].sum() * step_hz)
        found.append(
            BandRow(
                low_hz=low_hz,
                high_hz=high_hz,
                before=before**0.5,
                after=after**0.5,
                removed=1 - after / before,
                ideal=None if ideal is None else 1 - ideal / before,
                worst_ratio=float(ratio[near].max()),
            )
        )
    return found


def asd_ratio_by_hz(spectra: Spectra, other: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Give the root of the ratio of powers in bands of 1 Hz: after over before.

    Args:
        spectra: before and after.
        other: PSD to put in the place of ``after``.

    Returns:
        Middle of each band in Hz, and the ratio.
    """
    inside = (spectra.frequency_hz >= LOWEST_HZ) & (spectra.frequency_hz < spectra.usable_hz)
    band = np.floor(spectra.frequency_hz[inside]).astype(int)
    after = spectra.after if other is None else other
    first = int(band[0])
    sums = [np.bincount(band - first, weights=psd[inside]) for psd in (spectra.before, after)]
    there = sums[0] > 0
    return (np.flatnonzero(there) + first + 0.5), np.sqrt(sums[1][there] / sums[0][there])


@dataclass(frozen=True, kw_only=True)
class WorstBand:
    """The band of 1 Hz that fares worst.

    Args:
        frequency_hz: its middle.
        ratio: ASD after over before.
        chance: how much above 1 the ratio comes by chance, where the subtraction is harmless.
    """

    frequency_hz: float
    ratio: float
    chance: float

    @property
    def harmless(self) -> bool:
        """Whether the band is at most 1 % worse than before, beyond chance."""
        return self.ratio <= _HARMLESS_RATIO + self.chance


def worst_band(spectra: Spectra) -> WorstBand:
    """Give the band of 1 Hz that fares worst, beyond chance if any does.

    Background and noise are independent, but over a time T their product in a band B does not vanish: it
    makes the ratio of the ASDs of a harmless subtraction ``1 +- sqrt(P_n / (2 P T B))``, for the powers P_n
    of what was subtracted and P of the strain. Four times that counts as chance.
    """
    hz, ratio = asd_ratio_by_hz(spectra)
    _, share = asd_ratio_by_hz(spectra, spectra.subtracted)
    chance = _SIGMAS * share / np.sqrt(2 * max(spectra.time_s, 1.0))
    beyond = ratio - chance
    at = int(beyond.argmax() if beyond.max() > _HARMLESS_RATIO else ratio.argmax())
    return WorstBand(frequency_hz=float(hz[at]), ratio=float(ratio[at]), chance=float(chance[at]))


def mean_range(evidence: Evidence, name: str) -> float:
    """Give the mean of the BNS range over epochs, in Mpc."""
    return float(evidence.range_mpc[name].mean())


def recovered_fraction(evidence: Evidence) -> float | None:
    """Give (after - before) / (ideal - before) of the BNS range; None where no gain is known to be there."""
    if "ideal" not in evidence.range_mpc:
        return None
    before, after, ideal = (mean_range(evidence, name) for name in ("before", "after", "ideal"))
    return (after - before) / (ideal - before) if ideal > before * 1.0005 else None


def short_name(name: str, most: int = 26) -> str:
    """Give a channel's name without its detector, shortened in the middle.

    >>> short_name("V1:ENV_WEB_MAG_N"), len(short_name("V1:" + 40 * "X"))
    ('ENV_WEB_MAG_N', 26)
    """
    name = name.partition(":")[2] or name
    return name if len(name) <= most else f"{name[: most // 2]}…{name[len(name) - most + most // 2 + 1 :]}"


def signed(value: float) -> str:
    """Write a number with its sign.

    >>> signed(2.04), signed(-2.04)
    ('+2.0', '−2.0')
    """
    return f"{value:+.1f}".replace("-", "−")


def band_cells(spectra: Spectra) -> list[list[str]]:
    """Give the table of the bands as words: its head, then a row a band."""
    rows = band_rows(spectra)
    ideal = any(row.ideal is not None for row in rows)
    head = ["band", "rms before", "rms after", "power removed", *(["ideally"] if ideal else []), "worst 1 Hz"]
    lines = [head]
    for row in rows:
        cells = [f"{row.low_hz:.0f} to {row.high_hz:.0f} Hz", f"{row.before:.3g}", f"{row.after:.3g}"]
        cells += [f"{100 * row.removed:.1f} %"]
        cells += [f"{100 * row.ideal:.1f} %"] if row.ideal is not None else []
        lines.append([*cells, f"{signed(100 * (row.worst_ratio - 1))} %"])
    return lines
