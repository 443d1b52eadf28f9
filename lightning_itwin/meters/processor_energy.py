"""Energy of a node's processors and memory, by codecarbon's offline tracker.

Where Linux lets this user read the processor's counter (RAPL) the processor is measured; else codecarbon
models it from its load, as it always models memory.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lightning_itwin.meters.grid import Grid
from lightning_itwin.meters.offline_tracker import RowTaker, build_tracker, cpu_source, trim

_LOCK_S = 2.0
_YOUNG_S = 0.06  # codecarbon does not measure again within 0.05 s
_FORK_S = 10.0
# what codecarbon lets through when a file, a program or a version is not what it expects
_FAILURES = (
    AttributeError,
    ImportError,
    KeyError,
    OSError,
    RuntimeError,
    subprocess.SubprocessError,
    TypeError,
    ValueError,
)

_preparing: set[threading.Thread] = set()
_fork_guarded = False


@dataclass(frozen=True, kw_only=True)
class ProcessorReading:
    """Energy of processors and memory since the start, cumulative.

    Args:
        cpu_kwh, ram_kwh: energy, the share of the data centre's overhead (PUE) included.
        measured_kwh: the part of it that a sensor told.
        intensity_g_per_kwh: carbon intensity of the grid; None where the grid is unknown.
        cpu_source: ``"rapl"``, ``"load"`` or ``"constant"``; None for a way that codecarbon has since learnt.
        row: codecarbon's own row of its ``emissions.csv``, without GPUs.
    """

    cpu_kwh: float
    ram_kwh: float
    measured_kwh: float
    intensity_g_per_kwh: float | None
    cpu_source: str | None
    row: Any


class ProcessorEnergy:
    """Energy of a node's processors and memory.

    codecarbon needs about half a second to get ready, most of it to import pandas. So it gets ready in a
    thread, between :meth:`prepare` and :meth:`start`; if it is late, what the node drew until then is filled
    in with the mean power of the first reading, and does not count as measured.

    Args:
        grid: whose electricity the node draws.
        project_name: name for codecarbon's dashboard.
        pue: power usage effectiveness of the data centre, at least 1.
        clock: a clock in seconds that never goes back.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        project_name: str = "codecarbon",
        pue: float = 1.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._grid = grid
        self._project_name = project_name
        self._pue = pue
        self._clock = clock
        self._lock = threading.Lock()
        self._output = RowTaker()
        self._thread: threading.Thread | None = None
        self._tracker: Any = None
        self._start_s: float | None = None
        self._tracked_from_s: float | None = None
        self._late = False
        self._fill: tuple[float, float] | None = None
        self._last: ProcessorReading | None = None
        self._failure = ""

    @property
    def failure(self) -> str:
        """Why there are no readings; empty where nothing has failed."""
        return self._failure

    def prepare(self) -> None:
        """Get codecarbon ready in the background."""
        _guard_forks()
        self._thread = threading.Thread(target=self._prepare, name="lightning_itwin-codecarbon", daemon=True)
        _preparing.add(self._thread)
        self._thread.start()

    def start(self) -> None:
        """Begin: energy counts from here."""
        with self._lock:
            self._start_s = self._clock()
            self._start_tracker()

    def read(self, wait_s: float = 0.0) -> ProcessorReading | None:
        """Read now; None where codecarbon is not ready or has failed.

        Args:
            wait_s: how long to wait for codecarbon to get ready.
        """
        return self._read(wait_s, end=False)

    def stop(self, wait_s: float = 0.0) -> ProcessorReading | None:
        """Take the last reading and end codecarbon's threads.

        Args:
            wait_s: how long to wait for codecarbon to get ready.
        """
        return self._read(wait_s, end=True)

    def _prepare(self) -> None:
        try:
            tracker = build_tracker(self._grid, self._output, self._project_name, self._pue)
            with self._lock:
                self._tracker = tracker
                self._start_tracker()
        except _FAILURES as error:
            self._failure = f"{type(error).__name__}: {error}"
        finally:
            _preparing.discard(threading.current_thread())

    def _start_tracker(self) -> None:
        if self._tracker is not None and self._start_s is not None:
            self._tracker.start()
            self._tracked_from_s = self._clock()

    def _read(self, wait_s: float, *, end: bool) -> ProcessorReading | None:
        if self._thread is not None and not self._late:
            self._thread.join(wait_s)
            self._late = wait_s > 0 and self._thread.is_alive()  # waited for once, and no more
        if not self._lock.acquire(timeout=_LOCK_S):  # a driver that does not answer holds it
            return self._last
        try:
            if self._tracker is None or self._tracked_from_s is None:
                if end and self._last is None:
                    self._failure = self._failure or "it was not ready before the training ended"
                return self._last
            if self._last is None:
                time.sleep(max(self._tracked_from_s + _YOUNG_S - self._clock(), 0.0))
            self._output.total = None
            if end:
                self._tracker.stop()
                self._tracker = None
            else:
                self._tracker.flush()
                trim(self._tracker)
            if self._output.total is None:  # codecarbon logs its exceptions and goes on
                self._failure = self._failure or "codecarbon could not measure"
            else:
                self._last = self._translate(self._output.total)
            return self._last
        finally:
            self._lock.release()

    def _translate(self, row: Any) -> ProcessorReading:
        if self._fill is None:
            late_s = (self._tracked_from_s or 0.0) - (self._start_s or 0.0)
            late = late_s / row.duration if row.duration > 0 else 0.0
            self._fill = (row.cpu_energy * late, row.ram_energy * late)
        source = self._last.cpu_source if self._last else cpu_source(self._tracker)
        intensity = None
        if self._grid.known:
            intensity = self._last.intensity_g_per_kwh if self._last else None
            if row.energy_consumed > 0:
                intensity = row.emissions / row.energy_consumed * 1000
        return ProcessorReading(
            cpu_kwh=row.cpu_energy + self._fill[0],
            ram_kwh=row.ram_energy + self._fill[1],
            measured_kwh=row.cpu_energy if source == "rapl" else 0.0,
            intensity_g_per_kwh=intensity,
            cpu_source=source,
            row=row,
        )


def _guard_forks() -> None:
    """Let forks wait: a process forked in the middle of an import may wait forever for the import's lock."""
    global _fork_guarded
    if not _fork_guarded:
        _fork_guarded = True
        os.register_at_fork(before=_finish_preparing)


def _finish_preparing() -> None:
    for thread in tuple(_preparing):
        if thread.is_alive() and thread is not threading.current_thread():
            thread.join(_FORK_S)
