"""Runs -> one cell a strategy and number of workers: the five metrics and what goes with them."""

from __future__ import annotations

import dataclasses
import statistics
import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_itwin.records import Run, run_folders
from lightning_itwin.records.run_folder import MANIFEST, OUTCOME
from lightning_itwin.reports import scaling
from lightning_itwin.reports.comparability import check_comparable
from lightning_itwin.reports.error import ReportError
from lightning_itwin.reports.run_values import RunValues, read_run_values
from lightning_itwin.reports.statistics import Interval, compare, median_interval

_SAME_WORK = 0.02  # relative difference of samples an epoch that padding of a sampler may make


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
        communication_percent, communication_wait_percent, data_wait_percent, profiler_cost_percent,
            measured_percent: means over repeats of the runs' values.
        epoch_energy_kwh, epoch_emissions_kg, epoch_gpu_energy_wh: an epoch's share of the run's.
        energy_kwh_per_1000_samples, emissions_kg_per_1000_samples, gpu_energy_wh_per_1000_samples: the share
            of 1000 samples.
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


@dataclass(frozen=True, kw_only=True)
class Scalability:
    """What a folder of runs tells.

    Args:
        folder: the folder.
        cells: one a strategy and number of workers, in that order.
        scaling: ``"strong"`` or ``"weak"``.
        warnings: what the reader should know.
        left_out: folders of runs that could not be read, with the reason.
    """

    folder: Path
    cells: tuple[Cell, ...]
    scaling: str
    warnings: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]

    @property
    def rows(self) -> tuple[ResultRow, ...]:
        """The rows of the results."""
        return tuple(cell.row for cell in self.cells)

    @property
    def runs(self) -> tuple[RunValues, ...]:
        """All runs, those that failed included."""
        return tuple(run for cell in self.cells for run in cell.runs)

    @property
    def counted(self) -> tuple[RunValues, ...]:
        """The runs whose numbers count."""
        return tuple(run for run in self.runs if run.ok)

    @property
    def has_gpu(self) -> bool:
        """Whether any run was on GPUs or saw one."""
        return any(
            run.gpus or (run.manifest is not None and run.manifest.accelerator != "cpu") for run in self.runs
        )

    def missing(self, *, gpu: bool) -> str:
        """Give what to show for a metric that was not measured, one of the GPU or another."""
        return "n/a (no GPU)" if gpu and not self.has_gpu else "n/a"


def read_scalability(folder: Path, allow_mixed: Iterable[str] = ()) -> Scalability:
    """Read every run at or below a folder and bring them together.

    Args:
        folder: what ``python -m lightning_itwin.bench --output`` left, or any folder with trainings below it.
        allow_mixed: names of manifest fields in which the runs may differ.

    Raises:
        ReportError: there is no folder, no run, no number, or the runs cannot be compared.
    """
    if not folder.is_dir():
        raise ReportError(f"there is no folder {folder}")
    folders = run_folders(folder)
    if not folders:
        raise ReportError(
            f"no runs in {folder}: looked for {MANIFEST} and {OUTCOME} there and in every folder below. "
            "`python -m lightning_itwin.bench --output DIR` leaves them in DIR/records; a training with one "
            "of our callbacks leaves them in records/ in its Trainer's log folder"
        )
    runs: list[RunValues] = []
    left_out: list[tuple[str, str]] = []
    told: list[str] = []
    for path in folders:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                runs.append(read_run_values(Run.read(path), folder))
            except (ValueError, OSError) as error:
                left_out.append((path.relative_to(folder).as_posix(), str(error)))
        told += [str(warning.message) for warning in caught]
    counted = [run for run in runs if run.ok]
    if not counted and not any(run.wall_s is not None for run in runs):
        reasons = [f"  {run.name}: {run.reason}" for run in runs]
        reasons += [f"  {path}: {reason}" for path, reason in left_out]
        raise ReportError(f"nothing was measured in {folder}:\n" + "\n".join(reasons))
    told += check_comparable(counted, allow_mixed)
    kind, note = _scaling(counted)
    told += [note] if note else []
    told += [f"{path} was left out: {reason}" for path, reason in left_out]
    cells = summarize(runs, kind)
    told += [f"{cell.name}: {note}" for cell in cells for note in cell.notes]
    return Scalability(
        folder=folder,
        cells=cells,
        scaling=kind,
        warnings=tuple(dict.fromkeys(told)),
        left_out=tuple(left_out),
    )


def summarize(runs: Iterable[RunValues], scaling_kind: str) -> tuple[Cell, ...]:
    """Bring runs together, one cell a strategy and number of workers.

    Args:
        runs: comparable runs, those that failed included.
        scaling_kind: ``"strong"`` or ``"weak"``.
    """
    groups: dict[tuple[str, int], list[RunValues]] = {}
    for run in sorted(runs, key=lambda run: (run.strategy, run.workers, run.repeat or 0, run.name)):
        groups.setdefault((run.strategy, run.workers), []).append(run)
    cells = {key: _cell(key, group) for key, group in groups.items()}
    return tuple(
        _with_speedup(cell, cells.get((strategy, 1)), scaling_kind) for (strategy, _), cell in cells.items()
    )


