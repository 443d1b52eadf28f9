"""Loud moments of a strain, before and after a subtraction, by tiles of Q-transforms."""

# T samples, N transients

from __future__ import annotations

import numpy as np

from lightning_itwin.strain.q_transform import QScan, q_transform
from lightning_itwin.strain.segments import runs_of
from lightning_itwin.subtraction.report.evidence import (
    Injections,
    ScanTriple,
    Spectra,
    Subtraction,
    Transients,
)
from lightning_itwin.subtraction.report.whitened import LOWEST_HZ, Whitening

_CHUNK_S, _MARGIN_S = 64.0, 2.0
_TIME_STEP_S = 1 / 64
_NEAR_S = 0.25
_LEAST_SNR = 3.0
_APART_S = 1.0
# Of some 1e6 independent tiles of white noise in an hour one reaches an energy of 14, an SNR of 5.3.
LOUD_SNR = 6.5
_MOST = 2000
_QS = (6.0, 12.0, 24.0)
_SCAN_S = 1.0
_TITLES = {
    "witnessed": "Glitch with a witness",
    "unwitnessed": "Glitch without a witness",
    "signal": "Signal",
}
_GLITCHES = ("witnessed", "unwitnessed")
_KINDS = {
    "witnessed": ("truth/glitches/witnessed",),
    "unwitnessed": ("truth/glitches/unwitnessed",),
    "signal": ("truth/injections",),
}


def find_transients(subtraction: Subtraction, spectra: Spectra) -> Transients:
    """Find loud moments before the subtraction, and how loud they are after it.

    Where the truth is known, every glitch of it that is loud enough counts with its own SNR, and the other
    loud moments beside them.

    Args:
        subtraction: the data and the noise.
        spectra: of it.
    """
    rate_hz = subtraction.data.sample_rate_hz
    before_by, after_by = (Whitening(subtraction, spectra.usable_hz, after=after) for after in (False, True))
    known = {kind: truth_times(subtraction, before_by, _KINDS[kind], LOUD_SNR) for kind in _GLITCHES}
    glitches: dict[float, tuple[float, float, float, str]] = {}
    found: list[tuple[float, float, float, float]] = []
    quiet: list[float] = []
    near = round(_NEAR_S / _TIME_STEP_S)
    for begin, end in _chunks(subtraction.covered, rate_hz):
        strain = subtraction.strain(begin, end)
        cleaned = strain - subtraction.noise(begin, end)
        start_s = float(subtraction.data.clock.gps_s(begin + before_by.lost))
        loud_before, hz, times_s = _loudness(before_by(strain), rate_hz, spectra.usable_hz)
        loud_after = _running_max(_loudness(after_by(cleaned), rate_hz, spectra.usable_hz)[0], near)
        inner = (times_s >= _MARGIN_S) & (times_s <= times_s[-1] - _MARGIN_S)
        quiet += list(loud_after[inner][:: 4 * near])
        for at in _peaks(np.where(inner, loud_before, 0.0)):
            found.append((start_s + times_s[at], hz[at], loud_before[at], loud_after[at]))
        for kind, rows in known.items():
            for _, peak_s, _, snr in rows.tolist():
                at = int(np.searchsorted(times_s, peak_s - start_s))
                if 0 < at < len(times_s) and inner[at]:
                    glitches[peak_s] = (float(hz[at]), snr, float(loud_after[at]), kind)
    table = _told_once(np.array(found).reshape(-1, 4))
    apart = [all(abs(row[0] - peak_s) > _APART_S for peak_s in glitches) for row in table]
    table = table[np.array(apart, dtype=bool)]
    kinds = [*_kinds(subtraction, before_by, table[:, 0]), *(one[3] for one in glitches.values())]
    told = [[peak_s, *one[:3]] for peak_s, one in glitches.items()]
    table = np.concatenate([table, np.array(told).reshape(-1, 4)])
    order = np.argsort(table[:, 0], kind="stable")
    table = table[order]
    return Transients(
        gps_s=table[:, 0],
        frequency_hz=table[:, 1],
        snr_before=table[:, 2],
        snr_after=table[:, 3],
        kind=tuple(kinds[at] for at in order),
        quiet_snr=float(np.median(quiet)) if quiet else 0.0,
    )


