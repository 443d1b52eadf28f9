"""A report on files: a strain, what it became, and the witnesses."""

# T samples

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lightning_itwin.strain.alignment import fill_row
from lightning_itwin.strain.channel_cache import ChannelCache
from lightning_itwin.strain.channel_list import ListedChannel, read_channel_list
from lightning_itwin.strain.channel_pieces import ChannelError
from lightning_itwin.strain.segments import intersection
from lightning_itwin.strain.sources import find_channels, find_files
from lightning_itwin.subtraction.outputs.veto_list import VetoList, read_veto_list
from lightning_itwin.subtraction.report.evidence import Subtraction
from lightning_itwin.subtraction.report.measure import measure
from lightning_itwin.subtraction.report.page import About, write_report
from lightning_itwin.subtraction.report.truth import read_truth

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def report_on_files(
    paths: str | Sequence[str],
    channels: Sequence[str],
    cleaned: str,
    folder: str | Path,
    cleaned_channel: str | None = None,
    vetoes: str | None = None,
    sample_rate_hz: float = 1024.0,
    model: str = "",
) -> dict[str, Figure]:
    """Compare a cleaned strain with the strain it came from, and write a report.

    Args:
        paths: files of strain and witnesses.
        channels: names, the strain first, then at least one witness; or the path of a channel list.
        cleaned: file or files of the cleaned strain.
        folder: where to; made if needed. A memory map of the channels stays in its ``channels``.
        cleaned_channel: name in the cleaned file; that of the strain if not given.
        vetoes: path of a veto list.
        sample_rate_hz: at which they are compared.
        model: what cleaned it, in words.

    Returns:
        The report's figures by name.

    Raises:
        FileNotFoundError: a file is not there.
        ChannelError: channels cannot be used, or the cleaned strain covers no time of theirs.
    """
    if len(channels) == 1 and Path(channels[0]).is_file():
        listed = read_channel_list(channels[0])
    else:
        listed = [ListedChannel(name=name) for name in channels]
    data = ChannelCache(Path(folder) / "channels").open(paths, listed, sample_rate_hz)
    name = cleaned_channel or data.names[0]
    found, faults = find_channels(cleaned, [name])
    if faults:
        raise ChannelError(faults[0])
    row = np.empty(data.clock.samples)
    facts = fill_row(found[name], data.clock, row)
    covered = intersection(data.segments, facts.runs).astype(np.int64)
    if not len(covered):
        raise ChannelError(
            f"{name} in {cleaned} covers GPS {found[name].gps_start_s:.3f} to {found[name].gps_end_s:.3f}, "
            f"no time of the channels: {data.gps_start_s:.3f} to {data.clock.gps_end_s:.3f}."
        )
    subtraction = Subtraction(
        data=data,
        noise=lambda begin, end: data.values[0, begin:end].astype(np.float64) - row[begin:end],
        covered=covered,
        vetoes=VetoList.of(np.zeros((0, 3))) if vetoes is None else read_veto_list(vetoes),
        truth=read_truth(data, find_files(paths)),
    )
    about = About(model=model, strain=data.names[0], witnesses=len(data.names) - 1, notes=list(data.warnings))
    return write_report(folder, measure(subtraction), about)
