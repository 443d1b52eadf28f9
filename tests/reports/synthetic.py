"""Runs made up from known truth, written as a sweep leaves them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from lightning_itwin.records import (
    CarbonRecord,
    CommunicationRecord,
    EpochRecord,
    GPURecord,
    Record,
    RecordWriter,
    RunManifest,
    RunOutcome,
    WallTimeRecord,
)
from lightning_itwin.records.run_folder import MANIFEST, rank_file

START_S = 1_700_000_000.0

MANIFEST_OF_DDP = RunManifest(
    run_id="run",
    started_unix_s=START_S,
    workload="virgo",
    strategy="ddp",
    world_size=1,
    nodes=1,
    accelerator="cpu",
    device_name="AMD EPYC 7763",
    cpu_name="AMD EPYC 7763",
    cpu_cores=8,
    memory_gib=32.0,
    threads_per_worker=2,
    precision="32-true",
    batch_size=32,
    accumulate_grad_batches=1,
    dataset_samples=6400,
    parameters=309_057,
    seed=7,
    scaling="strong",
    git_commit="0123456789abcdef",
    versions={"python": "3.11.2", "torch": "2.13.0", "lightning": "2.6.6", "lightning-itwin": "0.1.0"},
    hyperparameters={"lr": "0.001"},
)


def write_records(folder: Path, records: list[Record]) -> None:
    writers: dict[int, RecordWriter] = {}
    for record in records:
        writers.setdefault(record.rank, RecordWriter(rank_file(folder, record.rank))).write(record)
    for writer in writers.values():
        writer.close()


def epoch(number: int, rank: int, time_s: float, **changes: Any) -> EpochRecord:
    fields = {
        "time_unix_s": START_S + 100 * (number + 1),
        "rank": rank,
        "epoch": number,
        "stage": "train",
        "time_s": time_s,
        "steps": 100,
        "samples": 3200,
        "world_samples": 6400,
        "step_time_median_s": time_s / 100,
        "step_time_p95_s": time_s / 90,
        "data_wait_s": 0.1 * time_s,
        "warmup": number == 0,
    }
    return EpochRecord(**{**fields, **changes})


def window(rank: int, **changes: Any) -> CommunicationRecord:
    fields = {
        "time_unix_s": START_S + 150,
        "rank": rank,
        "epoch": 1,
        "first_step": 103,
        "steps": 10,
        "wall_s": 1.0,
        "total_s": 0.2,
        "exposed_s": 0.1,
        "hidden_s": 0.1,
        "computation_s": 0.7,
        "data_wait_s": 0.1,
        "idle_s": 0.1,
        "wait_s": 0.02,
        "overhead_percent": 10.0,
        "collectives": 30,
        "cost_s": 0.01,
        "cost_percent": 0.5,
        "source": "cpu-trace",
    }
    return CommunicationRecord(**{**fields, **changes})


def wall_time(rank: int = 0, second: float = 200.0, **changes: Any) -> WallTimeRecord:
    fields = {
        "time_unix_s": START_S + second,
        "rank": rank,
        "start_up_s": 10.0,
        "training_s": 90.0,
        "epochs_s": 60.0,
        "data_wait_s": 10.0,
        "validation_s": 15.0,
        "checkpoint_s": 5.0,
    }
    return WallTimeRecord(**{**fields, **changes})


def gpu(index: int, second: float, *, rank: int = 0, power_w: float = 300.0, **changes: Any) -> GPURecord:
    fields = {
        "time_unix_s": START_S + second,
        "rank": rank,
        "node": "node0",
        "index": index,
        "uuid": f"GPU-{index}",
        "name": "NVIDIA H200",
        "utilization_percent": 80.0,
        "memory_gib": 40.0,
        "memory_total_gib": 139.0,
        "power_w": power_w,
        "temperature_c": 55.0,
        "energy_wh": power_w * second / 3600,
        "energy_source": "counter",
    }
    return GPURecord(**{**fields, **changes})


def carbon(energy_kwh: float, *, node: str = "node0", second: float = 300.0, **changes: Any) -> CarbonRecord:
    fields = {
        "time_unix_s": START_S + second,
        "rank": 0,
        "node": node,
        "epoch": None,
        "duration_s": second,
        "energy_kwh": energy_kwh,
        "cpu_energy_kwh": 0.7 * energy_kwh,
        "gpu_energy_kwh": None,
        "ram_energy_kwh": 0.3 * energy_kwh,
        "measured_percent": 0.0,
        "emissions_kg": 0.3 * energy_kwh,
        "intensity_g_per_kwh": 300.0,
        "country_iso_code": "ITA",
        "samples": 19_200,
        "cpu_source": "load",
    }
    return CarbonRecord(**{**fields, **changes})


def write_run(
    root: Path,
    strategy: str,
    workers: int,
    repeat: int,
    epoch_time_s: float,
    *,
    records: list[Record] | None = None,
    sweep: bool = True,
    **manifest: Any,
) -> Path:
    """Write a run of three epochs, the first one a slow warm-up, that ended well."""
    folder = root / "records" / f"{strategy}-w{workers}-r{repeat}"
    dataclasses.replace(
        MANIFEST_OF_DDP,
        **{
            "run_id": folder.name,
            "strategy": strategy,
            "world_size": workers,
            "repeat": repeat if sweep else None,
            **({} if sweep else {"scaling": None}),
            **manifest,
        },
    ).write(folder / MANIFEST)
    if sweep:
        RunOutcome(strategy=strategy, workers=workers, repeat=repeat, status="ok", wall_s=60.0).write(folder)
    if records is None:
        records = [
            epoch(
                number, rank, epoch_time_s * (3 if number == 0 else 1 - 0.01 * rank), samples=6400 // workers
            )
            for number in range(3)
            for rank in range(workers)
        ]
        exposed = 0.0 if workers == 1 else 0.1
        records += [
            window(rank, exposed_s=exposed, total_s=2 * exposed, hidden_s=exposed) for rank in range(workers)
        ]
        records.append(carbon(0.001 * epoch_time_s))
    write_records(folder, records)
    return folder


def write_failure(root: Path, strategy: str, workers: int, repeat: int, reason: str = "exit code 1") -> Path:
    folder = root / "records" / f"{strategy}-w{workers}-r{repeat}"
    RunOutcome(
        strategy=strategy,
        workers=workers,
        repeat=repeat,
        status="failed",
        wall_s=3.0,
        reason=reason,
        log=f"logs/{folder.name}.log",
        log_tail="Traceback (most recent call last):\nRuntimeError: <gradient> & fire",
    ).write(folder)
    return folder
