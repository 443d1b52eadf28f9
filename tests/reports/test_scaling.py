from __future__ import annotations

import pytest

from lightning_itwin.reports import scaling


def test_the_speedup_of_fixed_work_is_the_ratio_of_the_times() -> None:
    assert scaling.strong_speedup(12.0, 3.0) == 4.0


def test_a_perfect_weak_scaling_is_fully_efficient() -> None:
    speedup = scaling.throughput_speedup(100.0, 400.0)
    assert scaling.efficiency(speedup, 4) == 1.0


@pytest.mark.parametrize("workers", [2, 4, 8, 64])
@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.3, 1.0])
def test_the_serial_fraction_inverts_amdahl(fraction: float, workers: int) -> None:
    amdahl = 1 / (fraction + (1 - fraction) / workers)
    assert scaling.serial_fraction(amdahl, workers) == pytest.approx(fraction, abs=1e-12)


def test_one_worker_has_no_serial_fraction() -> None:
    assert scaling.serial_fraction(1.0, 1) is None
