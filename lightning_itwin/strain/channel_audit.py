"""What is wrong with channels, before a training: each fault is named, and put right or refused."""

# T samples, R runs

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lightning_itwin.strain.channel_list import ListedChannel
from lightning_itwin.strain.channel_pieces import GPS_TOLERANCE_S, ChannelError, ChannelSeries
from lightning_itwin.strain.resampling import rate_ratio

_STRAIN_UNITS = ("", "strain", "dimensionless", "1", "h", "none", "undef")
# A calibrated strain of the present detectors has some 1e-18 at most, seismic motion below 10 Hz included.
_LARGEST_STRAIN = 1e-12
# float32 keeps 24 binary digits of a sample.
_COARSE = 1e5


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was found in the channels.

    Args:
        channel: its name; "" for several.
        text: a sentence that names the channel, what was found and what is done or to do.
        refused: whether the channel cannot be used.
        loud: whether it is worth a warning; a change of rate is not.
    """

    channel: str
    text: str
    refused: bool = False
    loud: bool = True


@dataclass(frozen=True, kw_only=True)
class RowFacts:
    """What one pass over a channel's samples tells.

    Args:
        samples: how many there are.
        bad: how many are NaN or infinite, or stand still where they must not.
        bad_stretches: in how many stretches.
        first_bad_gps_s: GPS time of the first bad one; None where there is none.
        lowest: of the good ones; NaN where there is none.
        highest: of the good ones.
        mean: of the good ones.
        deviation: standard deviation of the good ones.
        digest: hash of all samples.
        runs: ranges on the clock that the channel fills, int64 (R, 2).
    """

    samples: int
    bad: int
    bad_stretches: int
    first_bad_gps_s: float | None
    lowest: float
    highest: float
    mean: float
    deviation: float
    digest: str
    runs: np.ndarray


def audit_heads(
    series: Sequence[ChannelSeries], sample_rate_hz: float, listed: Mapping[str, ListedChannel] | None = None
) -> list[Finding]:
    """Look at what files say of channels, without their samples: rates, offsets, gaps, units.

    Args:
        series: the strain first.
        sample_rate_hz: of the clock.
        listed: what a channel list says of them.
    """
    found = []
    strain = series[0]
    if strain.unit.strip().lower() not in _STRAIN_UNITS:
        found.append(
            _refuse(
                strain.name,
                f"the strain has the unit {strain.unit!r}; it must be a strain, without unit. Is it the "
                "first channel of the list, and calibrated?",
            )
        )
    for one in series:
        if not any(piece.samples for piece in one.pieces):
            found.append(_refuse(one.name, "has no samples."))
        try:
            rate_ratio(one.name, one.sample_rate_hz, sample_rate_hz)
        except ChannelError as error:
            found.append(Finding(channel=one.name, text=str(error), refused=True))
        said = (listed or {}).get(one.name)
        if said is not None and said.unit is not None and said.unit != one.unit:
            found.append(
                _refuse(one.name, f"the list says its unit is {said.unit!r}, the file {one.unit!r}.")
            )
        if said is not None and said.sample_rate_hz not in (None, one.sample_rate_hz):
            found.append(
                _refuse(
                    one.name,
                    f"the list says its rate is {said.sample_rate_hz:g} Hz, the file "
                    f"{one.sample_rate_hz:g} Hz.",
                )
            )
    found += _rates(series, sample_rate_hz)
    found += [finding for one in series for finding in _gaps(one)]
    return found


class RowAudit:
    """Looks at what samples tell, one channel after the other: constant, copied, not finite."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def look(self, one: ChannelSeries, told: RowFacts, is_strain: bool = False) -> list[Finding]:
        """Give what is found in a channel.

        Args:
            one: the channel.
            told: its facts.
            is_strain: whether it is the strain.
        """
        fault = _samples_fault(one, told, is_strain)
        found = [fault] if fault is not None else []
        if fault is not None and fault.refused:
            return found
        twin = self._seen.setdefault(told.digest, one.name)
        if twin != one.name:
            return [*found, _refuse(one.name, f"the same samples as {twin}. Leave one of them out.")]
        if abs(told.mean) > _COARSE * told.deviation:
            text = (
                f"its mean, {told.mean:.6g}, is {abs(told.mean) / told.deviation:.1g} times its standard "
                "deviation; float32 keeps few digits of what varies."
            )
            found.append(_mend(one.name, text))
        largest = max(abs(told.lowest), abs(told.highest))
        if is_strain and largest > _LARGEST_STRAIN:
            text = (
                f"the strain reaches {largest:.2g}; that of a detector stays below {_LARGEST_STRAIN:g}. Is "
                "it in another unit?"
            )
            found.append(_mend(one.name, text))
        return found


