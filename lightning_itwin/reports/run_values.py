"""What one run comes to: its rows of all ranks, brought down to one number a metric."""

from __future__ import annotations

import dataclasses
import math
import statistics
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_itwin.records import CarbonRecord, CommunicationRecord, EpochRecord, Run, RunManifest
from lightning_itwin.records.gpu_energy import (
    GPUSummary,
    gpu_energy_wh,
    gpu_utilization_percent,
    summarize_gpus,
)
from lightning_itwin.records.schema import RECORD_TYPES, Record
from lightning_itwin.reports.goodput import GoodputLedger, goodput_ledger
from lightning_itwin.reports.scaling import per_1000_samples

# by kind of record: the fields that hold numbers, and whether they may be None
_NUMBERS = {
    kind: tuple(
        (field.name, "None" in str(field.type))
        for field in dataclasses.fields(record)
        if str(field.type).startswith(("float", "int"))
    )
    for kind, record in RECORD_TYPES.items()
}


@dataclass(frozen=True, kw_only=True)
class RunValues:
    """One run in numbers; None is what was not measured.

    Args:
        name: path of its folder below the report's folder.
        strategy: strategy string.
        workers: number of workers.
        repeat: number of the repeat; None outside sweeps.
        status: ``"ok"`` or ``"failed"``.
        reason: why it failed.
        log, log_tail: path of the log below the report's folder, and its last lines, if a launcher kept one.
        wall_s: from the start of the processes to their end, where a launcher saw it.
        manifest: what it was; None where it died before it wrote one.
        notes: what to know about the numbers.
        epochs: trained epochs, warm-up included.
        epoch_times_s: of the epochs that count, each on its slowest rank.
        epoch_time_s: their median.
        epoch_samples: samples of one of these epochs, all ranks together.
        samples_per_s: median over these epochs, all ranks together.
        gpus: each physical GPU, once.
        gpu_utilization_percent, gpu_energy_wh: mean, and sum, over the GPUs; the whole run.
        communication_overhead_percent: exposed communication as a share of wall time, over ranks and windows.
        communication_percent: communication, exposed or hidden, as a share of wall time.
        communication_wait_percent: waiting for stragglers as a share of wall time.
        data_wait_percent: waiting for batches as a share of the epochs' time, over ranks.
        profiler_cost_percent: what the profiler says that it cost, mean over ranks.
        energy_kwh, emissions_kg: of all nodes, the whole run.
        measured_percent: share of the energy that came from a sensor.
        samples: samples trained on in the whole run.
        ledger: where its wall time went; None where no rank told.
    """

    name: str
    strategy: str
    workers: int
    repeat: int | None
    status: str
    reason: str = ""
    log: str = ""
    log_tail: str = ""
    wall_s: float | None = None
    manifest: RunManifest | None = None
    notes: tuple[str, ...] = ()
    epochs: int = 0
    epoch_times_s: tuple[float, ...] = ()
    epoch_time_s: float | None = None
    epoch_samples: int | None = None
    samples_per_s: float | None = None
    gpus: tuple[GPUSummary, ...] = ()
    gpu_utilization_percent: float | None = None
    gpu_energy_wh: float | None = None
    communication_overhead_percent: float | None = None
    communication_percent: float | None = None
    communication_wait_percent: float | None = None
    data_wait_percent: float | None = None
    profiler_cost_percent: float | None = None
    energy_kwh: float | None = None
    emissions_kg: float | None = None
    measured_percent: float | None = None
    samples: int | None = None
    ledger: GoodputLedger | None = None

    @property
    def ok(self) -> bool:
        """Whether its numbers count."""
        return self.status == "ok"

    def per_epoch(self, name: str) -> float | None:
        """Give a value of the whole run, such as ``"energy_kwh"``, as a share of one epoch."""
        total = getattr(self, name)
        return None if total is None or not self.epochs else total / self.epochs

    def per_1000_samples(self, name: str) -> float | None:
        """Give a value of the whole run, such as ``"energy_kwh"``, as a share of 1000 samples."""
        total = getattr(self, name)
        return None if total is None or not self.samples else per_1000_samples(total, self.samples)


def read_run_values(run: Run, root: Path) -> RunValues:
    """Bring one run down to numbers.

    Args:
        run: the run, read back.
        root: folder that the names in the report start from.
    """
    manifest, outcome = run.manifest, run.outcome
    run = dataclasses.replace(run, records=tuple(_sound(run)))
    epochs = [record for record in run.of(EpochRecord) if record.stage == "train"]
    status, reason = "ok", ""
    if outcome is not None and outcome.status != "ok":
        status, reason = "failed", outcome.reason or outcome.status
    elif manifest is None:
        status, reason = "failed", "it left no manifest.json, so what it ran is unknown"
    elif outcome is not None and outcome.workers != manifest.world_size:
        status = "failed"
        reason = f"{outcome.workers} workers were asked for, the training ran with {manifest.world_size}"
    elif not epochs and (outcome is not None or not run.records):
        status, reason = "failed", "it left no row of a finished training epoch (EpochTimer writes them)"
    notes = () if epochs or status != "ok" else ("no epoch was timed; EpochTimer() among the callbacks does",)
    if manifest is None and outcome is None:
        raise ValueError(f"{run.folder} has neither manifest.json nor outcome.json")
    values = RunValues(
        name=run.folder.relative_to(root).as_posix() if run.folder != root else run.folder.name,
        strategy=outcome.strategy if outcome else manifest.strategy if manifest else "",
        workers=outcome.workers if outcome else manifest.world_size if manifest else 0,
        repeat=outcome.repeat if outcome else manifest.repeat if manifest else None,
        status=status,
        reason=reason,
        log=outcome.log if outcome else "",
        log_tail=outcome.log_tail if outcome else "",
        wall_s=outcome.wall_s if outcome else None,
        manifest=manifest,
        notes=notes,
        ledger=goodput_ledger(run),
    )
    return _with_energy(_with_communication(_with_epochs(values, epochs), run), run)


