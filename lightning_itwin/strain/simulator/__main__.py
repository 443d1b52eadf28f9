"""Write simulated data: ``python -m lightning_itwin.strain.simulator --out virgo.h5 --detector strong``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from lightning_itwin.optional import MissingExtraError
from lightning_itwin.strain.channel_pieces import ChannelError
from lightning_itwin.strain.simulator.virgo_simulator import PRESETS, VirgoSimulator
from lightning_itwin.strain.sources import find_files, names_in


def main(arguments: Sequence[str] | None = None) -> None:
    """Write simulated data, as the command line says."""
    detector = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    detector.add_argument("--detector", choices=("basic", *PRESETS), default="basic")
    chosen = detector.parse_known_args(arguments)[0].detector
    parser = ArgumentParser(
        prog="python -m lightning_itwin.strain.simulator",
        description="Simulate the strain of a Virgo-like detector and its witness channels.",
    )
    parser.add_argument(
        "--out",
        type=str,
        required=True,
        help="HDF5 file to write; NAME.gwf for a frame; a folder for one HDF5 file a channel",
    )
    parser.add_argument(
        "--detector",
        type=str,
        default=chosen,
        help="sets the defaults of what follows: basic (eight witnesses), strong or virgo_like (ten)",
    )
    parser.add_class_arguments(VirgoSimulator)
    if chosen in PRESETS:
        parser.set_defaults(_flat(asdict(VirgoSimulator.preset(chosen))))
    given = parser.parse_args(arguments)
    out = Path(given.pop("out"))
    del given["detector"]
    try:
        VirgoSimulator(**given.as_dict()).write(out)
    except (ValueError, ChannelError, MissingExtraError) as error:
        parser.error(str(error))
    files = find_files(out)
    size = sum(file.stat().st_size for file in files)
    held = (name for file in files for name in names_in(file))
    names = [name for name in held if not name.startswith(("truth/", "quality/"))]
    print(f"{out}: {size / 2**20:.0f} MiB; channels: {', '.join(names)}")


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Give nested settings by dotted names, but for those that name channels."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name in ("scene", "recording"):
            found |= _flat(value, f"{name}.")
        else:
            found[before + name] = value
    return found


if __name__ == "__main__":
    main()
