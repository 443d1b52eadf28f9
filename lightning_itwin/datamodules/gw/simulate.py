"""Simulates a data set into shards, in worker processes, and goes on where an earlier start was stopped."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import multiprocessing
import os
import shutil
import signal
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing.connection import wait as wait_for_sentinel
from pathlib import Path
from typing import Any, Literal

import torch

from lightning_itwin.datamodules.gw.shard_format import (
    EVENTS_PER_BLOCK,
    MANIFEST,
    ShardError,
    ShardManifest,
    as_bytes,
    missing_shards,
    partial_path,
)
from lightning_itwin.datamodules.gw.shard_journal import ShardJournal
from lightning_itwin.datamodules.gw.simulation import EventSimulator, SignalSettings, SimulationError

_SPARE_BYTES = 64 * 2**20  # for tables, journals and the file system itself


@dataclass(frozen=True, kw_only=True)
class DataSetSettings:
    """What a data set holds.

    Args:
        events: number of events.
        signal: all that their signals depend on.
        content: ``"strain"`` stores the noisy whitened series, ``"signal"`` the whitened spectrum, to which
            training adds noise of its own every epoch.
        signal_below_hz: highest frequency stored of a signal; None stores the whole band.
        shard_gb: wanted size of a shard in 10^9 bytes.
    """

    events: int
    signal: SignalSettings
    content: Literal["strain", "signal"] = "strain"
    signal_below_hz: float | None = None
    shard_gb: float = 1.5

    def simulator(self) -> EventSimulator:
        """Make the simulator."""
        return EventSimulator(self.signal, self.content, self.signal_below_hz)

    def manifest(self, simulator: EventSimulator) -> ShardManifest:
        """Describe the data set."""
        if self.events < 1 or self.shard_gb <= 0:
            raise ValueError(
                f"events must be at least 1 and shard_gb above 0, not {self.events} and {self.shard_gb}."
            )
        return simulator.manifest(self.events, round(self.shard_gb * 1e9))


def simulate(
    settings: DataSetSettings,
    folder: str | Path,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, events: None,
) -> ShardManifest:
    """Simulate a data set, or what is missing of it.

    An event depends on the settings and its number alone: bit for bit, whatever the number of workers.

    Args:
        settings: of the data set.
        folder: where it goes; made if needed.
        workers: processes; 0 simulates in this one.
        progress: called with the events that are done and all events.

    Returns:
        The manifest of the finished data set.

    Raises:
        ShardError: the folder holds events of other settings, somebody else is writing there, or there is not
            enough space.
        SimulationError: an event cannot be simulated, or a worker died.
        ValueError: a setting is outside its range.
        OSError: the folder cannot be written.
    """
    if workers < 0:
        raise ValueError(f"workers must be at least 0, not {workers}.")
    simulator = settings.simulator()
    manifest = settings.manifest(simulator)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone_in(folder):
        if (folder / MANIFEST).exists():
            check_same_settings(ShardManifest.read(folder), manifest, folder)
        else:
            check_space(folder, manifest.bytes, manifest.events)
        journals = [ShardJournal.open(folder, manifest, shard) for shard in missing_shards(folder, manifest)]
        missing = sum(journal.missing_events for journal in journals)
        check_space(folder, missing * manifest.record.bytes, manifest.events)
        if not (folder / MANIFEST).exists():
            manifest.write(folder)
        _simulate_blocks(settings, simulator, manifest, journals, workers, progress)
    return manifest


def check_same_settings(there: ShardManifest, wanted: ShardManifest, folder: Path) -> None:
    """Refuse to go on with a data set of other settings.

    Raises:
        ShardError: naming each difference.
    """
    if there.versions != wanted.versions:
        had = ", ".join(f"{name} {version}" for name, version in there.versions.items())
        warnings.warn(
            f"The events in {folder} were made with {had}; new ones may differ from theirs in the last bits.",
            stacklevel=2,
        )
    told = [
        f"{name}: there {_short(old)}, wanted {_short(new)}"
        for name, old, new in _differences(asdict(there), asdict(wanted), "")
        if not name.startswith("versions.")
    ]
    if told:
        raise ShardError(
            f"{folder} holds events of other settings:\n  " + "\n  ".join(told) + "\nGive the settings that "
            "are there to go on with them, or another folder."
        )


def _differences(old: dict[str, Any], new: dict[str, Any], path: str) -> Iterator[tuple[str, Any, Any]]:
    for key in [*old, *(key for key in new if key not in old)]:
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _differences(before, after, f"{path}{key}.")
        elif before != after:
            yield f"{path}{key}".removeprefix("settings."), before, after


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:120]}..."


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ShardError(
                f"Another process is simulating into {folder}; wait for it, or end it."
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP):  # a file system without locks
                raise
        yield


def check_space(folder: Path, needed_bytes: int, events: int) -> None:
    """Refuse a folder whose disk has not enough space.

    Args:
        folder: of the data set, whether it exists or not.
        needed_bytes: what is still to be written.
        events: number of events, for the message.

    Raises:
        ShardError: saying how much is needed and free.
    """
    there = next(place for place in (folder.resolve(), *folder.resolve().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if needed_bytes and needed_bytes + _SPARE_BYTES > free:
        raise ShardError(
            f"{events} events need {needed_bytes / 1e9:.1f} GB more in {folder}, where {free / 1e9:.1f} GB "
            f"are free. Make fewer events, store the signals alone (content=signal with signal_below_hz), or "
            f"simulate during training, which stores nothing."
        )


def _simulate_blocks(
    settings: DataSetSettings,
    simulator: EventSimulator,
    manifest: ShardManifest,
    journals: list[ShardJournal],
    workers: int,
    progress: Callable[[int, int], None],
) -> None:
    done = manifest.events - sum(journal.missing_events for journal in journals)
    progress(done, manifest.events)
    by_shard = {journal.shard: journal for journal in journals}
    for journal in journals:
        if journal.complete:
            journal.finish(simulator)
    tasks = (
        _Task(str(journal.folder), journal.shard, block, *journal.block_span(block))
        for journal in journals
        for block in journal.missing_blocks()
    )
    for task, crc32, snr in _results(settings, simulator, tasks, workers):
        journal = by_shard[task.shard]
        journal.append(task.block, crc32, snr)
        done += task.events
        progress(done, manifest.events)
        if journal.complete:
            journal.finish(simulator)


@dataclass(frozen=True)
class _Task:
    folder: str
    shard: int
    block: int  # within the shard
    number: int  # of the block among all
    events: int


_Result = tuple[_Task, int, list[float]]


def _results(
    settings: DataSetSettings, simulator: EventSimulator, tasks: Iterator[_Task], workers: int
) -> Iterator[_Result]:
    if not workers:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as in a worker: the bits of a sum may depend on it
        try:
            yield from (_simulate_block(simulator, task) for task in tasks)
        finally:
            torch.set_num_threads(threads)
        return
    # Forked processes would inherit the locks of torch's thread pools.
    executor = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_begin_worker, initargs=(settings,)
    )
    pending: set[Future[_Result]] = set()
    try:
        while True:
            while len(pending) < 2 * workers and (task := next(tasks, None)) is not None:
                pending.add(executor.submit(_work, task))
            if not pending:
                return
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    except BrokenProcessPool as error:
        raise SimulationError(
            f"A worker process died, most often because {workers} of them need more memory than there is. "
            f"What is done is kept: start again with fewer workers."
        ) from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _simulate_block(simulator: EventSimulator, task: _Task) -> _Result:
    records, snr = simulator.block(task.number)
    content = as_bytes(records[: task.events])
    offset = task.block * EVENTS_PER_BLOCK * simulator.record.bytes
    descriptor = os.open(partial_path(Path(task.folder), task.shard), os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        written = 0
        while written < len(content):
            written += os.pwrite(descriptor, content[written:], offset + written)
    finally:
        os.close(descriptor)
    return task, zlib.crc32(content), snr[: task.events].tolist()


_worker: dict[str, Any] = {}


def _begin_worker(settings: DataSetSettings) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends its workers
    torch.set_num_threads(1)
    _worker["settings"] = settings
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_sentinel([parent.sentinel])
        os._exit(1)


def _work(task: _Task) -> _Result:
    if "simulator" not in _worker:
        _worker["simulator"] = _worker["settings"].simulator()
    return _simulate_block(_worker["simulator"], task)