def _cell(key: tuple[str, int], runs: Sequence[RunValues]) -> Cell:
    strategy, workers = key
    counted = [run for run in runs if run.ok]

    def mean(value: Callable[[RunValues], float | None]) -> float | None:
        known = [number for run in counted if (number := value(run)) is not None]
        return statistics.fmean(known) if known else None

    times = [run.epoch_time_s for run in counted if run.epoch_time_s is not None]
    rates = [run.samples_per_s for run in counted if run.samples_per_s is not None]
    interval = median_interval(times) if times else None
    status = "ok" if len(counted) == len(runs) else "partial" if counted else "failed"
    row = ResultRow(
        strategy=strategy,
        workers=workers,
        repeats=len(counted),
        epoch_time_s=interval.value if interval else None,
        epoch_time_low_s=interval.low if interval else None,
        epoch_time_high_s=interval.high if interval else None,
        samples_per_s=statistics.median(rates) if rates else None,
        gpu_utilization_percent=mean(lambda run: run.gpu_utilization_percent),
        gpu_energy_wh=mean(lambda run: run.gpu_energy_wh),
        communication_overhead_percent=mean(lambda run: run.communication_overhead_percent),
        energy_kwh=mean(lambda run: run.energy_kwh),
        emissions_kg=mean(lambda run: run.emissions_kg),
        status=status,
    )
    return Cell(
        row=row,
        runs=tuple(runs),
        communication_percent=mean(lambda run: run.communication_percent),
        communication_wait_percent=mean(lambda run: run.communication_wait_percent),
        data_wait_percent=mean(lambda run: run.data_wait_percent),
        profiler_cost_percent=mean(lambda run: run.profiler_cost_percent),
        measured_percent=mean(lambda run: run.measured_percent),
        epoch_energy_kwh=mean(lambda run: run.per_epoch("energy_kwh")),
        epoch_emissions_kg=mean(lambda run: run.per_epoch("emissions_kg")),
        epoch_gpu_energy_wh=mean(lambda run: run.per_epoch("gpu_energy_wh")),
        energy_kwh_per_1000_samples=mean(lambda run: run.per_1000_samples("energy_kwh")),
        emissions_kg_per_1000_samples=mean(lambda run: run.per_1000_samples("emissions_kg")),
        gpu_energy_wh_per_1000_samples=mean(lambda run: run.per_1000_samples("gpu_energy_wh")),
        notes=tuple(dict.fromkeys(note for run in counted for note in run.notes)),
    )


def _with_speedup(cell: Cell, alone: Cell | None, scaling_kind: str) -> Cell:
    row = cell.row
    if row.epoch_time_s is None:
        return cell
    if alone is None or alone.row.epoch_time_s is None:
        note = f"no speedup: there is no finished run of {row.strategy} on 1 worker to compare with"
        return dataclasses.replace(cell, notes=(*cell.notes, note))
    notes = cell.notes
    by_throughput = scaling_kind == "weak"
    if not by_throughput and (difference := _work_difference(alone, cell)) > _SAME_WORK:
        by_throughput = True
        notes += (
            f"an epoch has {100 * difference:.0f} % more or fewer samples than on 1 worker, so its speedup "
            "is that of the samples a second",
        )
    if by_throughput and row.samples_per_s and alone.row.samples_per_s:
        speedup = scaling.throughput_speedup(alone.row.samples_per_s, row.samples_per_s)
    elif by_throughput:
        speedup = row.workers * scaling.strong_speedup(alone.row.epoch_time_s, row.epoch_time_s)
        notes += ("samples were not counted; the work of an epoch is taken to grow with the workers",)
    else:
        speedup = scaling.strong_speedup(alone.row.epoch_time_s, row.epoch_time_s)
    interval = None
    if cell is not alone:
        rounds = compare(alone.by_round(_epoch_time_s), cell.by_round(_epoch_time_s))
        if rounds.low is not None and rounds.high is not None:
            scale = speedup / rounds.ratio
            interval = Interval(value=speedup, low=rounds.low * scale, high=rounds.high * scale)
    return dataclasses.replace(
        cell,
        row=dataclasses.replace(row, speedup=speedup, efficiency=scaling.efficiency(speedup, row.workers)),
        speedup_interval=interval,
        serial_fraction=(scaling.serial_fraction(speedup, row.workers) if scaling_kind == "strong" else None),
        notes=notes,
    )


def _epoch_time_s(run: RunValues) -> float | None:
    return run.epoch_time_s


def _work_difference(alone: Cell, cell: Cell) -> float:
    sizes = [
        [run.epoch_samples for run in one.counted if run.epoch_samples is not None] for one in (alone, cell)
    ]
    if not all(sizes):
        return 0.0
    return abs(statistics.median(sizes[1]) / statistics.median(sizes[0]) - 1)


def _scaling(runs: Sequence[RunValues]) -> tuple[str, str]:
    """Tell how the work goes with the workers: as the sweep says, else as the samples of an epoch say."""
    told = {run.manifest.scaling for run in runs if run.manifest is not None and run.manifest.scaling}
    if len(told) == 1:
        return told.pop(), ""
    sizes: Mapping[int, list[int]] = {}
    for run in runs:
        if run.epoch_samples is not None:
            sizes = {**sizes, run.workers: [*sizes.get(run.workers, []), run.epoch_samples]}
    medians = {workers: statistics.median(found) for workers, found in sizes.items()}
    if len(medians) < 2:
        return "strong", ""
    fewest, most = min(medians), max(medians)
    growth = medians[most] / medians[fewest]
    if abs(growth / (most / fewest) - 1) <= _SAME_WORK:
        return "weak", (
            "samples an epoch grow with the workers (weak scaling), so the speedup is that of the samples a "
            "second"
        )
    return "strong", ""
