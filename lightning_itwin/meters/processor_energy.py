"""Energy of a node's processors and memory, by codecarbon's offline tracker.

Where Linux lets this user read the processor's counter (RAPL) the processor is measured; else codecarbon
models it from its load, as it always models memory.
"""

from __future__ import annotations

import importlib
import logging
import os
import platform
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lightning_itwin.meters import host
from lightning_itwin.meters.grid import Grid
from lightning_itwin.optional import require

_NEVER_S = 1e7  # codecarbon's own measuring thread sleeps: readings are taken here, one at a time
_LOCK_S = 2.0
_YOUNG_S = 0.06  # codecarbon does not measure again within 0.05 s
_FORK_S = 10.0
_CPU_SOURCES = {"intel_rapl": "rapl", "cpu_load": "load", "constant": "constant"}
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
        self._output = _Output()
        self._thread: threading.Thread | None = None
        self._tracker: Any = None
        self._start_s: float | None = None
        self._tracked_from_s: float | None = None
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
            tracker = _build_tracker(self._grid, self._output, self._project_name, self._pue)
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
        if self._thread is not None:
            self._thread.join(wait_s)
        if not self._lock.acquire(timeout=_LOCK_S):  # a driver that does not answer holds it
            return self._last
        try:
            if self._tracker is None or self._tracked_from_s is None:
                return self._last
            if self._last is None:
                time.sleep(max(self._tracked_from_s + _YOUNG_S - self._clock(), 0.0))
            self._output.total = None
            if end:
                self._tracker.stop()
                self._tracker = None
            else:
                self._tracker.flush()
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
        source = self._last.cpu_source if self._last else _cpu_source(self._tracker)
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


class _Output:
    """Takes codecarbon's row instead of a file: what codecarbon calls an output handler."""

    total: Any = None

    def out(self, total: Any, delta: Any) -> None:
        self.total = total

    def live_out(self, total: Any, delta: Any) -> None:
        pass

    def task_out(self, data: Any, experiment_name: str) -> None:
        pass

    def exit(self) -> None:
        pass


def configuration() -> dict[str, str]:
    """Give what codecarbon's configuration files and environment variables say, value by name."""
    config = require("codecarbon.core.config", extra="carbon")
    logging.getLogger("codecarbon").setLevel(logging.ERROR)  # its import sets another level
    settings: dict[str, str] = config.get_hierarchical_config()
    return settings


def _build_tracker(grid: Grid, output: _Output, project_name: str, pue: float) -> Any:
    """Make codecarbon's tracker ready to start; what it may ask of the network is turned off."""
    settings = configuration()
    codecarbon = require("codecarbon", extra="carbon")
    _spare_scontrol()
    _spare_cpuinfo()
    tracker = codecarbon.OfflineEmissionsTracker(
        country_iso_code=grid.country_iso_code,
        region=grid.region,
        # without a grid codecarbon would take the world's mean: its emissions are not used then
        force_carbon_intensity_g_co2e_kwh=grid.intensity_g_per_kwh if grid.known else 0.0,
        cloud_provider=None,
        cloud_region=None,
        country_2letter_iso_code=None,
        project_name=project_name,
        pue=pue,
        tracking_mode="machine",
        measure_power_secs=_NEVER_S,
        api_call_interval=-1,
        allow_multiple_runs=True,  # otherwise it takes a lock file, and SIGINT and SIGTERM with it
        output_dir=os.curdir,
        output_methods=[],
        output_handlers=[output],
        emissions_endpoint=None,
        electricitymaps_api_token="",  # None would let an old configuration file bring its token in
        log_level=settings.get("log_level", "error"),
    )
    tracker.get_detected_hardware()
    importlib.import_module("codecarbon.core.emissions")
    if grid.country_iso_code is not None and grid.intensity_g_per_kwh is None:
        importlib.import_module("codecarbon.input").DataSource().get_global_energy_mix_data()
    return tracker


def _cpu_source(tracker: Any) -> str | None:
    modes = [getattr(part, "_mode", None) for part in getattr(tracker, "_hardware", ())]
    return next((_CPU_SOURCES[mode] for mode in modes if mode in _CPU_SOURCES), None)


def _spare_scontrol() -> None:
    """In a SLURM job codecarbon asks ``scontrol``, and fails in a container that has none."""
    if shutil.which("scontrol") is None:
        for name in ("codecarbon.core.util", "codecarbon.external.ram"):
            vars(importlib.import_module(name))["SLURM_JOB_ID"] = None


def _spare_cpuinfo() -> None:
    """Tell codecarbon the processor's name, for which it would run a process of more than a second."""
    name = host.cpu_name()
    if name in (platform.processor(), platform.machine()):  # /proc/cpuinfo does not have it
        return
    cpuinfo: Any = importlib.import_module("cpuinfo")
    asked = cpuinfo.get_cpu_info
    cpuinfo.get_cpu_info = lambda: {"brand_raw": name}
    try:
        importlib.import_module("codecarbon.core.util").detect_cpu_model()  # which remembers the answer
    finally:
        cpuinfo.get_cpu_info = asked


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
