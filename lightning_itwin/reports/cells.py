"""The rows of the results: one a strategy and number of workers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from lightning_itwin.reports.run_values import RunValues
from lightning_itwin.reports.statistics import Interval


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """One row of the results: a strategy on a number of workers. None is what was not measured.

    Args:
        strategy: strategy string.
        workers: number of workers.
        repeats: runs that the numbers rest on.
        epoch_time_s: median over repeats of the median over epochs of the slowest rank, warm-up left out.
        epoch_time_low_s, epoch_time_high_s: its 95 % interval; None for a single repeat.
        speedup: against the same strategy on one worker.
        efficiency: speedup over workers, 0-1 (more where caches help).
        samples_per_s: of all workers together, median over repeats.
        gpu_utilization_percent: mean over GPUs, time and repeats.
        gpu_energy_wh: sum over GPUs for one run, mean over repeats.
        communication_overhead_percent: exposed communication as a share of wall time, mean over repeats.
        energy_kwh: CPU, GPU and memory of all nodes for one run, mean over repeats.
        emissions_kg: carbon dioxide equivalent of it.
        status: ``"ok"``, ``"partial"`` where some repeats failed, ``"failed"`` where all did.
    """

    strategy: str
    workers: int
    repeats: int
    epoch_time_s: float | None = None
    epoch_time_low_s: float | None = None
    epoch_time_high_s: float | None = None
    speedup: float | None = None
    efficiency: float | None = None
    samples_per_s: float | None = None
    gpu_utilization_percent: float | None = None
    gpu_energy_wh: float | None = None
    communication_overhead_percent: float | None = None
    energy_kwh: float | None = None
    emissions_kg: float | None = None
    status: str


COLUMNS = tuple(field.name for field in dataclasses.fields(ResultRow))


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A row of the results with everything else that is known of it.

    Args:
        row: what stands in the results.
        runs: its runs, those that failed included.
        speedup_interval: 95 % interval of the speedup, round by round; None without a run on one worker.
        serial_fraction: Karp and Flatt's, for a strong scaling.
        communication_percent, communication_wait_percent: means over repeats of the runs' values.
        data_wait_percent, profiler_cost_percent, measured_percent: likewise.
        epoch_energy_kwh, epoch_emissions_kg, epoch_gpu_energy_wh: an epoch's share of the run's.
        energy_kwh_per_1000_samples, emissions_kg_per_1000_samples: the share of 1000 samples.
        gpu_energy_wh_per_1000_samples: likewise.
        notes: what to know about the numbers.
    """

    row: ResultRow
    runs: tuple[RunValues, ...]
    speedup_interval: Interval | None = None
    serial_fraction: float | None = None
    communication_percent: float | None = None
    communication_wait_percent: float | None = None
    data_wait_percent: float | None = None
    profiler_cost_percent: float | None = None
    measured_percent: float | None = None
    epoch_energy_kwh: float | None = None
    epoch_emissions_kg: float | None = None
    epoch_gpu_energy_wh: float | None = None
    energy_kwh_per_1000_samples: float | None = None
    emissions_kg_per_1000_samples: float | None = None
    gpu_energy_wh_per_1000_samples: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Strategy and workers, as the text says them."""
        return f"{self.row.strategy} on {self.row.workers} worker{'' if self.row.workers == 1 else 's'}"

    @property
    def counted(self) -> tuple[RunValues, ...]:
        """The runs whose numbers count."""
        return tuple(run for run in self.runs if run.ok)

    def by_round(self, value: Callable[[RunValues], float | None]) -> dict[Hashable, float]:
        """Give a value of each run that counts, by its round; a run outside sweeps is a round of its own."""
        found = {run.name if run.repeat is None else run.repeat: value(run) for run in self.counted}
        return {key: number for key, number in found.items() if number is not None and number > 0}