def scan_triples(
    subtraction: Subtraction,
    spectra: Spectra,
    transients: Transients,
    injections: Injections | None = None,
    most: int = 4,
) -> list[ScanTriple]:
    """Scan the strain before, after, and what was subtracted, around the loudest moments.

    Where the truth is known, the loudest with witnesses and the loudest without are among them.

    Args:
        subtraction: the data and the noise.
        spectra: of it.
        transients: loud moments.
        injections: signals.
        most: scans of loud moments at most; one of a signal comes beside them.
    """
    rate_hz = subtraction.data.sample_rate_hz
    by = Whitening(subtraction, spectra.usable_hz)
    reach = round(4 * _SCAN_S * rate_hz) + by.lost
    found = []
    moments = [
        (_TITLES.get(transients.kind[at], "Loud moment"), float(transients.gps_s[at]))
        for at in _chosen(transients, most)
    ]
    if injections is not None and not injections.software:
        moments.append(("Signal", float(injections.gps_s[injections.snr_after.argmax()])))
    for title, gps_s in moments:
        middle = round((gps_s - subtraction.data.gps_start_s) * rate_hz)
        begin, end = _within(subtraction.covered, middle, reach)
        strain, noise = subtraction.strain(begin, end), subtraction.noise(begin, end)
        whole, gone = by(strain), by(noise, centred=True)
        highest_hz = min(spectra.usable_hz / (1 + np.sqrt(11.0) / _QS[1]) * 0.98, 1000.0)
        scans = [
            q_transform(
                series,
                rate_hz,
                q=_QS[1],
                frequency_range_hz=(LOWEST_HZ, highest_hz),
                rows=96,
                time_step_s=1 / 256,
            )
            for series in (whole, whole - gone, gone)
        ]
        offset_s = gps_s - (float(subtraction.data.clock.gps_s(begin)) + by.lost / rate_hz)
        cut = [_cut(scan, offset_s) for scan in scans]
        found.append(ScanTriple(title=title, gps_s=gps_s, scans=(cut[0], cut[1], cut[2])))
    return found


def _cut(scan: QScan, offset_s: float) -> QScan:
    inside = np.abs(scan.time_s - offset_s) <= _SCAN_S
    return QScan(
        energy=scan.energy[..., inside],
        frequency_hz=scan.frequency_hz,
        time_s=scan.time_s[inside] - offset_s,
        q=scan.q,
    )


def _chosen(transients: Transients, most: int) -> list[int]:
    order = np.argsort(-transients.snr_before).tolist()
    first = []
    for kind in ("witnessed", "unwitnessed"):
        first += [at for at in order if transients.kind[at] == kind][:1]
    rest = [at for at in order if at not in first]
    witnessed = [at for at in rest if transients.kind[at] == "witnessed"]
    chosen = (first + witnessed + rest) if first else rest
    return list(dict.fromkeys(chosen))[:most]


def _within(covered: np.ndarray, middle: int, reach: int) -> tuple[int, int]:
    """Give a range around a sample that stays in the segment of it."""
    (begin, end) = covered[np.searchsorted(covered[:, 0], middle, side="right") - 1].tolist()
    return max(begin, middle - reach), min(end, middle + reach)


def _chunks(covered: np.ndarray, rate_hz: float) -> list[tuple[int, int]]:
    """Cut ranges into chunks that overlap by twice the margin, so that each moment is inside of one."""
    size, overlap = round(_CHUNK_S * rate_hz), 2 * round((_MARGIN_S + _APART_S) * rate_hz)
    found = []
    for begin, end in covered.tolist():
        if end - begin < 8 * rate_hz:
            continue
        first = begin
        while True:
            found.append((first, min(first + size, end)))
            if first + size >= end:
                break
            first = min(first + size - overlap, end - size)
    return found


