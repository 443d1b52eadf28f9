"""EnergyLedger: what the nodes of a training have drawn, as its ranks tell each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lightning_itwin.meters.energy import EnergyReading
from lightning_itwin.meters.energy_totals import EnergyTotals, emissions_kg
from lightning_itwin.meters.grid import Grid
from lightning_itwin.records import CarbonRecord


class EnergyLedger:
    """One rank's account.

    One rank leads each machine: it reads processors, memory and every GPU that it sees, and writes the rows
    of the machine. A GPU that only another rank of the machine sees, as where a scheduler shows each task
    its own, is read by that rank and enters the rows with the next :meth:`add_up`.

    Args:
        rank: global rank.
        machines: a number of the machine of every rank, by rank.
        grid: whose electricity the machines draw.
    """

    def __init__(self, *, rank: int, machines: Sequence[float], grid: Grid | None = None) -> None:
        self.grid = grid or Grid()
        self._rank = rank
        self._machines = tuple(machines)
        self._earlier = EnergyTotals()
        self._totals = EnergyTotals()
        self._epoch = EnergyTotals()
        self._samples: int | None = 0  # of this rank since the last add_up
        self._neighbours_kwh = 0.0

    def begin(self, earlier: EnergyTotals) -> None:
        """Begin, after runs that this one resumes and that drew ``earlier``."""
        self._earlier = earlier

    @property
    def neighbours_kwh(self) -> float:
        """Energy of the GPUs of this machine that other ranks read, at the last :meth:`add_up`."""
        return self._neighbours_kwh

    @property
    def leads(self) -> bool:
        """Whether this rank leads its machine."""
        return self._machines.index(self._machines[self._rank]) == self._rank

    @property
    def epoch(self) -> EnergyTotals:
        """What all nodes drew between the last two calls of :meth:`add_up`."""
        return self._epoch

    @property
    def training(self) -> EnergyTotals:
        """What all nodes drew until the last :meth:`add_up`, resumed runs included."""
        return self._earlier.plus(self._totals)

    def count(self, samples: int | None) -> None:
        """Add the samples of a batch; None for a batch without size."""
        self._samples = None if samples is None or self._samples is None else self._samples + samples

    def row(self, reading: EnergyReading | None) -> list[float]:
        """Give this rank's numbers for :meth:`add_up` of all ranks.

        Args:
            reading: what this rank reads; None where it has nothing to read, or could not.
        """
        unknown = math.nan if self.leads else 0.0
        intensity = None if reading is None else reading.intensity_g_per_kwh
        return [
            math.nan if self._samples is None else self._samples,
            unknown if reading is None else reading.energy_kwh,
            unknown if reading is None else reading.measured_kwh,
            math.nan if intensity is None else intensity,
        ]

    def add_up(self, rows: Sequence[Sequence[float]]) -> None:
        """Add up the rows of all ranks, by rank."""
        samples, energy, measured, intensity = (list(column) for column in zip(*rows, strict=True))
        before = self._totals
        energy_kwh = _known(sum(energy))
        self._totals = EnergyTotals(
            energy_kwh=energy_kwh,
            measured_kwh=_known(sum(measured)),
            emissions_kg=emissions_kg(energy_kwh, _known(intensity[0])),
            samples=_plus(before.samples, _known(sum(samples))),
        )
        self._epoch = self._totals.minus(before)
        self._samples = None if self._samples is None else 0
        here = self._machines[self._rank]
        self._neighbours_kwh = sum(
            energy[rank]
            for rank, machine in enumerate(self._machines)
            if machine == here and rank != self._machines.index(here)
        )

    def until(self, reading: EnergyReading | None) -> EnergyTotals:
        """Give what the training has drawn, as far as this rank can tell without asking the others.

        Args:
            reading: a fresh one, which tells all where this rank is alone.
        """
        if len(self._machines) > 1 or reading is None:
            return self.training
        now = EnergyTotals(
            energy_kwh=reading.energy_kwh,
            measured_kwh=reading.measured_kwh,
            emissions_kg=reading.emissions_kg,
            samples=_plus(self._totals.samples, self._samples),
        )
        return self._earlier.plus(now)

    def record(self, reading: EnergyReading, *, node: str, epoch: int | None) -> CarbonRecord:
        """Give the row of a reading of the machine.

        Args:
            reading: of the whole machine.
            node: host name.
            epoch: number of the epoch that has ended with it; None in between.
        """
        alone = len(self._machines) == 1
        resumed = self._rank == 0 and self._earlier != EnergyTotals()
        return CarbonRecord(
            time_unix_s=reading.time_unix_s,
            rank=self._rank,
            node=node,
            epoch=epoch,
            duration_s=reading.duration_s,
            energy_kwh=reading.energy_kwh,
            cpu_energy_kwh=reading.cpu_kwh,
            gpu_energy_kwh=reading.gpu_kwh,
            ram_energy_kwh=reading.ram_kwh,
            measured_percent=reading.measured_percent,
            emissions_kg=reading.emissions_kg,
            intensity_g_per_kwh=reading.intensity_g_per_kwh,
            country_iso_code=self.grid.country_iso_code,
            samples=_plus(self._totals.samples, self._samples) if alone or not self._samples else None,
            cpu_source=reading.cpu_source,
            grid_source=self.grid.source,
            resumed_energy_kwh=self._earlier.energy_kwh if resumed else None,
            resumed_emissions_kg=self._earlier.emissions_kg if resumed else None,
        )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _plus(before: int | None, more: float | None) -> int | None:
    return None if before is None or more is None else before + int(more)
