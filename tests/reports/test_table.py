from __future__ import annotations

import pytest

from lightning_itwin.reports.cells import ResultRow
from lightning_itwin.reports.table import measured, number, table

ROW = ResultRow(
    strategy="ddp",
    workers=2,
    repeats=3,
    epoch_time_s=12.1,
    epoch_time_low_s=11.8,
    epoch_time_high_s=12.5,
    speedup=1.9,
    efficiency=0.95,
    samples_per_s=530.0,
    communication_overhead_percent=0.0,
    energy_kwh=0.0123,
    emissions_kg=0.00369,
    status="ok",
)


def test_a_row_shows_units_and_bounds_and_no_zero_for_a_missing_gpu() -> None:
    head, _, line = table([ROW]).splitlines()
    assert head.split()[:2] == ["strategy", "workers"]
    for told in ("12.1 s (11.8–12.5)", "1.90 x", "95.0 %", "530", "0 %", "12.3 Wh", "3.69 g", "ok"):
        assert told in line
    assert line.count("n/a (no GPU)") == 2


def test_a_gpu_that_others_have_is_not_said_to_be_missing() -> None:
    other = ResultRow(strategy="ddp", workers=1, repeats=1, gpu_energy_wh=3.0, status="ok")
    assert "no GPU" not in table([ROW, other])
    assert "never seen" in table([ROW], missing_gpu="never seen")


def test_columns_line_up() -> None:
    lines = table([ROW, ResultRow(strategy="deepspeed_stage_3", workers=16, repeats=0, status="failed")])
    assert len({line.rfind(" ") for line in lines.splitlines()}) <= 2
    assert len({line.index(text) for line, text in zip(lines.splitlines()[2:], ("ok", "failed"))}) == 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (12345.6, "12346"),
        (999.6, "1000"),
        (99.96, "100"),
        (9.996, "10.0"),
        (0.05, "0.0500"),
        (-3.14159, "-3.14"),
        (2e-9, "2.00e-09"),
    ],
)
def test_a_number_has_three_digits_that_count(value: float, shown: str) -> None:
    assert number(value) == shown
    assert measured(value, " s") == f"{shown} s"
