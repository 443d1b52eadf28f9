"""Which time of aligned channels is used, and whether it is enough."""

# S segments

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lightning_itwin.datamodules.virgo.settings import PARTS, SegmentSettings, SplitSettings
from lightning_itwin.strain.aligned_channels import AlignedChannels
from lightning_itwin.strain.channel_pieces import ChannelError
from lightning_itwin.strain.data_quality import USUAL_FLAGS, read_flags
from lightning_itwin.strain.segments import difference, duration, intersection, read_segments, union

_BLOCK = 2**18


def usable_segments(
    aligned: AlignedChannels, files: Sequence[Path], settings: SegmentSettings, shortest: int
) -> tuple[AlignedChannels, list[str]]:
    """Leave out the time that flags, segment files and settings exclude, and segments that are too short.

    Args:
        aligned: channels with the segments in which all of them have data.
        files: that the channels come from; they may hold flags.
        settings: of the user.
        shortest: samples that a segment must have.

    Returns:
        The channels with the segments that are left; what was found and left out, a sentence each.

    Raises:
        ChannelError: nothing is left.
        FileNotFoundError: a segment file is not there.
    """
    clock, rate_hz = aligned.clock, aligned.sample_rate_hz
    segments, left_out = aligned.segments, []
    lost_s = (clock.samples - duration(segments)) / rate_hz
    if lost_s > 0:
        left_out.append((lost_s, "gaps and samples that are not finite"))

    def keep(chosen: np.ndarray, what: str) -> None:
        nonlocal segments
        kept = intersection(segments, chosen).reshape(-1, 2)
        lost_s = (duration(segments) - duration(kept)) / rate_hz
        if lost_s > 0:
            left_out.append((lost_s, what))
        segments = kept

    edges = (settings.gps_start_s, settings.gps_end_s)
    if edges != (None, None):
        chosen = [clock.gps_start_s if edges[0] is None else edges[0], edges[1] or clock.gps_end_s]
        keep(clock.within(np.array([chosen])), "gps_start_s and gps_end_s")
    asked = settings.flags is None or len(settings.flags) > 0
    flagged = read_flags(files, settings.flags) if asked else None
    if flagged is not None:
        keep(clock.within(flagged), f"flags {', '.join(settings.flags or USUAL_FLAGS)}")
    if settings.files:
        chosen_s = union(*[read_segments(file) for file in settings.files])
        keep(clock.within(chosen_s), "segment files")
    if settings.veto_files:
        vetoed_s = union(*[read_segments(file) for file in settings.veto_files])
        whole = np.array([[clock.gps_start_s, clock.gps_end_s]])
        keep(clock.within(difference(whole, vetoed_s)), "veto files")
    long_enough = segments[segments[:, 1] - segments[:, 0] >= shortest]
    keep(long_enough, f"segments shorter than a window of {shortest / rate_hz:g} s")
    words = list(aligned.warnings)
    if left_out:
        reasons = ", ".join(f"{lost_s:.6g} s by {what}" for lost_s, what in left_out)
        told = (
            f"{duration(segments) / rate_hz:.6g} of {clock.samples / rate_hz:.6g} s are used, in "
            f"{len(segments)} segment{'' if len(segments) == 1 else 's'}; left out: {reasons}."
        )
        if not len(segments):
            raise ChannelError("\n".join(["There is no time that can be used.", *words, told]))
        words.append(told)
    elif not len(segments):
        raise ChannelError("There is no time that can be used.")
    return replace(aligned, segments=segments.astype(np.int64)), words


def check_parts(
    aligned: AlignedChannels,
    parts: Mapping[str, np.ndarray],
    split: SplitSettings,
    guard: int,
    needed: int,
    wanted: Sequence[str] = PARTS,
) -> None:
    """Check that each part has a stretch of the length needed, and that no channel stands still in training.

    Args:
        aligned: the channels.
        parts: ranges of samples by part.
        split: shares of the parts.
        guard: samples between parts.
        needed: samples of the longest stretch of each part, at least.
        wanted: parts that are looked at; those without a share are passed over.

    Raises:
        ChannelError: a part is too short, or a channel is constant over the training part.
    """
    rate_hz = aligned.sample_rate_hz
    shares = {name: getattr(split, name) for name in PARTS if getattr(split, name) > 0}
    looked_at = [name for name in wanted if name in shares]
    short = [name for name in looked_at if not (parts[name][:, 1] - parts[name][:, 0] >= needed).any()]
    if short:
        needed_s = ((len(shares) - 1) * guard + needed / min(shares[name] for name in looked_at)) / rate_hz
        raise ChannelError(
            f"The channels have {duration(aligned.segments) / rate_hz:g} s in common that can be used, in "
            f"{len(aligned.segments)} segment{'' if len(aligned.segments) == 1 else 's'}; a stretch of "
            f"{needed / rate_hz:g} s in each part needs {math.ceil(needed_s)} s or more without a gap. Too "
            f"short: {', '.join(short)}."
        )
    if "train" not in looked_at:
        return
    still = [name for name, row in zip(aligned.names, aligned.values) if _stands_still(row, parts["train"])]
    if still:
        raise ChannelError(
            f"Constant over the training part, the first {split.train:.0%} of the data: {', '.join(still)}. "
            "Leave these channels out, or choose another time."
        )


def _stands_still(row: np.ndarray, stretches: np.ndarray) -> bool:
    first = row[stretches[0, 0]]
    return all(
        bool((row[at : min(at + _BLOCK, end)] == first).all())
        for begin, end in stretches.tolist()
        for at in range(begin, end, _BLOCK)
    )
