"""The rows that a run leaves behind: frozen, keyword-only, units in the names.

``None`` means "not measured"; a zero is a measured zero. ``time_unix_s`` is the wall clock at the end of what
the row tells of, so that rows of several ranks and nodes can be laid on one time line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class Record:
    """What every row bears.

    Args:
        time_unix_s: wall clock at the end of what the row tells of.
        rank: global rank of the process that wrote it.
    """

    kind: ClassVar[str] = "record"
    time_unix_s: float
    rank: int


@dataclass(frozen=True, kw_only=True)
class EpochRecord(Record):
    """One epoch of training, or all validation within it, on one rank.

    Args:
        epoch: number of the epoch, from 0.
        stage: ``"train"`` or ``"validate"``; the time of ``"train"`` leaves validation out.
        time_s: duration on the clock of this rank, the device synchronised at both ends; checkpoints saved
            in between are left out.
        steps: batches that this rank saw.
        samples: samples that this rank saw; None where a batch has no size.
        world_samples: the same summed over all ranks.
        step_time_median_s, step_time_p95_s: of the interval from one batch's end to the next one's.
        data_wait_s: time that the loop waited for the next batch.
        flops: floating point operations of this rank in the epoch, where the module told them.
        warmup: the first epoch of a process, which reports leave out where there are others.
    """

    kind: ClassVar[str] = "epoch"
    epoch: int
    stage: str
    time_s: float
    steps: int
    samples: int | None
    world_samples: int | None
    step_time_median_s: float | None
    step_time_p95_s: float | None
    data_wait_s: float | None
    flops: float | None = None
    warmup: bool


@dataclass(frozen=True, kw_only=True)
class WallTimeRecord(Record):
    """Where the wall time of one process went, cumulative: the last row of a rank is its sum.

    Args:
        start_up_s: from the start of the process (of a later training in it: from the end of the one before)
            to the first training step's epoch: imports, data, model, strategy, the validation before it.
        training_s: from there on.
        epochs_s: thereof in training epochs, as ``EpochRecord.time_s`` has them.
        data_wait_s: thereof waiting for batches; a part of ``epochs_s``.
        validation_s: thereof in validation.
        checkpoint_s: thereof saving checkpoints, those within a validation apart.
    """

    kind: ClassVar[str] = "wall_time"
    start_up_s: float
    training_s: float
    epochs_s: float
    data_wait_s: float
    validation_s: float
    checkpoint_s: float


@dataclass(frozen=True, kw_only=True)
class GPURecord(Record):
    """One reading of one physical GPU (or MIG instance).

    Args:
        node: host name.
        index: index of the device on its node as the driver counts.
        uuid: the driver's UUID; two ranks on one device write the same one.
        name: product name.
        utilization_percent: share of the last sampling period in which a kernel ran, 0-100.
        memory_gib: memory in use on the device.
        memory_total_gib: memory of the device.
        power_w: power draw.
        temperature_c: core temperature.
        sm_clock_mhz, memory_clock_mhz: clocks.
        throttle_reasons: names of what slows the clocks, joined by ``+``; empty for none.
        pcie_tx_mib_per_s, pcie_rx_mib_per_s, nvlink_tx_mib_per_s, nvlink_rx_mib_per_s: link traffic.
        sm_active_percent: share of SM cycles with a warp resident (GPM, Hopper and newer).
        energy_wh: energy since this run's monitoring began, cumulative.
        energy_source: ``"counter"`` (hardware) or ``"trapezoid"`` (power over true time stamps).
    """

    kind: ClassVar[str] = "gpu"
    node: str
    index: int
    uuid: str
    name: str
    utilization_percent: float | None
    memory_gib: float | None
    memory_total_gib: float | None
    power_w: float | None
    temperature_c: float | None
    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    throttle_reasons: str | None = None
    pcie_tx_mib_per_s: float | None = None
    pcie_rx_mib_per_s: float | None = None
    nvlink_tx_mib_per_s: float | None = None
    nvlink_rx_mib_per_s: float | None = None
    sm_active_percent: float | None = None
    energy_wh: float | None
    energy_source: str | None


@dataclass(frozen=True, kw_only=True)
class CommunicationRecord(Record):
    """One profiled window of training steps on one rank.

    ``exposed_s`` is communication in flight that no computation of the same rank covers; ``hidden_s`` is
    covered; ``total_s`` is their sum, as a union of intervals (two collectives at once count once).

    Args:
        epoch: number of the epoch of the window.
        first_step: number of the batch, within the training, with which the window begins.
        steps: steps in the window.
        wall_s: wall time of the window.
        total_s, exposed_s, hidden_s: communication, as above.
        computation_s: union of computation.
        data_wait_s: waiting for the next batch.
        idle_s: neither computation nor communication nor data wait.
        wait_s: exposed time beyond that of the rank that exposes least: waiting for stragglers.
        overhead_percent: ``100 * exposed_s / wall_s``.
        collectives: collectives seen in the window.
        cost_s: what profiling and analysing this window cost the training.
        cost_percent: cost of all windows so far as a share of the training time: of the whole training
            where its length is known, else so far.
        source: how it was found, such as ``"cuda-kernels"``, ``"cpu-trace"``.
    """

    kind: ClassVar[str] = "communication"
    epoch: int
    first_step: int
    steps: int
    wall_s: float
    total_s: float
    exposed_s: float
    hidden_s: float
    computation_s: float
    data_wait_s: float
    idle_s: float
    wait_s: float | None
    overhead_percent: float
    collectives: int
    cost_s: float
    cost_percent: float
    source: str


@dataclass(frozen=True, kw_only=True)
class CarbonRecord(Record):
    """Energy and carbon of one node since the run began, cumulative: the last row of a node is its sum.

    Args:
        node: host name.
        epoch: number of the epoch at whose end it was read; None in between and at the end of the run.
        duration_s: time since the training began.
        energy_kwh: CPU, GPU and memory together.
        cpu_energy_kwh, gpu_energy_kwh, ram_energy_kwh: its parts.
        measured_percent: share of the energy that came from a sensor rather than from a model.
        emissions_kg: carbon dioxide equivalent; None where no grid intensity is known.
        intensity_g_per_kwh: carbon intensity of the grid; None where none is known.
        country_iso_code: ISO 3166-1 alpha-3 code of the grid; None where none is known.
        samples: samples that the whole world has trained on until then.
        cpu_source: ``"rapl"``, ``"load"`` or ``"constant"``.
        grid_source: who named the grid: ``"user"``, ``"codecarbon configuration"`` or ``"time zone"``.
        resumed_energy_kwh: energy of the runs that this one resumed, which ``energy_kwh`` leaves out; on
            rank 0 alone, for all nodes; None where this run began anew.
        resumed_emissions_kg: their carbon dioxide equivalent.
    """

    kind: ClassVar[str] = "carbon"
    node: str
    epoch: int | None
    duration_s: float
    energy_kwh: float
    cpu_energy_kwh: float | None
    gpu_energy_kwh: float | None
    ram_energy_kwh: float | None
    measured_percent: float | None
    emissions_kg: float | None
    intensity_g_per_kwh: float | None
    country_iso_code: str | None
    samples: int | None
    cpu_source: str | None
    grid_source: str | None = None
    resumed_energy_kwh: float | None = None
    resumed_emissions_kg: float | None = None


RECORD_TYPES: dict[str, type[Record]] = {
    record.kind: record
    for record in (EpochRecord, WallTimeRecord, GPURecord, CommunicationRecord, CarbonRecord)
}
