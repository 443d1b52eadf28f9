from __future__ import annotations

import math

import pytest

from lightning_itwin.meters.energy import EnergyReading
from lightning_itwin.meters.energy_ledger import EnergyLedger
from lightning_itwin.meters.energy_totals import EnergyTotals
from lightning_itwin.meters.grid import Grid

NAN = math.nan


def reading(energy_kwh: float, *, intensity: float | None = 500.0, gpu_only: bool = False) -> EnergyReading:
    return EnergyReading(
        time_unix_s=1e9,
        duration_s=60.0,
        cpu_kwh=None if gpu_only else energy_kwh / 2,
        ram_kwh=None if gpu_only else energy_kwh / 2,
        gpu_kwh=energy_kwh if gpu_only else None,
        measured_kwh=energy_kwh if gpu_only else energy_kwh / 2,
        intensity_g_per_kwh=None if gpu_only else intensity,
        cpu_source=None if gpu_only else "rapl",
    )


def world(machines: list[float]) -> list[EnergyLedger]:
    return [
        EnergyLedger(rank=rank, machines=machines, grid=Grid(country_iso_code="DEU"))
        for rank in range(len(machines))
    ]


def add_up(ledgers: list[EnergyLedger], readings: list[EnergyReading | None]) -> None:
    rows = [ledger.row(each) for ledger, each in zip(ledgers, readings, strict=True)]
    for ledger in ledgers:
        ledger.add_up(rows)


def test_the_lowest_rank_of_each_machine_leads() -> None:
    assert [ledger.leads for ledger in world([7, 7, 9, 9, 7])] == [True, False, True, False, False]


def test_two_nodes_of_two_ranks_add_up_once() -> None:
    ledgers = world([1, 1, 2, 2])
    for ledger in ledgers:
        ledger.count(8)
        ledger.count(8)
    add_up(ledgers, [reading(2.0), None, reading(4.0), None])
    for ledger in ledgers:
        assert ledger.training == EnergyTotals(energy_kwh=6.0, measured_kwh=3.0, emissions_kg=3.0, samples=64)
    for ledger in ledgers:
        ledger.count(8)
    add_up(ledgers, [reading(3.0), None, reading(6.0), None])
    assert ledgers[0].training.energy_kwh == 9.0
    assert ledgers[0].training.samples == 96
    assert ledgers[0].epoch == EnergyTotals(energy_kwh=3.0, measured_kwh=1.5, emissions_kg=1.5, samples=32)


def test_gpus_that_only_their_own_rank_sees_enter_the_row_of_the_machine() -> None:
    ledgers = world([1, 1, 2, 2])
    add_up(ledgers, [reading(2.0), reading(10.0, gpu_only=True), reading(2.0), reading(20.0, gpu_only=True)])
    assert [ledger.neighbours_kwh for ledger in ledgers] == [10.0, 10.0, 20.0, 20.0]
    assert ledgers[0].training.energy_kwh == 34.0
    assert ledgers[0].training.measured_kwh == 32.0
    row = ledgers[2].record(reading(2.0).with_gpus(ledgers[2].neighbours_kwh), node="b", epoch=0)
    assert (row.energy_kwh, row.gpu_energy_kwh, row.emissions_kg) == (22.0, 20.0, 11.0)


def test_a_node_without_reading_leaves_the_sum_unknown_until_it_has_one() -> None:
    ledgers = world([1, 2])
    add_up(ledgers, [reading(2.0), None])
    assert ledgers[0].training.energy_kwh is None
    assert ledgers[0].training.emissions_kg is None
    add_up(ledgers, [reading(3.0), reading(3.0)])
    assert ledgers[0].training.energy_kwh == 6.0
    assert ledgers[0].epoch.energy_kwh is None


def test_one_batch_without_size_on_one_rank_leaves_the_samples_unknown() -> None:
    ledgers = world([1, 1])
    ledgers[0].count(8)
    ledgers[1].count(None)
    add_up(ledgers, [reading(1.0), None])
    assert ledgers[0].training.samples is None
    assert ledgers[0].training.energy_kwh == 1.0


def test_without_a_grid_energy_alone_is_known() -> None:
    [ledger] = world([1])
    add_up([ledger], [reading(2.0, intensity=None)])
    assert ledger.training.energy_kwh == 2.0
    assert ledger.training.emissions_kg is None


def test_resumed_runs_are_in_the_training_and_not_in_the_row() -> None:
    [ledger] = world([1])
    ledger.begin(EnergyTotals(energy_kwh=10.0, measured_kwh=10.0, emissions_kg=5.0, samples=1000))
    ledger.count(8)
    add_up([ledger], [reading(2.0)])
    assert ledger.training == EnergyTotals(energy_kwh=12.0, measured_kwh=11.0, emissions_kg=6.0, samples=1008)
    row = ledger.record(reading(2.0), node="a", epoch=3)
    assert (row.energy_kwh, row.emissions_kg, row.samples) == (2.0, 1.0, 8)
    assert (row.resumed_energy_kwh, row.resumed_emissions_kg) == (10.0, 5.0)


def test_a_run_that_began_anew_bears_no_resumed_energy() -> None:
    [ledger] = world([1])
    assert ledger.record(reading(2.0), node="a", epoch=0).resumed_energy_kwh is None


def test_a_rank_alone_knows_its_samples_at_any_time_and_one_of_many_after_adding_up() -> None:
    [alone] = world([1])
    alone.count(8)
    assert alone.record(reading(1.0), node="a", epoch=None).samples == 8
    assert alone.until(reading(1.0)) == EnergyTotals(
        energy_kwh=1.0, measured_kwh=0.5, emissions_kg=0.5, samples=8
    )
    first, second = world([1, 1])
    first.count(8)
    second.count(8)
    assert first.record(reading(1.0), node="a", epoch=None).samples is None
    add_up([first, second], [reading(1.0), None])
    assert first.record(reading(1.0), node="a", epoch=0).samples == 16
    first.count(8)
    assert first.until(reading(2.0)).samples == 16
    assert first.until(reading(2.0)).energy_kwh == 1.0


def test_a_row_tells_where_its_figures_come_from() -> None:
    [ledger] = world([1])
    ledger.grid = Grid(country_iso_code="ITA", source="time zone")
    row = ledger.record(reading(2.0), node="node7", epoch=None)
    assert (row.node, row.epoch, row.country_iso_code, row.grid_source) == ("node7", None, "ITA", "time zone")
    assert (row.intensity_g_per_kwh, row.cpu_source, row.measured_percent) == (500.0, "rapl", 50.0)
    assert row.duration_s == pytest.approx(60.0)