def _sound(run: Run) -> Iterable[Record]:
    """Yield the records of whose numbers none is missing; the others are passed over with a warning."""
    for record in run.records:
        broken = [
            name
            for name, optional in _NUMBERS[record.kind]
            if not _is_number(getattr(record, name), optional=optional)
        ]
        if broken:
            warnings.warn(
                f"{run.folder}: a {record.kind} row of rank {record.rank} passed over: no number in "
                f"{', '.join(broken)}",
                stacklevel=2,
            )
            continue
        yield record


def _is_number(value: object, *, optional: bool) -> bool:
    if value is None:
        return optional
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _with_epochs(values: RunValues, records: Sequence[EpochRecord]) -> RunValues:
    newest = {(record.epoch, record.rank): record for record in records if record.time_s > 0}
    epochs: dict[int, list[EpochRecord]] = {}
    for (epoch, _), record in sorted(newest.items()):
        epochs.setdefault(epoch, []).append(record)
    notes = list(values.notes)
    counted = {
        number: ranks for number, ranks in epochs.items() if not any(record.warmup for record in ranks)
    }
    if epochs and not counted:
        counted = epochs
        notes.append("only warm-up epochs were trained, so they count; train more for a steady time")
    silent = values.workers - len({record.rank for record in records})
    if values.ok and epochs and silent > 0:
        notes.append(
            f"{silent} of {values.workers} ranks left no epoch rows; the slowest of the others counts"
        )
    if not counted:
        return dataclasses.replace(values, notes=tuple(notes), epochs=len(epochs))
    times = {number: max(record.time_s for record in ranks) for number, ranks in counted.items()}
    sizes = {number: _world_samples(ranks, values.workers) for number, ranks in counted.items()}
    rates = [samples / times[number] for number, samples in sizes.items() if samples is not None]
    known = [samples for samples in sizes.values() if samples is not None]
    everything = [_world_samples(ranks, values.workers) for ranks in epochs.values()]
    waits = [record for ranks in counted.values() for record in ranks if record.data_wait_s is not None]
    return dataclasses.replace(
        values,
        notes=tuple(notes),
        epochs=len(epochs),
        epoch_times_s=tuple(times.values()),
        epoch_time_s=statistics.median(times.values()),
        epoch_samples=round(statistics.median(known)) if known else None,
        samples_per_s=statistics.median(rates) if rates else None,
        data_wait_percent=_share(
            sum(record.data_wait_s or 0.0 for record in waits), sum(record.time_s for record in waits)
        ),
        samples=None if None in everything else sum(samples or 0 for samples in everything),
    )


def _world_samples(ranks: Sequence[EpochRecord], workers: int) -> int | None:
    told = [record.world_samples for record in ranks if record.world_samples]
    if told:
        return max(told)
    own = [record.samples for record in ranks if record.samples]
    return sum(own) if len(own) == workers else None


def _with_communication(values: RunValues, run: Run) -> RunValues:
    windows = list(
        {
            (record.rank, record.epoch, record.first_step): record
            for record in run.of(CommunicationRecord)
            if record.wall_s > 0
        }.values()
    )
    wall_s = sum(window.wall_s for window in windows)
    waits = [window for window in windows if window.wait_s is not None]
    costs = {window.rank: window.cost_percent for window in windows}
    return dataclasses.replace(
        values,
        communication_overhead_percent=_share(sum(window.exposed_s for window in windows), wall_s),
        communication_percent=_share(sum(window.total_s for window in windows), wall_s),
        communication_wait_percent=_share(
            sum(window.wait_s or 0.0 for window in waits), sum(window.wall_s for window in waits)
        ),
        profiler_cost_percent=statistics.fmean(costs.values()) if costs else None,
    )


def _with_energy(values: RunValues, run: Run) -> RunValues:
    last: Mapping[str, CarbonRecord] = {
        record.node: record for record in sorted(run.of(CarbonRecord), key=lambda record: record.time_unix_s)
    }
    nodes = list(last.values())
    energy_kwh = sum(node.energy_kwh for node in nodes) if nodes else None
    emissions = [node.emissions_kg for node in nodes if node.emissions_kg is not None]
    told = [node.samples for node in nodes if node.samples]
    measured = [node for node in nodes if node.measured_percent is not None]
    return dataclasses.replace(
        values,
        gpus=summarize_gpus(run.records),
        gpu_utilization_percent=gpu_utilization_percent(run.records),
        gpu_energy_wh=gpu_energy_wh(run.records),
        energy_kwh=energy_kwh,
        emissions_kg=sum(emissions) if nodes and len(emissions) == len(nodes) else None,
        measured_percent=_share(
            sum((node.measured_percent or 0.0) / 100 * node.energy_kwh for node in measured),
            sum(node.energy_kwh for node in measured),
        ),
        samples=max(told) if told else values.samples,
    )


def _share(part: float, whole: float) -> float | None:
    return 100 * part / whole if whole > 0 else None
