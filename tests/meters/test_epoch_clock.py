from __future__ import annotations

import pytest

from lightning_itwin.meters.epoch_clock import ClockTotals, EpochClock


def run_batches(clock: EpochClock, start_s: float, batches: int, wait_s: float, step_s: float) -> float:
    """Run batches one after the other and give the moment at which the last one ends."""
    now_s = start_s
    for _ in range(batches):
        now_s += wait_s
        clock.batch_start(now_s)
        now_s += step_s
        clock.batch_end(now_s, samples=4)
    return now_s


def test_an_epoch_adds_up() -> None:
    clock = EpochClock()
    clock.epoch_start(100.0)
    end_s = run_batches(clock, 100.0, batches=5, wait_s=0.25, step_s=0.75)
    reading = clock.read()
    assert end_s == 105.0
    assert (reading.time_s, reading.steps, reading.samples) == (5.0, 5, 20)
    assert (reading.data_wait_s, reading.validation_s) == (1.25, 0.0)
    assert (reading.step_time_median_s, reading.step_time_p95_s) == (1.0, 1.0)


def test_validation_after_the_last_batch_is_no_training_time() -> None:
    clock = EpochClock()
    clock.epoch_start(0.0)
    run_batches(clock, 0.0, batches=2, wait_s=0.0, step_s=1.0)
    clock.validation_start(2.0)
    clock.validation_batch()
    clock.validation_end(7.0)
    reading = clock.read()
    assert (reading.time_s, reading.validation_s, reading.validation_steps) == (2.0, 5.0, 1)


def test_validation_between_batches_is_neither_training_time_nor_step_nor_wait() -> None:
    clock = EpochClock()
    clock.epoch_start(0.0)
    now_s = run_batches(clock, 0.0, batches=2, wait_s=0.5, step_s=1.5)
    for _ in range(2):
        clock.validation_start(now_s)
        for _ in range(3):
            clock.validation_batch()
        clock.validation_end(now_s + 10.0)
        now_s = run_batches(clock, now_s + 10.0, batches=2, wait_s=0.5, step_s=1.5)
    reading = clock.read()
    assert (reading.time_s, reading.steps, reading.data_wait_s) == (12.0, 6, 3.0)
    assert (reading.validation_s, reading.validation_steps) == (20.0, 6)
    assert (reading.step_time_median_s, reading.step_time_p95_s) == (2.0, 2.0)


def test_the_spread_of_steps_is_told() -> None:
    clock = EpochClock()
    clock.epoch_start(0.0)
    now_s = run_batches(clock, 0.0, batches=1, wait_s=0.0, step_s=50.0)  # a first step has no interval
    now_s = run_batches(clock, now_s, batches=19, wait_s=0.0, step_s=1.0)
    run_batches(clock, now_s, batches=2, wait_s=0.0, step_s=11.0)
    reading = clock.read()
    assert reading.step_time_median_s == 1.0
    assert reading.step_time_p95_s == 11.0


def test_an_epoch_without_batches() -> None:
    clock = EpochClock()
    clock.epoch_start(5.0)
    reading = clock.read()
    assert (reading.time_s, reading.steps, reading.samples, reading.data_wait_s) == (0.0, 0, 0, 0.0)
    assert reading.step_time_median_s is None
    assert reading.step_time_p95_s is None


def test_one_batch_without_size_makes_the_samples_unknown() -> None:
    clock = EpochClock()
    clock.epoch_start(0.0)
    for samples in (4, None, 4):
        clock.batch_start(0.0)
        clock.batch_end(1.0, samples)
    assert clock.read().samples is None


