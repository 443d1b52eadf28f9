"""Time from opening the data to the first batch: scales, climatology and reference forecasts of every cell.

The data lie in the layout that ``convert`` writes, in the operating system's cache. One thread.

Run from the repository: python benchmarks/hydro_setup.py
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.hydro_random_cube import write_random_cube
from benchmarks.result_page import command_line, write_page
from lightning_itwin.datamodules.hydro import GriddedHydroDataModule, SplitPeriods

GOAL_S = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--years", type=int, default=10, help="of data, of which --train are for training")
    parser.add_argument("--train", type=int, default=7)
    parser.add_argument("--folder", help="for the data; a temporary one by default")
    options = parser.parse_args()
    torch.set_num_threads(1)
    last = 1990 + options.train
    periods = SplitPeriods(
        train=["1990", str(last - 1)],
        calibration=0,
        val=[str(last), str(last)],
        test=[str(last + 1), str(last + 1)],
    )
    rows = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name) / "cells"
        size = write_random_cube(folder, options.cells, options.years)
        for what, settings in {
            "from disk, block by block": {"memory_gib": 0.0},
            "from disk, block by block, without anomaly": {"memory_gib": 0.0, "anomaly": False},
        }.items():
            begun_s, begun_processor_s = time.perf_counter(), time.process_time()
            module = GriddedHydroDataModule(path=str(folder), periods=periods, **settings)
            module.setup()
            next(iter(module.train_dataloader()))
            rows.append((what, time.perf_counter() - begun_s, time.process_time() - begun_processor_s))
            print(rows[-1], file=sys.stderr)
    lines = [
        f"{options.cells:,} cells, {options.years} years ({size / 1e9:.2f} GB), {options.train} of them "
        "for training.",
        "",
        "| | s | s of processor |",
        "|---|---|---|",
        *(f"| {what} | {wall_s:.1f} | {processor_s:.1f} |" for what, wall_s, processor_s in rows),
        "",
        f"Set-up takes {rows[0][2]:.0f} s of processor (goal {GOAL_S:.0f} s), with climatology and reference "
        "forecasts.",
    ]
    write_page("hydro_setup", "Set-up of gridded data", command_line(), lines, "one thread")
    return 0 if rows[0][2] <= GOAL_S else 1


if __name__ == "__main__":
    sys.exit(main())
