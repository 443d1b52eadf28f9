"""What one run drew, and where: the row that the page is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a run's machines stand.

    Args:
        country_iso_code: ISO 3166-1 alpha-3 code; empty where it is unknown.
        country: its name; empty where nobody told.
        region: part of it.
        cloud: provider and region of a cloud; empty outside clouds.
        grid_source: who named the grid, in words; empty where nobody did.
    """

    country_iso_code: str = ""
    country: str = ""
    region: str = ""
    cloud: str = ""
    grid_source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEnergy:
    """Energy and carbon of one run, all its nodes together. None is what was not told.

    Args:
        name: of the run: its folder below the page's, or codecarbon's identifier.
        project: codecarbon's project, or the workload.
        strategy: strategy string; empty where nobody told.
        workers: number of workers.
        started_unix_s, ended_unix_s: wall clock at its start and at its last reading.
        duration_s: time that was measured; resumed parts added.
        energy_kwh: of processors, memory and GPUs.
        emissions_kg: carbon dioxide equivalent; None where the grid of a node is unknown.
        measured_kwh: thereof from a sensor; None where nobody told.
        samples: samples trained on.
        place: where it ran.
        study: folder of the study of hyperparameters that it is a part of; empty for none.
        trial: number of its trial.
        note: what to know about the numbers; empty for nothing.
    """

    name: str
    project: str
    strategy: str = ""
    workers: int | None = None
    started_unix_s: float
    ended_unix_s: float
    duration_s: float
    energy_kwh: float
    emissions_kg: float | None = None
    measured_kwh: float | None = None
    samples: int | None = None
    place: Place = Place()
    study: str = ""
    trial: int | None = None
    note: str = ""

    @property
    def joule_per_sample(self) -> float | None:
        """Energy of a sample trained on, in joule.

        >>> RunEnergy(
        ...     name="a", project="b", started_unix_s=0.0, ended_unix_s=9.0, duration_s=9.0, energy_kwh=1e-3,
        ...     samples=1000,
        ... ).joule_per_sample
        3.6
        """
        return self.energy_kwh * 3.6e6 / self.samples if self.samples else None
