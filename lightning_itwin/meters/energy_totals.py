"""Sums of energy over nodes and over the runs of a training that was resumed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


def emissions_kg(energy_kwh: float | None, intensity_g_per_kwh: float | None) -> float | None:
    """Give the carbon dioxide equivalent of an energy; None where one of the two is unknown.

    >>> emissions_kg(2.0, 380.0), emissions_kg(2.0, None)
    (0.76, None)
    """
    if energy_kwh is None or intensity_g_per_kwh is None:
        return None
    return energy_kwh * intensity_g_per_kwh / 1000


@dataclass(frozen=True, kw_only=True)
class EnergyTotals:
    """Energy of all nodes over a stretch of training, and the samples trained on in it.

    Args:
        energy_kwh: energy; None where a node does not know its part.
        measured_kwh: what sensors told of it.
        emissions_kg: carbon dioxide equivalent; None where the grid is unknown.
        samples: samples of all ranks; None where a batch had no size.
    """

    energy_kwh: float | None = 0.0
    measured_kwh: float | None = 0.0
    emissions_kg: float | None = 0.0
    samples: int | None = 0

    def plus(self, later: EnergyTotals) -> EnergyTotals:
        """Give both stretches together; what one of them does not know, the sum does not either.

        >>> first = EnergyTotals(energy_kwh=2.0, measured_kwh=1.0, emissions_kg=None, samples=10)
        >>> first.plus(EnergyTotals(energy_kwh=2.0, measured_kwh=2.0, emissions_kg=0.7, samples=30))
        EnergyTotals(energy_kwh=4.0, measured_kwh=3.0, emissions_kg=None, samples=40)
        """
        return self._with(later, 1)

    def minus(self, earlier: EnergyTotals) -> EnergyTotals:
        """Give this stretch without its beginning.

        >>> EnergyTotals(energy_kwh=5.0).minus(EnergyTotals(energy_kwh=4.0)).energy_kwh
        1.0
        """
        return self._with(earlier, -1)

    def _with(self, other: EnergyTotals, sign: int) -> EnergyTotals:
        values: dict[str, Any] = {}
        for name in (field.name for field in dataclasses.fields(self)):
            mine, theirs = getattr(self, name), getattr(other, name)
            values[name] = None if mine is None or theirs is None else mine + sign * theirs
        return EnergyTotals(**values)

    @property
    def measured_percent(self) -> float | None:
        """Share that sensors told, 0-100; None where there was no energy."""
        if self.measured_kwh is None or not self.energy_kwh:
            return None
        return 100 * self.measured_kwh / self.energy_kwh

    def per_1000_samples(self, quantity: float | None) -> float | None:
        """Give a quantity of this stretch per 1000 samples; None where there are none.

        >>> EnergyTotals(energy_kwh=0.5, samples=2000).per_1000_samples(500.0)
        250.0
        """
        return None if quantity is None or not self.samples else quantity * 1000 / self.samples
