"""How fast blocks of series are read from layouts on disk: what the layout of ``convert`` was chosen by.

The values of a simulated region are written as (time, lat, lon) in chunks, as the simulator does, and with
all days of a series side by side: compressed or not, in shards or not, read by zarr, and plain, read by this
package. A block is made of runs of 16 neighbouring series from all over the region, as training reads them.
Files lie in the operating system's cache, so a row says what decoding and copying cost; the sizes say what a
slow disk would add.

Run from the repository: python benchmarks/hydro_layouts.py
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.result_page import command_line, write_page
from lightning_itwin.datamodules.hydro.cell_major import CellMajorSource
from lightning_itwin.datamodules.hydro.convert import convert
from lightning_itwin.datamodules.hydro.variables import HydroVariables
from lightning_itwin.datamodules.hydro.xarray_source import XarraySource
from lightning_itwin.hydrology import AlpsSimulator

RUN = 16


def folder_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def zarr_layouts(values: np.ndarray) -> dict[str, dict[str, Any]]:
    """Give the settings of zarr's arrays."""
    days, width = values.shape[1:]
    chunk = (RUN, days, width)
    lz4 = zarr.codecs.BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")
    zstd = zarr.codecs.BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle")
    shard = (RUN * 8, days, width)
    return {
        "side by side, plain, by zarr": {"chunks": chunk, "compressors": None},
        "side by side, lz4, by zarr": {"chunks": chunk, "compressors": lz4},
        "side by side, zstd, by zarr": {"chunks": chunk, "compressors": zstd},
        "side by side, lz4 in shards, by zarr": {"chunks": chunk, "shards": shard, "compressors": lz4},
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=48, help="rows and columns")
    parser.add_argument("--years", type=int, default=10)
    parser.add_argument("--runs", type=int, default=24, help="runs of 16 series in a block")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", help="for the data; a temporary one by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        return measure(Path(name), options)


def measure(folder: Path, options: argparse.Namespace) -> int:
    original = folder / "alps.zarr"
    AlpsSimulator(years=options.years, realizations=1, rows=options.side, columns=options.side).write(
        original
    )
    source = XarraySource(str(original), HydroVariables())
    begun_s = time.process_time()
    plain = CellMajorSource(convert(source, folder / "cells"), HydroVariables())
    convert_s = time.process_time() - begun_s
    values = plain.read(np.arange(plain.grid.series), 0, plain.grid.axis.size)
    days, width = values.shape[1:]
    out = np.empty((options.runs * RUN, days, width), dtype=np.float32)
    readers: dict[str, tuple[Callable[[np.ndarray], Any], int]] = {
        "side by side, plain, by this package": (
            lambda series: plain.read(series, 0, days, out),
            folder_bytes(folder / "cells"),
        ),
        "(time, lat, lon) in chunks, lz4": (
            lambda series: source.read(series, 0, days, out),
            folder_bytes(original),
        ),
    }
    for name, settings in zarr_layouts(values).items():
        path = folder / name.replace(" ", "_")
        array = zarr.create_array(str(path), shape=values.shape, dtype="float32", **settings)
        array[...] = values

        def read(series: np.ndarray, array: Any = array) -> None:
            for begin in range(0, series.size, RUN):
                first = int(series[begin])
                out[begin : begin + RUN] = array[first : first + RUN]

        readers[name] = (read, folder_bytes(path))
    random = np.random.default_rng(0)
    took: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(options.rounds):
        runs = np.sort(random.choice(plain.grid.series // RUN, options.runs, replace=False))
        series = (runs[:, None] * RUN + np.arange(RUN)).ravel()
        for name, (reader, _) in readers.items():
            begun_s = time.process_time()
            reader(series)
            took[name].append(time.process_time() - begun_s)
            if not np.array_equal(out, values[series], equal_nan=True):
                raise ValueError(f"{name} gives other values.")
    median = {name: statistics.median(times) for name, times in took.items()}
    best = min(median.values())
    lines = [
        f"{options.side} x {options.side} cells, {options.years} years, {values.nbytes / 1e6:.0f} MB; a "
        f"block of "
        f"{options.runs * RUN} series, {out.nbytes / 1e6:.0f} MB.",
        "",
        "| layout | MB a s | times the fastest's time | MB on disk |",
        "|---|---|---|---|",
    ]
    for name in sorted(median, key=lambda one: median[one]):
        rate = out.nbytes / 1e6 / median[name]
        lines.append(f"| {name} | {rate:,.0f} | {median[name] / best:.1f} | {readers[name][1] / 1e6:.0f} |")
    lines += [
        "",
        f"Converting took {convert_s:.1f} s of processor, {values.nbytes / 1e6 / convert_s:.0f} MB a s.",
    ]
    write_page("hydro_layouts", "Layouts of gridded series", command_line(), lines, "processor time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
