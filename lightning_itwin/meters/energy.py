"""EnergyMeter: what one node has drawn since the start: processors and memory, and the GPUs in use."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lightning_itwin.meters.energy_totals import emissions_kg
from lightning_itwin.meters.processor_energy import ProcessorEnergy, ProcessorReading

FRESH_S = 0.1  # a reading takes about 1 ms: asked for more often, it would be felt
_LOCK_S = 2.0
_WH_PER_KWH = 1000


class GPUEnergy(Protocol):
    """What adds up the energy of GPUs, such as :class:`lightning_itwin.meters.gpu.GPUMeter`."""

    @property
    def total_energy_wh(self) -> float | None:
        """Energy of all of them since the start; None where that of one is unknown."""

    def start(self) -> None:
        """Begin."""

    def read(self) -> None:
        """Read now."""

    def stop(self) -> None:
        """Read a last time."""


@dataclass(frozen=True, kw_only=True)
class EnergyReading:
    """Energy of a node since the start, cumulative, the data centre's overhead (PUE) included.

    Args:
        time_unix_s: wall clock.
        duration_s: time since the start.
        cpu_kwh, ram_kwh, gpu_kwh: the parts; None where a part is not measured here.
        measured_kwh: what sensors told of it, rather than models.
        intensity_g_per_kwh: carbon intensity of the grid; None where it is unknown.
        cpu_source: ``"rapl"``, ``"load"`` or ``"constant"``.
        row: codecarbon's row for processors and memory; None without them.
    """

    time_unix_s: float
    duration_s: float
    cpu_kwh: float | None
    ram_kwh: float | None
    gpu_kwh: float | None
    measured_kwh: float
    intensity_g_per_kwh: float | None = None
    cpu_source: str | None = None
    row: Any = None

    @property
    def energy_kwh(self) -> float:
        """All parts together."""
        return sum(part for part in (self.cpu_kwh, self.ram_kwh, self.gpu_kwh) if part is not None)

    @property
    def measured_percent(self) -> float | None:
        """Share that sensors told, 0-100; None where there was no energy."""
        return 100 * self.measured_kwh / self.energy_kwh if self.energy_kwh > 0 else None

    @property
    def emissions_kg(self) -> float | None:
        """Carbon dioxide equivalent; None where the grid is unknown."""
        return emissions_kg(self.energy_kwh, self.intensity_g_per_kwh)

    def with_gpus(self, energy_kwh: float) -> EnergyReading:
        """Give this reading with the energy of GPUs that other processes of the node read.

        >>> alone = EnergyReading(
        ...     time_unix_s=0, duration_s=60, cpu_kwh=1.0, ram_kwh=0.5, gpu_kwh=None, measured_kwh=1.0
        ... )
        >>> both = alone.with_gpus(2.5)
        >>> both.energy_kwh, both.gpu_kwh, both.measured_percent
        (4.0, 2.5, 87.5)
        """
        if not energy_kwh:
            return self
        return dataclasses.replace(
            self, gpu_kwh=(self.gpu_kwh or 0.0) + energy_kwh, measured_kwh=self.measured_kwh + energy_kwh
        )

    def codecarbon_row(self, gpu_names: Mapping[str, int] | None = None) -> dict[str, Any]:
        """Give codecarbon's row with the GPUs of this reading in it, value by column in codecarbon's order.

        Args:
            gpu_names: number of GPUs by product name.
        """
        names = gpu_names or {}
        emissions = self.emissions_kg
        values = {
            **self.row.values,
            "duration": self.duration_s,
            "emissions": emissions,
            "emissions_rate": None if emissions is None else emissions / max(self.duration_s, 1e-9),
            "gpu_power": (self.gpu_kwh or 0.0) * 3.6e6 / max(self.duration_s, 1e-9),
            "cpu_energy": self.cpu_kwh,
            "gpu_energy": self.gpu_kwh or 0.0,
            "ram_energy": self.ram_kwh,
            "energy_consumed": self.energy_kwh,
            "gpu_count": sum(names.values()),
            "gpu_model": "".join(f"{count} x {name}" for name, count in names.items()),
        }
        return {name: values[name] for name in self.row.values}


class EnergyMeter:
    """Adds up the energy of a node, and hands on a reading at regular intervals.

    Args:
        processors: the node's processors and memory; None where another process measures them.
        gpus: the GPUs in use; None for none.
        pue: power usage effectiveness of the data centre, at least 1, for the GPUs.
        interval_s: time between readings that are handed on.
        take: takes those readings, in a thread of the meter.
        clock: a clock in seconds that never goes back.
        wall_clock: seconds since 1970.
    """

    def __init__(
        self,
        *,
        processors: ProcessorEnergy | None,
        gpus: GPUEnergy | None,
        pue: float = 1.0,
        interval_s: float = 15.0,
        take: Callable[[EnergyReading], None],
        clock: Callable[[], float] = time.perf_counter,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._processors = processors
        self._gpus = gpus
        self._pue = pue
        self._interval_s = interval_s
        self._take = take
        self._clock = clock
        self._wall_clock = wall_clock
        self._start_s = 0.0
        self._last: EnergyReading | None = None
        self._reading = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin: energy counts from here."""
        self._start_s = self._clock()
        if self._gpus is not None:
            self._gpus.start()
        if self._processors is not None:
            self._processors.start()
        self._thread = threading.Thread(target=self._loop, name="lightning_itwin-energy", daemon=True)
        self._thread.start()

    def read(self, wait_s: float = 0.0) -> EnergyReading | None:
        """Read now; a reading younger than 0.1 s is given again.

        Args:
            wait_s: how long to wait for the first reading of processors and memory.

        Returns:
            None where nothing can be told yet.
        """
        if not self._reading.acquire(timeout=_LOCK_S):  # a driver that does not answer holds it
            return self._last
        try:
            age_s = self._clock() - self._start_s - self._last.duration_s if self._last else FRESH_S
            if age_s >= FRESH_S:
                processors = self._processors.read(wait_s) if self._processors is not None else None
                if self._gpus is not None:
                    self._gpus.read()
                self._last = self._add_up(processors) or self._last
            return self._last
        finally:
            self._reading.release()

    def stop(self, wait_s: float = 0.0) -> EnergyReading | None:
        """Read a last time and end all threads.

        Args:
            wait_s: how long to wait for the first reading of processors and memory.
        """
        self._ended.set()
        if not self._reading.acquire(timeout=_LOCK_S):
            return self._last
        try:
            processors = self._processors.stop(wait_s) if self._processors is not None else None
            if self._gpus is not None:
                self._gpus.stop()
            self._last = self._add_up(processors) or self._last
            return self._last
        finally:
            self._reading.release()

    def _loop(self) -> None:
        while not self._ended.wait(self._interval_s):
            reading = self.read()
            if reading is not None and not self._ended.is_set():
                self._take(reading)

    def _add_up(self, processors: ProcessorReading | None) -> EnergyReading | None:
        gpu_wh = self._gpus.total_energy_wh if self._gpus is not None else None
        late = self._processors is not None and processors is None and not self._processors.failure
        if late or (processors is None and gpu_wh is None):
            return None
        gpu_kwh = None if gpu_wh is None else gpu_wh / _WH_PER_KWH * self._pue
        return EnergyReading(
            time_unix_s=self._wall_clock(),
            duration_s=self._clock() - self._start_s,
            cpu_kwh=processors.cpu_kwh if processors else None,
            ram_kwh=processors.ram_kwh if processors else None,
            gpu_kwh=gpu_kwh,
            measured_kwh=(processors.measured_kwh if processors else 0.0) + (gpu_kwh or 0.0),
            intensity_g_per_kwh=processors.intensity_g_per_kwh if processors else None,
            cpu_source=processors.cpu_source if processors else None,
            row=processors.row if processors else None,
        )
