"""Peak memory of GriddedHydroDataModule that reads block by block, beside the size of a block.

Each row is a process of its own. Memory is that of the process beyond what it had before the data were
opened, with Python, torch, xarray and zarr loaded: its highest point over statistics, climatology, reference
forecasts and an epoch of training. Beside it stand the tables that stay in memory: climatology and reference
forecasts of every cell.

Run from the repository: python benchmarks/hydro_memory.py
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

GOAL = 1.2


def memory_bytes(name: str) -> int:
    """Give a figure of this process, such as VmRSS or VmHWM, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}.")


def measure(folder: str, block_mib: float, samples: int) -> None:
    """Print what one process takes, as JSON."""
    import torch
    import xarray  # noqa: F401
    import zarr  # noqa: F401

    from lightning_itwin.datamodules.hydro import GriddedHydroDataModule

    torch.set_num_threads(1)
    torch.randn(256, 256) @ torch.randn(
        256, 256
    )  # the libraries take their working memory with the first use
    before = memory_bytes("VmRSS")
    module = GriddedHydroDataModule(
        path=folder, memory_gib=0.0, block_mib=block_mib, samples_per_epoch=samples, batch=256
    )
    begun_s = time.process_time()
    module.setup()
    loader = module.train_dataloader()
    setup_s = time.process_time() - begun_s
    after_setup, setup_peak = memory_bytes("VmRSS"), memory_bytes("VmHWM")
    begun_s, windows = time.process_time(), 0
    for batch in loader:
        windows += len(batch.series)
    statistics = module.ensure_statistics()
    assert statistics.climatology is not None
    assert statistics.reference_forecasts is not None
    tables = [
        *statistics.climatology.state_dict().values(),
        *statistics.reference_forecasts.state_dict().values(),
    ]
    print(
        json.dumps(
            {
                "setup_s": setup_s,
                "windows": windows,
                "windows_per_s": windows / (time.process_time() - begun_s),
                "tables": sum(table.nbytes for table in tables),
                "after_setup": after_setup - before,
                "setup_peak": setup_peak - before,
                "peak": memory_bytes("VmHWM") - before,
            }
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=80_000)
    parser.add_argument("--years", type=int, default=10)
    parser.add_argument("--block_mib", type=float, nargs="+", default=[256.0, 512.0, 1024.0])
    parser.add_argument("--samples", type=int, default=600_000, help="windows of the epoch")
    parser.add_argument("--folder", help="for the data; a temporary one by default")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.block_mib[0], options.samples)
        return 0
    from benchmarks.hydro_random_cube import write_random_cube
    from benchmarks.result_page import command_line, write_page

    rows = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name) / "cells"
        size = write_random_cube(folder, options.cells, options.years)
        for block_mib in options.block_mib:
            one = [sys.executable, __file__, "--measure", str(folder), "--block_mib", str(block_mib)]
            told = subprocess.run(
                [*one, "--samples", str(options.samples)], capture_output=True, text=True, check=False
            )
            if told.returncode:
                print(told.stderr, file=sys.stderr)
                return told.returncode
            rows.append((block_mib, json.loads(told.stdout.splitlines()[-1])))
    mib = 2**20
    lines = [
        f"{options.cells:,} cells, {options.years} years, {size / 1e9:.2f} GB; an epoch of "
        f"{options.samples:,} windows of "
        f"180 days and 60 of leads, read block by block.",
        "",
        "| block, MiB | peak, MiB | peak / block | set-up peak | tables | set-up, s | windows a s |",
        "|---|---|---|---|---|---|---|",
    ]
    for block_mib, row in rows:
        lines.append(
            f"| {block_mib:g} | {row['peak'] / mib:.0f} | {row['peak'] / mib / block_mib:.2f} | "
            f"{row['setup_peak'] / mib:.0f} | {row['tables'] / mib:.0f} | {row['setup_s']:.0f} | "
            f"{row['windows_per_s']:,.0f} |"
        )
    best = min(row["peak"] / mib / block_mib for block_mib, row in rows)
    lines += ["", f"Peak memory is {best:.2f} times a block at best (goal {GOAL})."]
    write_page(
        "hydro_memory", "Memory of data that are read block by block", command_line(), lines, "one thread"
    )
    return 0 if best <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
