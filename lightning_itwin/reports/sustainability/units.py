"""Amounts as a reader wants them: three digits that count, a unit that suits, never 0.0 for a little."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_itwin.reports.table import NOT_MEASURED, number

_ENERGY = ((1e6, "GWh"), (1e3, "MWh"), (1.0, "kWh"), (1e-3, "Wh"), (1e-6, "mWh"), (1e-9, "µWh"))
_MASS = ((1e3, "t"), (1.0, "kg"), (1e-3, "g"), (1e-6, "mg"), (1e-9, "µg"))
_TIME = ((86_400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def energy(kwh: float | None) -> str:
    """Give an energy.

    >>> energy(0.0000412), energy(12.0), energy(0.0), energy(None)
    ('41.2 mWh', '12.0 kWh', '0 kWh', 'n/a')
    """
    return _scaled(kwh, _ENERGY, "kWh")


def mass(kg: float | None) -> str:
    """Give a mass of carbon dioxide equivalent.

    >>> mass(0.00123), mass(4321.0)
    ('1.23 g', '4.32 t')
    """
    return _scaled(kg, _MASS, "kg")


def duration(seconds: float | None) -> str:
    """Give a duration.

    >>> duration(5400.0), duration(2.0), duration(90.0)
    ('1.50 h', '2.00 s', '1.50 min')
    """
    return _scaled(seconds, _TIME, "s")


def _scaled(value: float | None, units: Sequence[tuple[float, str]], base: str) -> str:
    if value is None:
        return NOT_MEASURED
    if value == 0:
        return f"0 {base}"
    size, unit = next(((size, unit) for size, unit in units if abs(value) >= size), units[-1])
    return f"{number(value / size)} {unit}"