def test_a_new_epoch_forgets_the_one_before() -> None:
    clock = EpochClock()
    clock.epoch_start(0.0)
    run_batches(clock, 0.0, batches=3, wait_s=1.0, step_s=1.0)
    clock.validation_start(6.0)
    clock.validation_batch()
    clock.validation_end(9.0)
    clock.epoch_start(10.0)
    run_batches(clock, 10.0, batches=2, wait_s=0.0, step_s=2.0)
    reading = clock.read()
    assert (reading.time_s, reading.steps, reading.samples, reading.data_wait_s) == (4.0, 2, 8, 0.0)
    assert (reading.validation_s, reading.validation_steps) == (0.0, 0)


def test_a_validation_that_never_began_ends_without_effect() -> None:
    clock = EpochClock()
    clock.epoch_start(0.0)
    clock.validation_end(5.0)
    assert clock.read().validation_s == 0.0


def test_memory_does_not_grow_with_the_epoch() -> None:
    clock = EpochClock()
    clock.epoch_start(0.0)
    run_batches(clock, 0.0, batches=10_000, wait_s=0.0, step_s=1.0)
    assert len(clock._intervals_s) < 5000
    assert clock.read().steps == 10_000
    assert clock.read().time_s == pytest.approx(10_000.0)


def test_checkpoints_are_neither_training_time_nor_step_nor_wait() -> None:
    clock = EpochClock()
    clock.epoch_start(0.0)
    now_s = run_batches(clock, 0.0, batches=2, wait_s=0.5, step_s=1.5)
    clock.checkpoint_start(now_s + 0.25)  # a quarter of a second of waiting, then the checkpoint
    clock.checkpoint_end(now_s + 7.25)
    now_s = run_batches(clock, now_s + 7.25, batches=2, wait_s=0.25, step_s=1.5)
    clock.checkpoint_start(now_s)
    clock.checkpoint_end(now_s + 3.0)
    reading = clock.read()
    assert (reading.time_s, reading.steps) == (4.0 + 0.25 + 1.75 + 1.75, 4)
    assert reading.data_wait_s == 1.0 + 0.5 + 0.25
    assert (reading.step_time_median_s, reading.step_time_p95_s) == pytest.approx((2.0, 2.0), abs=0.25)
    assert clock.totals().checkpoint_s == 10.0


def test_a_checkpoint_within_a_validation_is_a_part_of_that() -> None:
    clock = EpochClock()
    clock.epoch_start(0.0)
    run_batches(clock, 0.0, batches=1, wait_s=0.0, step_s=1.0)
    clock.validation_start(1.0)
    clock.checkpoint_start(2.0)
    clock.checkpoint_end(4.0)
    clock.validation_end(6.0)
    assert clock.totals() == ClockTotals(epochs_s=1.0, data_wait_s=0.0, validation_s=5.0, checkpoint_s=0.0)


def test_totals_go_on_over_epochs() -> None:
    clock = EpochClock()
    for start_s in (0.0, 100.0):
        clock.epoch_start(start_s)
        now_s = run_batches(clock, start_s, batches=3, wait_s=0.5, step_s=1.5)
        clock.validation_start(now_s)
        clock.validation_end(now_s + 4.0)
        clock.checkpoint_start(now_s + 4.0)
        clock.checkpoint_end(now_s + 6.0)
    clock.epoch_start(200.0)
    run_batches(clock, 200.0, batches=1, wait_s=0.5, step_s=1.5)  # an epoch that does not end
    assert clock.totals() == ClockTotals(epochs_s=14.0, data_wait_s=3.5, validation_s=8.0, checkpoint_s=4.0)


def test_waiting_begins_when_a_batch_is_asked_for_the_first_time() -> None:
    clock = EpochClock()
    clock.epoch_start(0.0)
    for start_s in (0.0, 10.0, 20.0):
        clock.batch_asked(start_s + 3.0)
        clock.batch_asked(start_s + 3.5)  # a prefetch
        clock.batch_start(start_s + 4.0)
        clock.batch_end(start_s + 10.0, samples=2)
    reading = clock.read()
    assert (reading.time_s, reading.data_wait_s, reading.step_time_median_s) == (30.0, 3.0, 10.0)
