"""Windows a second of GriddedHydroDataModule, from memory and from disk, beside those of hython's loader.

One core; the same cube, windows of the same length drawn at random over all cells and days, the same batch.
The loaders take turns, and the processor time of each is taken; the median and the spread of the rounds are
told. Ours pay for drawing an epoch in each round; hython has drawn its own beforehand. That a window holds
the same numbers in both is checked first. From disk a block of cells is held in memory, and as many windows
are taken from it as cover its values about once, so that every window pays for reading its own length. Files
lie in the operating system's cache.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import hython_peer
from benchmarks.result_page import write_page
from lightning_itwin.datamodules.hydro import GriddedHydroDataModule, HydroVariables, SplitPeriods
from lightning_itwin.datamodules.hydro.convert import convert
from lightning_itwin.datamodules.hydro.open_source import open_source
from lightning_itwin.hydrology import AlpsSimulator

STATICS = ["elevation", "wilting_point", "field_capacity", "root_depth"]
GOALS = {"memory": 20.0, "converted": 10.0}
FORECAST_LEADS = (1, 3, 7, 14, 21, 30, 45, 60)


def processor_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Run and give the processor time that it took, and what it gave."""
    begun_s = time.process_time()
    given = work()
    return time.process_time() - begun_s, given


def drain(batches: Iterable[Any], windows: int) -> int:
    """Take batches until there are so many windows or no more; give how many there were."""
    count = 0
    for batch in batches:
        count += len(batch["xd"]) if isinstance(batch, dict) else len(batch.dynamic)
        if count >= windows:
            break
    return count


def our_datamodule(path: Path, options: argparse.Namespace, **others: Any) -> GriddedHydroDataModule:
    """Give the data module for hython's task, or another."""
    last = 1990 + options.years - 1
    settings: dict[str, Any] = {
        "path": str(path),
        "variables": HydroVariables(statics=STATICS, logarithms=[]),
        "periods": SplitPeriods(
            train=["1990-01-01", f"{last - 1}-12-31"],
            calibration=0,
            val=[f"{last}-01-01", f"{last}-12-31"],
            test=0,
        ),
        "batch": options.batch,
        "seq_length": options.seq_length,
        "samples_per_epoch": options.windows,
        "warmup": 0,
        "leads": [0],
        "anomaly": False,
        "block_mib": options.block_mib,
    }
    made = GriddedHydroDataModule(**{**settings, **others})
    made.setup("fit")
    return made


def write_converted(source: Path, target: Path) -> None:
    """Write the layout that trains fastest."""
    convert(open_source(source, HydroVariables(statics=STATICS, logarithms=[])), target)


def same_windows(theirs: Any, ours: GriddedHydroDataModule) -> float:
    """Give the largest difference of standardised inputs and targets over a batch of windows."""
    batch = next(iter(ours.train_dataloader()))
    span = theirs.time_size - theirs.seq_len
    worst = 0.0
    for row, (series, start) in enumerate(zip(batch.series.tolist(), batch.start.tolist())):
        if start >= span:  # hython leaves the last window out
            continue
        window = theirs[series * span + start]
        inputs = (batch.dynamic[row] - window["xd"][:, [0, 2, 1]]).abs().max()
        target = (batch.target[row] - window["y"][:, 0]).abs().max()
        maps = (batch.static[row] - window["xs"]).abs().max()
        worst = max(worst, float(inputs), float(target), float(maps))
    return worst


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hython", metavar="FOLDER", help=f"its source, at {hython_peer.COMMIT}")
    parser.add_argument("--side", type=int, default=64, help="rows and columns of the grid")
    parser.add_argument("--years", type=int, default=6, help="of data; the last is left to validation")
    parser.add_argument("--seq_length", type=int, default=120, help="days of a window")
    parser.add_argument("--batch", type=int, default=256, help="windows of a batch")
    parser.add_argument("--windows", type=int, default=80_000, help="of our epochs")
    parser.add_argument("--hython_windows", type=int, default=20_000, help="of hython's rounds")
    parser.add_argument("--rounds", type=int, default=7, help="of each loader, in turn")
    parser.add_argument("--block_mib", type=float, default=32.0, help="of a block from disk")
    parser.add_argument("--folder", help="for the cubes; a temporary one by default")
    options = parser.parse_args()
    torch.set_num_threads(1)
    source = hython_peer.folder(options.hython)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        return measure(Path(name), source is not None, options)


