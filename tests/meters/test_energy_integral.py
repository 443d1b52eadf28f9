from __future__ import annotations

import math
import random

import pytest

from lightning_itwin.meters.energy_integral import EnergyIntegral


def energy_j(readings: list[tuple[float, float | None, float | None]]) -> float | None:
    integral = EnergyIntegral()
    for time_s, counter_j, power_w in readings:
        integral.add(time_s, energy_j=counter_j, power_w=power_w)
    return None if integral.energy_wh is None else integral.energy_wh * 3600


def test_the_counter_beats_the_power() -> None:
    assert energy_j([(0, 7e9, 100.0), (10, 7e9 + 3000, 100.0)]) == pytest.approx(3000)


def test_without_counter_a_trapezoid_over_true_times() -> None:
    uneven = [(0, None, 100.0), (1, None, 300.0), (5, None, 300.0), (5.5, None, 100.0)]
    assert energy_j(uneven) == pytest.approx(200 + 1200 + 100)


def test_the_trapezoid_of_a_sine_converges_to_its_integral() -> None:
    generator = random.Random(0)
    times = sorted([0.0, 60.0, *(generator.uniform(0, 60) for _ in range(2000))])
    readings = [(t, None, 300 + 100 * math.sin(2 * math.pi * t / 20)) for t in times]
    assert energy_j(readings) == pytest.approx(300 * 60, rel=1e-4)


def test_nothing_read_is_unknown_and_not_zero() -> None:
    integral = EnergyIntegral()
    integral.add(0.0, energy_j=None, power_w=None)
    assert integral.energy_wh is None
    assert integral.source is None


def test_the_first_reading_is_a_measured_zero() -> None:
    assert energy_j([(0, 5.0, None)]) == 0.0
    assert energy_j([(0, None, 5.0)]) == 0.0


def test_a_counter_that_starts_over_is_bridged_by_the_power() -> None:
    readings = [(0, 9000.0, 100.0), (10, 10000.0, 100.0), (20, 400.0, 100.0), (30, 1400.0, 100.0)]
    assert energy_j(readings) == pytest.approx(3000)


def test_a_counter_that_starts_over_without_power_is_passed_over() -> None:
    assert energy_j([(0, 9000.0, None), (10, 10000.0, None), (20, 5.0, None), (30, 1005.0, None)]) == 2000


def test_a_gap_of_the_counter_is_not_counted_twice() -> None:
    readings = [(0, 0.0, 90.0), (10, 1000.0, 90.0), (20, None, 90.0), (30, 3000.0, 90.0)]
    assert energy_j(readings[:3]) == pytest.approx(1900)
    assert energy_j(readings) == pytest.approx(3000)


def test_a_counter_that_ends_is_carried_on_by_the_power() -> None:
    readings = [(0, 0.0, 100.0), (10, 1000.0, 100.0), (20, None, 100.0), (30, None, 100.0)]
    assert energy_j(readings) == pytest.approx(3000)


def test_a_counter_that_appears_late_goes_on_from_the_power() -> None:
    readings = [(0, None, 100.0), (10, None, 100.0), (20, 50.0, 100.0), (30, 1050.0, 100.0)]
    assert energy_j(readings) == pytest.approx(3000)


def test_a_counter_between_two_refreshes_is_no_dead_counter() -> None:
    readings = [(t / 10, 300.0 * (t // 10), 300.0) for t in range(101)]
    assert energy_j(readings) == pytest.approx(3000)


def test_a_counter_that_stands_still_while_power_flows_gives_way() -> None:
    integral = EnergyIntegral()
    for time_s in range(11):
        integral.add(float(time_s), energy_j=77.0, power_w=300.0)
    assert integral.energy_wh == pytest.approx(3000 / 3600)
    assert integral.source == "trapezoid"


def test_the_sum_never_falls() -> None:
    integral = EnergyIntegral()
    sums = []
    for time_s, counter_j, power_w in [
        (0, 0.0, 500.0),
        (10, None, 500.0),
        (20, 100.0, 500.0),
        (30, 1e4, 500.0),
    ]:
        integral.add(time_s, energy_j=counter_j, power_w=power_w)
        sums.append(integral.energy_wh)
    assert sums == sorted(sums)
    assert sums[-1] == pytest.approx(1e4 / 3600)
