from __future__ import annotations

import random
from pathlib import Path

import pytest

from lightning_itwin.reports.recommendation import Recommendation, recommend
from lightning_itwin.reports.scalability import read_scalability
from tests.reports.synthetic import carbon, epoch, gpu, write_failure, write_run


def recommended(root: Path) -> tuple[Recommendation, Recommendation, Recommendation]:
    time, energy, efficiency = recommend(read_scalability(root))
    return time, energy, efficiency


def sweep(root: Path, times: dict[tuple[str, int], float], repeats: int = 3, noise: float = 0.002) -> None:
    """Write rounds that differ by much more than the strategies do."""
    rng = random.Random(4)
    for repeat in range(repeats):
        slowness = (1.0, 1.3, 0.8, 1.1, 0.9)[repeat % 5]
        for (strategy, workers), time_s in times.items():
            write_run(root, strategy, workers, repeat, time_s * slowness * (1 + rng.gauss(0, noise)))


def test_a_small_difference_is_decided_although_the_rounds_differ_by_half(tmp_path: Path) -> None:
    sweep(tmp_path, {("ddp", 1): 20.0, ("ddp", 2): 10.3, ("horovod", 1): 20.0, ("horovod", 2): 10.0})
    time, _, efficiency = recommended(tmp_path)
    assert (time.strategy, time.workers, time.verdict) == ("horovod", 2, "decided")
    assert time.value is not None
    assert time.value.low is not None
    assert "faster than ddp on 2 workers" in time.why
    assert time.rivals[0].comparison.ratio == pytest.approx(1.03, abs=0.01)
    assert time.line.startswith("Shortest time: horovod on 2 workers, ")
    assert (efficiency.strategy, efficiency.workers, efficiency.verdict) == ("horovod", 2, "decided")


def test_noise_larger_than_the_difference_is_a_tie_that_names_the_cheaper_one(tmp_path: Path) -> None:
    sweep(tmp_path, {("ddp", 1): 10.01, ("ddp", 2): 10.0, ("horovod", 2): 15.0}, noise=0.02)
    time, _, _ = recommended(tmp_path)
    assert time.verdict == "tie"
    assert "within noise of " in time.why
    if time.workers == 2:
        assert "ddp on 1 worker does it with fewer workers" in time.why


def test_single_runs_decide_nothing(tmp_path: Path) -> None:
    sweep(tmp_path, {("ddp", 1): 10.0, ("ddp", 2): 5.0}, repeats=1)
    time, _, _ = recommended(tmp_path)
    assert (time.workers, time.verdict) == (2, "one repeat")
    assert "--repeats 3" in time.why


def test_energy_is_that_of_a_sample_and_may_prefer_fewer_workers(tmp_path: Path) -> None:
    for repeat in range(3):
        for workers, time_s, energy_kwh in ((1, 10.0, 0.010), (2, 6.0, 0.014)):
            records = [
                epoch(number, rank, time_s * (1 + 0.01 * repeat))
                for number in range(3)
                for rank in range(workers)
            ]
            records.append(carbon(energy_kwh * (1 + 0.01 * repeat), measured_percent=40.0))
            write_run(tmp_path, "ddp", workers, repeat, time_s, records=records)
    time, energy, _ = recommended(tmp_path)
    assert (time.workers, energy.workers) == (2, 1)
    assert energy.value is not None
    assert energy.value.value == pytest.approx(1000 * 0.0101 / 19.2)
    assert energy.unit == "Wh per 1000 samples"
    assert "28.6 % less than ddp on 2 workers" in energy.why
    assert "40 % comes from a sensor" in energy.why


def test_gpu_energy_steps_in_where_no_node_was_measured(tmp_path: Path) -> None:
    for strategy, power_w in (("ddp", 300.0), ("horovod", 200.0)):
        records = [epoch(number, 0, 10.0) for number in range(3)]
        records += [gpu(0, second, power_w=power_w) for second in (0.0, 60.0)]
        write_run(tmp_path, strategy, 1, 0, 10.0, records=records, accelerator="cuda")
    _, energy, _ = recommended(tmp_path)
    assert (energy.strategy, energy.unit) == ("horovod", "Wh of the GPUs per 1000 samples")


def test_what_was_not_measured_is_not_recommended(tmp_path: Path) -> None:
    write_run(tmp_path, "ddp", 1, 0, 10.0, records=[epoch(0, 0, 9.0), epoch(1, 0, 9.0)])
    time, energy, efficiency = recommended(tmp_path)
    assert time.verdict == "alone"
    assert (energy.strategy, efficiency.strategy) == (None, None)
    assert "CarbonTracker" in energy.line
    assert "1 worker and on several" in efficiency.line


def test_a_sweep_of_which_all_failed_recommends_nothing(tmp_path: Path) -> None:
    write_failure(tmp_path, "ddp", 1, 0)
    assert {found.strategy for found in recommended(tmp_path)} == {None}


def test_a_weak_scaling_is_recommended_by_time_a_sample(tmp_path: Path) -> None:
    for repeat in range(3):
        for workers, time_s in ((1, 10.0), (4, 12.0)):
            time_s *= 1 + 0.001 * repeat * workers
            records = [
                epoch(number, rank, time_s, world_samples=1000 * workers)
                for number in range(3)
                for rank in range(workers)
            ]
            write_run(tmp_path, "ddp", workers, repeat, time_s, records=records, scaling="weak")
    time, _, efficiency = recommended(tmp_path)
    assert (time.workers, time.unit, time.verdict) == (4, "s per 1000 samples", "decided")
    assert efficiency.value is not None
    assert efficiency.value.value == pytest.approx(100 * 10 / 12, rel=0.01)


def test_the_winner_of_a_scattered_rival_is_not_called_decided(tmp_path: Path) -> None:
    times = {"ddp": (10.0, 10.1, 10.05), "deepspeed": (11.0, 11.1, 11.05), "horovod": (9.0, 30.0, 15.0)}
    for strategy, repeats in times.items():
        for repeat, time_s in enumerate(repeats):
            write_run(tmp_path, strategy, 1, repeat, time_s)
    time, _, _ = recommended(tmp_path)
    assert (time.strategy, time.verdict) == ("ddp", "undecided")
    assert "% faster than deepspeed on 1 worker" in time.why
    assert "too scattered to tell it from horovod on 1 worker" in time.why