def measure(folder: Path, with_hython: bool, options: argparse.Namespace) -> int:
    simulator = AlpsSimulator(years=options.years, rows=options.side, columns=options.side)
    zarr = folder / "alps.zarr"
    simulator.write(zarr)
    write_converted(zarr, folder / "converted")
    loaders: dict[str, Callable[[], Iterable[Any]]] = {}
    setup_s: dict[str, float] = {}
    notes: list[str] = []

    def ours(name: str, path: Path, **others: Any) -> GriddedHydroDataModule:
        def set_up() -> GriddedHydroDataModule:
            made = our_datamodule(path, options, **others)
            made.train_dataloader()
            return made

        setup_s[name], made = processor_seconds(set_up)
        loaders[name] = made.train_dataloader
        return made

    in_memory = ours("ours, from memory", zarr)
    ours("ours, from disk, converted", folder / "converted", memory_gib=0.0)
    ours("ours, from disk, Zarr as simulated", zarr, memory_gib=0.0)
    forecast = {"anomaly": True, "leads": FORECAST_LEADS}
    ours("ours, from memory, anomaly and 8 leads", zarr, **forecast)
    ours("ours, from disk, converted, anomaly and 8 leads", folder / "converted", memory_gib=0.0, **forecast)
    if with_hython:
        setup_s["hython"], dataset = processor_seconds(lambda: hython_dataset(simulator, folder, options))
        running = iter(hython_peer.loader(dataset, options.batch, "random"))
        next(running)  # it has drawn its epoch, of all windows that there are
        loaders["hython"] = lambda: running
        notes += [
            "",
            "The values of the same windows differ by "
            f"{same_windows(dataset, in_memory):.1e} standard deviations at most.",
        ]
    rates: dict[str, list[float]] = {name: [] for name in loaders}
    for _ in range(options.rounds):
        for name, make in loaders.items():
            wanted = options.hython_windows if name == "hython" else options.windows
            begun_s = time.process_time()
            count = drain(make(), wanted)
            rates[name].append(count / (time.process_time() - begun_s))
    return report(rates, setup_s, notes, options)


def hython_dataset(simulator: AlpsSimulator, folder: Path, options: argparse.Namespace) -> Any:
    """Give hython's data set of the same cube; its messages are left out."""
    last = 1990 + options.years - 1
    hython_peer.write_cube(simulator.run(), STATICS, folder)
    recipe = hython_peer.Recipe(seq_length=options.seq_length, batch=options.batch)
    train, valid = ("1990-01-01", f"{last - 1}-12-31"), (f"{last}-01-01", f"{last}-12-31")
    made = hython_peer.config(folder, STATICS, train, valid, recipe)
    with contextlib.redirect_stdout(io.StringIO()):
        return hython_peer.datasets(made)[0]


def report(
    rates: dict[str, list[float]], setup_s: dict[str, float], notes: list[str], options: argparse.Namespace
) -> int:
    median = {name: statistics.median(values) for name, values in rates.items()}
    base = median.get("hython")
    lines = [
        f"{options.side} x {options.side} cells, {options.years} years, 3 inputs, {len(STATICS)} maps; "
        f"windows of {options.seq_length} days, {options.batch} in a batch; {options.rounds} rounds of each, "
        "in turn.",
        "",
        "| loader | windows a second, median (lowest to highest) | times hython's | set-up, s of processor |",
        "|---|---|---|---|",
    ]
    for name in sorted(median, key=lambda one: median[one]):
        ratio = f"{median[name] / base:.1f}" if base else "-"
        low, high = min(rates[name]), max(rates[name])
        lines.append(
            f"| {name} | {median[name]:,.0f} ({low:,.0f} to {high:,.0f}) | {ratio} | {setup_s[name]:.1f} |"
        )
    lines += notes
    reached = True
    if base:
        memory = median["ours, from memory"] / base
        disk = median["ours, from disk, converted"] / base
        reached = memory >= GOALS["memory"] and disk >= GOALS["converted"]
        lines += [
            "",
            f"From memory {memory:.1f} times hython's windows a second (goal 20), from disk {disk:.1f} times "
            f"(goal 10).",
        ]
    else:
        lines += ["", hython_peer.HOW_TO_GET_IT]
    command = hython_peer.command(options.hython)
    write_page("hydro_loader", "Windows a second", command, lines, "one thread, processor time")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
