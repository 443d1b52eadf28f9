"""Sums over runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lightning_itwin.reports.sustainability.run_energy import RunEnergy


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What runs came to together.

    Args:
        runs: how many.
        duration_s: their times together.
        energy_kwh: net energy.
        emissions_kg: net carbon of those whose grid is known; None where it is for none.
        without_grid_kwh: energy of the others.
        measured_kwh: energy that a sensor told.
        untold_kwh: energy of which nobody told whether a sensor or a model gave it.
        sampled_kwh: energy of the runs whose samples were counted.
        samples: samples of those.
    """

    runs: int
    duration_s: float
    energy_kwh: float
    emissions_kg: float | None
    without_grid_kwh: float
    measured_kwh: float
    untold_kwh: float
    sampled_kwh: float
    samples: int

    @property
    def measured_percent(self) -> float | None:
        """Share of the energy of which it was told that came from a sensor, 0-100."""
        told = self.energy_kwh - self.untold_kwh
        return 100 * self.measured_kwh / told if told > 1e-9 * self.energy_kwh and told > 0 else None

    @property
    def joule_per_sample(self) -> float | None:
        """Energy of a sample trained on, in joule."""
        return self.sampled_kwh * 3.6e6 / self.samples if self.samples else None


def add_up(runs: Iterable[RunEnergy]) -> Totals:
    """Add up runs.

    >>> row = dict(project="b", started_unix_s=0.0, ended_unix_s=9.0, duration_s=9.0)
    >>> total = add_up([RunEnergy(name="a", energy_kwh=1.0, emissions_kg=0.4, measured_kwh=0.5, **row),
    ...                 RunEnergy(name="b", energy_kwh=2.0, **row)])
    >>> total.energy_kwh, total.emissions_kg, total.without_grid_kwh, total.measured_percent
    (3.0, 0.4, 2.0, 50.0)
    """
    runs = tuple(runs)
    known = [run for run in runs if run.emissions_kg is not None]
    sampled = [run for run in runs if run.samples]
    energy = sum(run.energy_kwh for run in runs)
    return Totals(
        runs=len(runs),
        duration_s=sum(run.duration_s for run in runs),
        energy_kwh=energy,
        emissions_kg=sum(run.emissions_kg or 0.0 for run in known) if known else None,
        without_grid_kwh=sum(run.energy_kwh for run in runs if run.emissions_kg is None),
        measured_kwh=sum(run.measured_kwh or 0.0 for run in runs),
        untold_kwh=sum(run.energy_kwh for run in runs if run.measured_kwh is None),
        sampled_kwh=sum(run.energy_kwh for run in sampled),
        samples=sum(run.samples or 0 for run in sampled),
    )