def _loudness(
    whitened: np.ndarray, rate_hz: float, usable_hz: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the SNR of the loudest tile at each step of time, its frequency, and the times in s."""
    best: np.ndarray | None = None
    for q in _QS:
        highest_hz = usable_hz / (1 + np.sqrt(11.0) / q) * 0.98
        scan = q_transform(
            whitened,
            rate_hz,
            q=q,
            frequency_range_hz=(LOWEST_HZ, highest_hz),
            time_step_s=_TIME_STEP_S,
            normalise=True,
        )
        row = scan.energy.argmax(axis=0)
        energy = np.take_along_axis(scan.energy, row[None], axis=0)[0]
        if best is None:
            best, hz = energy, scan.frequency_hz[row]
        else:
            louder = energy > best
            best, hz = np.where(louder, energy, best), np.where(louder, scan.frequency_hz[row], hz)
    assert best is not None
    return np.sqrt(2 * best), hz, scan.time_s


def _told_once(rows: np.ndarray) -> np.ndarray:
    """Leave out moments that a louder one lies next to, as where chunks overlap, and those past the most."""
    kept: list[np.ndarray] = []
    for row in rows[np.argsort(-rows[:, 2])][:_MOST]:
        if all(abs(row[0] - other[0]) > _APART_S for other in kept):
            kept.append(row)
    return np.array(sorted(kept, key=lambda row: row[0])).reshape(-1, 4)


def _running_max(values: np.ndarray, reach: int) -> np.ndarray:
    padded = np.pad(values, reach, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=-1)


def _peaks(loudness: np.ndarray) -> list[int]:
    """Give the loudest place of each moment that is loud, a second apart."""
    apart = round(_APART_S / _TIME_STEP_S)
    found: list[int] = []
    loud = np.flatnonzero(loudness >= LOUD_SNR)
    for at in loud[np.argsort(-loudness[loud])].tolist():
        if all(abs(at - other) > apart for other in found):
            found.append(at)
    return sorted(found)


def truth_times(subtraction: Subtraction, by: Whitening, names: tuple[str, ...], least: float) -> np.ndarray:
    """Give the GPS times at which parts of the truth are there: start, loudest sample, end, SNR, (M, 4).

    Args:
        subtraction: the data.
        by: whitens.
        names: that the parts' names begin with.
        least: SNR that a moment must have.
    """
    clock = subtraction.data.clock
    rate_hz = clock.sample_rate_hz
    found = []
    if not any(name.startswith(names) for name in subtraction.truth):
        return np.zeros((0, 4))
    for begin, end in subtraction.covered.tolist():
        values = subtraction.part(names, begin, end)
        if end - begin <= 2 * by.lost or not values.any():
            continue
        whitened = by(values, centred=True)
        there = _running_max(np.abs(whitened), round(_NEAR_S * rate_hz)) > 0.05
        for first, last in runs_of(there).tolist():
            piece = whitened[first:last]
            snr = float(np.sqrt(by.weight * np.dot(piece, piece)))
            if snr >= least:
                place = np.array([first, first + int(np.abs(piece).argmax()), last]) + begin + by.lost
                found.append([*np.asarray(clock.gps_s(place)).tolist(), snr])
    return np.array(found).reshape(-1, 4)


def _kinds(subtraction: Subtraction, by: Whitening, gps_s: np.ndarray) -> tuple[str, ...]:
    """Say what each moment is: the kind of the part of the truth that is loudest around it."""
    if not subtraction.knows_truth:
        return ("",) * len(gps_s)
    named = [name for names in _KINDS.values() for name in names]
    couplings = [name for name in subtraction.truth if not name.startswith((*named, "truth/background"))]
    groups = {**_KINDS, "": tuple(couplings)}
    rate_hz = subtraction.data.sample_rate_hz
    reach = round(_NEAR_S * rate_hz)
    kinds = []
    for middle in np.round((gps_s - subtraction.data.gps_start_s) * rate_hz).astype(int).tolist():
        begin, end = _within(subtraction.covered, middle, by.lost + reach)
        loudness = {"": 0.0} | {
            kind: float(np.linalg.norm(by(subtraction.part(names, begin, end), centred=True)))
            for kind, names in groups.items()
            if names and end - begin > 2 * by.lost
        }
        best = max(loudness, key=lambda kind: loudness[kind])
        kinds.append(best if np.sqrt(by.weight) * loudness[best] >= _LEAST_SNR else "")
    return tuple(kinds)