def refuse(findings: Iterable[Finding]) -> None:
    """Raise what is refused, all in one message.

    Args:
        findings: of an audit.

    Raises:
        ChannelError: any finding is refused.
    """
    faults = [finding.text for finding in findings if finding.refused]
    if faults:
        raise ChannelError("\n".join(["These channels cannot be used as they are:", *faults]))


def _samples_fault(one: ChannelSeries, told: RowFacts, is_strain: bool) -> Finding | None:
    if told.bad == told.samples:
        return _refuse(one.name, f"all of its {told.samples} samples are NaN or infinite. Leave it out.")
    if told.lowest == told.highest:
        return _refuse(
            one.name, f"constant ({told.lowest:g}) over all its {told.samples} samples. Leave it out."
        )
    if not len(told.runs):
        return _refuse(one.name, "nowhere finite for long enough to be resampled. Leave it out.")
    if told.bad:
        what = "NaN, infinite or filled in" if is_strain else "NaN or infinite"
        stretches = f"{told.bad_stretches} stretch{'' if told.bad_stretches == 1 else 'es'}"
        return _mend(
            one.name,
            f"{told.bad} of {told.samples} samples are {what}, in {stretches}, the first at GPS "
            f"{told.first_bad_gps_s:.6f}. That time is left out.",
        )
    return None


def _rates(series: Sequence[ChannelSeries], sample_rate_hz: float) -> list[Finding]:
    found = []
    other = [one for one in series if one.sample_rate_hz != sample_rate_hz]
    if other:
        told = ", ".join(f"{one.name} ({one.sample_rate_hz:g} Hz)" for one in other)
        found.append(Finding(channel="", text=f"Resampled to {sample_rate_hz:g} Hz: {told}.", loud=False))
    strain = series[0]
    for one in series[1:]:
        off = (one.gps_start_s - strain.gps_start_s) * sample_rate_hz
        own = one.sample_rate_hz / sample_rate_hz
        # a slower channel's samples lie between those of the clock only if they miss all of them
        missed = abs(off - round(off))
        if missed > max(0.01, GPS_TOLERANCE_S * sample_rate_hz) and own >= 1:
            found.append(
                _mend(
                    one.name,
                    f"starts {missed:.3g} of a sample off the strain's clock (GPS {one.gps_start_s:.9f} "
                    f"against {strain.gps_start_s:.9f} at {sample_rate_hz:g} Hz). It is moved onto it by the "
                    "filter that resamples.",
                )
            )
    return found


def _gaps(one: ChannelSeries) -> list[Finding]:
    runs = one.runs()
    missing = [(before[-1].gps_end_s, after[0].gps_start_s) for before, after in itertools.pairwise(runs)]
    if not missing:
        return []
    total_s = sum(end - begin for begin, end in missing)
    begin, end = missing[0]
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return [
        _mend(
            one.name,
            f"no data from GPS {begin:.3f} to {end:.3f}{more}, a gap of {total_s:g} s in all. That time is "
            "left out.",
        )
    ]


def _refuse(name: str, text: str) -> Finding:
    return Finding(channel=name, text=f"{name}: {text}", refused=True)


def _mend(name: str, text: str) -> Finding:
    return Finding(channel=name, text=f"{name}: {text}", refused=False)
