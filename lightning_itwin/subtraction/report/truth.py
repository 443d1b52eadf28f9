"""What a simulator knows of a strain, read onto the clock of the data."""

# T samples

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lightning_itwin.strain.aligned_channels import AlignedChannels
from lightning_itwin.strain.alignment import fill_row
from lightning_itwin.strain.sources import find_channels, names_in

_PREFIX = "truth/"


def read_truth(data: AlignedChannels, files: Sequence[Path]) -> dict[str, np.ndarray]:
    """Read the parts of the strain that a simulator has kept apart, float32 (T,) by name.

    Args:
        data: the channels on their clock.
        files: that they come from; real data have no such parts, and give none.
    """
    beside = [file.with_name(f"{file.stem}_truth.h5") for file in files]  # as our simulator's frames have it
    there = [*files, *(file for file in beside if file.is_file())]
    names = dict.fromkeys(
        name
        for file in there
        if file.suffix.lower() != ".gwf"
        for name in names_in(file)
        if name.startswith(_PREFIX)
    )
    found = {}
    for name, series in find_channels(there, list(names))[0].items() if names else ():
        row = np.empty(data.clock.samples, dtype=np.float32)
        fill_row(series, data.clock, row)
        found[name] = row
    return found
