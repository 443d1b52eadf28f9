"""Runs -> one cell a strategy and number of workers: the five metrics and what goes with them."""

from __future__ import annotations

import dataclasses
import statistics
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_itwin.records import Run, run_folders
from lightning_itwin.records.run_folder import MANIFEST, OUTCOME
from lightning_itwin.reports import scaling
from lightning_itwin.reports.cells import Cell, ResultRow
from lightning_itwin.reports.comparability import check_comparable
from lightning_itwin.reports.error import ReportError
from lightning_itwin.reports.run_values import RunValues, read_run_values
from lightning_itwin.reports.statistics import Interval, compare, median_interval

_SAME_WORK = 0.02  # relative difference of samples an epoch up to which the work counts as the same


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
    runs, unfinished = _finished(runs)
    left_out += [(run.name, "it has no end; its sweep was interrupted, or still runs") for run in unfinished]
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
    if any(cell.row.repeats == 2 for cell in cells):
        told.append(
            "intervals of two repeats are wide, as they have to be; those of three are about three times "
            "narrower (--repeats 3)"
        )
    return Scalability(
        folder=folder,
        cells=cells,
        scaling=kind,
        warnings=tuple(dict.fromkeys(told)),
        left_out=tuple(left_out),
    )


def _finished(runs: Sequence[RunValues]) -> tuple[list[RunValues], list[RunValues]]:
    """Part the runs of a sweep that have ended from those whose end no launcher has seen."""
    in_sweep = any(run.wall_s is not None for run in runs)
    unfinished = [
        run
        for run in runs
        if in_sweep and run.wall_s is None and run.manifest is not None and run.manifest.scaling
    ]
    return [run for run in runs if run not in unfinished], unfinished


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
    if not by_throughput and (difference := _work_difference(alone, cell)):
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
    """Give the relative difference of the samples an epoch; 0 where it is no more than padding."""
    sizes = [
        [run.epoch_samples for run in one.counted if run.epoch_samples is not None] for one in (alone, cell)
    ]
    if not all(sizes):
        return 0.0
    one, several = (statistics.median(found) for found in sizes)
    padded = cell.row.workers  # a sampler makes the shares equal
    return 0.0 if abs(several - one) <= max(padded, _SAME_WORK * one) else abs(several / one - 1)


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
