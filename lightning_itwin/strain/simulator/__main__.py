"""Write a file of simulated data: ``python -m lightning_itwin.strain.simulator --out virgo.h5``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser

from lightning_itwin.strain.hdf5_channels import list_channels
from lightning_itwin.strain.simulator.virgo_simulator import VirgoSimulator


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a file of simulated data, as the command line says."""
    parser = ArgumentParser(
        prog="python -m lightning_itwin.strain.simulator",
        description="Simulate the strain of a Virgo-like detector and its witness channels.",
    )
    parser.add_argument("--out", type=str, required=True, help="HDF5 file to write")
    parser.add_class_arguments(VirgoSimulator)
    given = parser.parse_args(arguments)
    out = Path(given.pop("out"))
    try:
        simulator = VirgoSimulator(**parser.instantiate_classes(given).as_dict())
    except ValueError as error:
        parser.error(str(error))
    simulator.write(out)
    print(f"{out}: {out.stat().st_size / 2**20:.0f} MiB; channels: {', '.join(list_channels(out))}")


if __name__ == "__main__":
    main()
