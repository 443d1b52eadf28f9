"""``python -m lightning_itwin.datamodules.hydro``: simulate a region, convert files, inspect them."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from jsonargparse import ArgumentParser

from lightning_itwin.datamodules.gw.progress import Progress, duration
from lightning_itwin.datamodules.hydro.cell_major import is_converted
from lightning_itwin.datamodules.hydro.convert import (
    check_out,
    check_space,
    convert,
    fingerprint,
    stored_bytes,
)
from lightning_itwin.datamodules.hydro.open_source import open_source
from lightning_itwin.datamodules.hydro.opened_files import open_files
from lightning_itwin.datamodules.hydro.source import CubeSource
from lightning_itwin.datamodules.hydro.variables import HydroVariables
from lightning_itwin.hydrology import AlpsSimulator
from lightning_itwin.optional import MissingExtraError, require

_VARIABLES = HydroVariables()


def make_parser() -> ArgumentParser:
    """Make the parser of the command line."""
    parser = ArgumentParser(
        prog="python -m lightning_itwin.datamodules.hydro",
        description="Gridded series of weather and soil moisture on disk.",
    )
    commands = parser.add_subcommands(required=True, dest="command")

    one = ArgumentParser(description="Simulate a mountain region.")
    one.add_argument("--config", action="config", help="YAML file with these settings")
    one.add_argument("--out", type=str, required=True, help="file to write, .zarr or .nc")
    one.add_argument("--dry-run", action="store_true", help="say size, write nothing")
    one.add_class_arguments(AlpsSimulator, as_group=True)
    commands.add_subcommand("simulate", one)

    one = ArgumentParser(description="Write files into the layout that trains fastest, or go on with it.")
    one.add_argument("--config", action="config", help="YAML file with these settings")
    one.add_argument("path", type=str, nargs="+", help="NetCDF files, Zarr folders or patterns")
    one.add_argument("--out", type=str, required=True, help="folder to write")
    one.add_argument("--memory_mib", type=float, default=1024.0, help="about how much memory to use")
    one.add_argument("--dry-run", action="store_true", help="say what would be written, write nothing")
    one.add_argument("--variables", type=HydroVariables, default=_VARIABLES, help="names of the variables")
    commands.add_subcommand("convert", one)

    one = ArgumentParser(description="Say what files hold.")
    one.add_argument(
        "path", type=str, nargs="+", help="NetCDF files, Zarr folders, patterns, or a converted folder"
    )
    one.add_argument(
        "--variables", type=HydroVariables | None, default=None, help="names, to see what training would see"
    )
    commands.add_subcommand("inspect", one)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; give its exit status."""
    given = make_parser().parse_args(arguments)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        if given.command == "simulate":
            return _simulate(given.simulate)
        if given.command == "convert":
            return _convert(given.convert)
        return _inspect(list(given.inspect.path), _variables(given.inspect.variables))
    except (ValueError, OSError, MissingExtraError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. The same command goes on where it was.", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _variables(given: Any) -> HydroVariables | None:
    if given is None or isinstance(given, HydroVariables):
        return given
    values = given.as_dict()
    return HydroVariables(**values.get("init_args", values))


def _simulate(given: Any) -> int:
    values = {name: given[name] for name in AlpsSimulator.__dataclass_fields__}
    simulator = AlpsSimulator(**values)
    out = Path(given.out)
    check_out(out)
    days = round(simulator.years * 365.25)
    series = simulator.rows * simulator.columns * simulator.realizations
    size = f"{series} series of {days} days, about {series * days * 16 / 1e9:.2f} GB before compression"
    if given.dry_run:
        print(f"{out}: {size}")
        return 0
    begun_s = time.monotonic()
    simulator.write(out)
    print(f"{out}: {size}, {duration(time.monotonic() - begun_s)}")
    return 0


def _convert(given: Any) -> int:
    variables = _variables(given.variables) or _VARIABLES
    path, out = list(given.path), Path(given.out)
    check_out(out)
    source = open_source(path, variables)
    told = f"{source.grid.series} series of {source.grid.axis.size} days, {stored_bytes(source) / 1e9:.2f} GB"
    if given.dry_run:
        check_space(source, out)
        print(_about(source))
        print(f"{out}: {told}")
        return 0
    begun_s = time.monotonic()
    convert(source, out, given.memory_mib, Progress("tiles"), fingerprint(path, variables))
    print(f"{out}: {told}, {duration(time.monotonic() - begun_s)}")
    return 0


def _inspect(path: list[str], variables: HydroVariables | None) -> int:
    if len(path) == 1 and is_converted(path[0]) and variables is None:
        variables = _stored(path[0])
    if variables is None:
        files = open_files(path)
        rows, columns = files.shape
        print(f"grid of {rows} x {columns} ({', '.join(files.dims)}), calendar {files.calendar}")
        print(files.listing())
        print("Name inputs and target under --variables to see what training would see.")
        return 0
    source = open_source(path, variables)
    print(_about(source))
    _print_sample(source)
    return 0


def _stored(folder: str) -> HydroVariables:
    zarr = require("zarr", extra="drought")
    about = zarr.open_group(folder, mode="r").attrs["lightning_itwin_hydro"]
    return HydroVariables(
        inputs=list(about["inputs"]), target=about["target"], weather=list(about["weather"]) or None
    )


def _about(source: CubeSource) -> str:
    grid, columns = source.grid, source.columns
    axis = grid.axis
    units = {name: columns.units.get(name) or "no units" for name in [*columns.inputs, columns.target]}
    return "\n".join(
        [
            f"grid: {grid.shape[0]} x {grid.shape[1]}, {grid.cells} cells with {columns.target}, "
            f"{grid.realizations} realizations",
            f"days: {axis.text(0)} to {axis.text(axis.size - 1)}, {axis.size}, calendar {axis.calendar}",
            f"inputs: {', '.join(f'{name} [{units[name]}]' for name in columns.inputs)}"
            + (f"; as log(1 + x): {', '.join(columns.logarithms)}" if columns.logarithms else ""),
            f"target: {columns.target} [{units[columns.target]}]",
            f"maps: {', '.join(columns.statics) or 'none'}",
            *(
                [f"weather: {', '.join(columns.weather)}, {columns.weather_leads} leads"]
                if columns.weather
                else []
            ),
            f"read block by block, a value is read {source.reads_per_use():.1f} times",
        ]
    )


def _print_sample(source: CubeSource) -> None:
    count, size = source.grid.series, source.grid.axis.size
    series = np.unique(np.linspace(0, count - 1, 16).astype(np.int64))
    first = max(0, size - 730)
    values = source.read(series, first, size)
    print(f"{series.size} series over the last {size - first} days:")
    for column, name in enumerate(source.columns.names):
        of_column = values[:, :, column]
        known = of_column[np.isfinite(of_column)]
        gaps = 1 - known.size / of_column.size
        told = f"{known.min():g} to {known.max():g}, mean {known.mean():g}" if known.size else "no value"
        print(f"  {name}: {told}, {gaps:.1%} missing")


if __name__ == "__main__":
    sys.exit(main())
