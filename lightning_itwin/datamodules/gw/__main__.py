"""``python -m lightning_itwin.datamodules.gw``: simulate a data set, inspect it, export it to HDF5."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from jsonargparse import ArgumentParser

from lightning_itwin.datamodules.gw.hdf5_export import export_hdf5
from lightning_itwin.datamodules.gw.progress import Progress, duration
from lightning_itwin.datamodules.gw.shard_format import (
    EVENTS_PER_BLOCK,
    ShardError,
    ShardManifest,
    damaged_blocks,
    missing_shards,
)
from lightning_itwin.datamodules.gw.simulate import DataSetSettings, check_space, simulate
from lightning_itwin.datamodules.gw.simulation import SignalSettings
from lightning_itwin.detectors import ObservationSettings
from lightning_itwin.optional import MissingExtraError


def make_parser() -> ArgumentParser:
    """Make the parser of the command line."""
    parser = ArgumentParser(
        prog="python -m lightning_itwin.datamodules.gw",
        description="Simulated gravitational-wave events on disk.",
    )
    commands = parser.add_subcommands(required=True, dest="command")

    one = ArgumentParser(description="Simulate a data set, or go on with one.")
    one.add_argument("--config", action="config", help="YAML file with these settings")
    one.add_argument("--events", type=int, required=True, help="number of events")
    one.add_argument("--out", type=str, required=True, help="folder of the data set")
    one.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="worker processes")
    one.add_argument(
        "--content",
        type=Literal["strain", "signal"],
        default="strain",
        help="noisy whitened series, or whitened spectrum without noise, which training adds",
    )
    one.add_argument(
        "--signal_below_hz", type=float, default=None, help="highest frequency of a stored signal"
    )
    one.add_argument("--shard_gb", type=float, default=1.5, help="size of a shard in 10^9 bytes")
    one.add_argument("--dry-run", action="store_true", help="say size and time, write nothing")
    one.add_class_arguments(SignalSettings, as_group=True)
    commands.add_subcommand("simulate", one)

    one = ArgumentParser(description="Say what a folder holds and compare its checksums.")
    one.add_argument("folder", type=str, help="folder of the data set")
    one.add_argument("--quick", action="store_true", help="leave the checksums out")
    commands.add_subcommand("inspect", one)

    one = ArgumentParser(description="Write a data set into one HDF5 file.")
    one.add_argument("folder", type=str, help="folder of the data set")
    one.add_argument("file", type=str, help="HDF5 file to write; it appears whole or not at all")
    commands.add_subcommand("export", one)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; give its exit status."""
    parser = make_parser()
    given = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for workers: a process is one core
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if given.command == "simulate":
            return _simulate(given.simulate)
        if given.command == "inspect":
            return _inspect(Path(given.inspect.folder), given.inspect.quick)
        export_hdf5(given.export.folder, given.export.file, Progress("events"))
    except (ValueError, OSError, MissingExtraError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. The same command goes on where it was.", file=sys.stderr)
        return 130
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _simulate(values: Any) -> int:
    signals = {name: values[name] for name in SignalSettings.__dataclass_fields__}
    signals["observation"] = ObservationSettings.from_dict(values.observation.as_dict())
    settings = DataSetSettings(
        events=values.events,
        signal=SignalSettings(**signals),
        content=values.content,
        signal_below_hz=values.signal_below_hz,
        shard_gb=values.shard_gb,
    )
    if values.dry_run:
        return _dry_run(settings, Path(values.out), values.workers)
    begun_s = time.monotonic()
    manifest = simulate(settings, values.out, values.workers, Progress("events"))
    took = duration(time.monotonic() - begun_s)
    print(f"{values.out}: {manifest.events} events, {manifest.bytes / 1e9:.2f} GB, {took}")
    return 0


def _dry_run(settings: DataSetSettings, out: Path, workers: int) -> int:
    simulator = settings.simulator()
    manifest = settings.manifest(simulator)
    simulator.block(0)  # the first one also plans FFTs and loads tables
    begun_s = time.perf_counter()
    simulator.block(1)
    block_s = time.perf_counter() - begun_s
    total_s = manifest.events / EVENTS_PER_BLOCK * block_s / max(1, workers)
    print(
        f"{manifest.events} events of {manifest.record.bytes} bytes: {manifest.bytes / 1e9:.2f} GB in "
        f"{manifest.shards} shards; about {duration(total_s)} with {workers} workers, a core each "
        f"({EVENTS_PER_BLOCK / block_s:.0f} events/s a core here and now)"
    )
    check_space(out, manifest.events * manifest.record.bytes, manifest.events)
    return 0


def _inspect(folder: Path, quick: bool) -> int:
    manifest = ShardManifest.read(folder)
    missing = missing_shards(folder, manifest)
    settings = manifest.settings
    observation = settings["observation"]
    print(
        f"{folder}: {manifest.events} events in {manifest.shards} shards, {manifest.bytes / 1e9:.2f} GB\n"
        f"content: {settings['content']}, {manifest.record.dtype} {manifest.record.shape}\n"
        f"detectors: {', '.join(observation['detectors'])}; {observation['duration_s']:g} s at "
        f"{observation['sample_rate_hz']:g} Hz from {observation['minimum_frequency_hz']:g} Hz; "
        f"{len(observation['psds'])} PSD sets\n"
        f"waveform: {settings['waveform']}; seed: {settings['seed']}\n"
        f"parameters: {', '.join(manifest.names)}\n"
        f"made with: {', '.join(f'{name} {version}' for name, version in manifest.versions.items())}"
    )
    if missing:
        print(
            f"not finished: {len(missing)} of {manifest.shards} shards are missing or partial: {missing[:20]}"
        )
    if quick:
        return 1 if missing else 0
    damaged = {}
    progress = Progress("shards checked")
    whole = [shard for shard in range(manifest.shards) if shard not in set(missing)]
    for number, shard in enumerate(whole, start=1):
        blocks = damaged_blocks(folder, manifest, shard)
        if blocks:
            damaged[shard] = blocks
        progress(number, len(whole))
    if damaged:
        raise ShardError(
            "Wrong checksums: "
            + "; ".join(f"shard {shard}, blocks {blocks[:20]}" for shard, blocks in damaged.items())
            + ". Delete the .bin and .npz of these shards and start the simulation again."
        )
    print(f"checksums of {len(whole)} shards are right")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
