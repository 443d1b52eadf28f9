"""Where bilby keeps its detectors and noise curves: text files, read without importing bilby."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from lightning_itwin.optional import MissingExtraError


def detector_folder() -> Path:
    """Give the folder ``bilby/gw/detector`` of the bilby that is installed.

    Raises:
        MissingExtraError: bilby is not installed.
    """
    found = importlib.util.find_spec("bilby")
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError(
            "'bilby' is not installed, whose files describe detectors and noise curves. It comes with the "
            "extra 'gw': pip install 'lightning-itwin[gw]'"
        )
    return Path(found.submodule_search_locations[0]) / "gw" / "detector"
