"""Which variables play which part, and what their names and units mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

INPUTS = ("precipitation", "temperature", "potential_evapotranspiration")
TARGET = "soil_moisture"

# Other names of the variables, from CF's standard names, ERA5, CERRA, E-OBS, CMIP and wflow; lower case.
_OTHER_NAMES = {
    "precipitation": (
        "precip",
        "pr",
        "tp",
        "rr",
        "prec",
        "rainfall",
        "precipitation_flux",
        "precipitation_amount",
        "total_precipitation",
        "lwe_precipitation_rate",
    ),
    "temperature": ("temp", "tas", "t2m", "tg", "tair", "air_temperature", "2m_temperature"),
    "potential_evapotranspiration": (
        "pet",
        "evspsblpot",
        "et0",
        "pev",
        "potential_evaporation",
        "reference_evapotranspiration",
        "water_potential_evaporation_flux",
        "water_potential_evapotranspiration_flux",
    ),
    "soil_moisture": (
        "vwc",
        "sm",
        "swvl1",
        "mrsos",
        "volumetric_water_content",
        "soil_water",
        "volume_fraction_of_water_in_soil",
        "volume_fraction_of_condensed_water_in_soil",
        "root_zone_soil_moisture",
    ),
}
# Factor and offset to millimetres a day, and to degrees Celsius.
_WATER = {
    "mm": (1.0, 0.0),
    "mmd-1": (1.0, 0.0),
    "mmday-1": (1.0, 0.0),
    "kgm-2": (1.0, 0.0),
    "kgm-2d-1": (1.0, 0.0),
    "kgm-2day-1": (1.0, 0.0),
    "kgm-2s-1": (86400.0, 0.0),
    "mms-1": (86400.0, 0.0),
    "m": (1000.0, 0.0),
    "md-1": (1000.0, 0.0),
    "mday-1": (1000.0, 0.0),
    "ms-1": (86_400_000.0, 0.0),
    "cm": (10.0, 0.0),
}
_TEMPERATURE = {
    "degc": (1.0, 0.0),
    "celsius": (1.0, 0.0),
    "degreescelsius": (1.0, 0.0),
    "degreecelsius": (1.0, 0.0),
    "degree_celsius": (1.0, 0.0),
    "degrees_celsius": (1.0, 0.0),
    "°c": (1.0, 0.0),
    "c": (1.0, 0.0),
    "k": (1.0, -273.15),
    "kelvin": (1.0, -273.15),
    "degf": (5 / 9, -160 / 9),
}
_UNITS = {
    "precipitation": _WATER,
    "potential_evapotranspiration": _WATER,
    "temperature": _TEMPERATURE,
}


_BEYOND = 1e15


class VariableError(ValueError):
    """A variable is not there, or does not mean what its name says; the message lists what the file has."""


@dataclass(frozen=True, kw_only=True)
class HydroVariables:
    """Names of the variables in the user's files.

    Args:
        inputs: dynamic inputs. The three names that are the default also find the names that CF, ERA5,
            E-OBS, CMIP and wflow give them.
        target: what is forecast.
        statics: maps without time; None takes every map that varies, by their names' order.
        weather: statistics of a weather forecast with a dimension of leads, such as ``"precipitation_mean"``.
        mask: a map; cells where it is 0, false or missing are left out. ``"not NAME"`` turns it round.
            Cells without any value of the target are left out in any case.
        times: ``"refuse"`` days out of order, double or missing, or ``"repair"`` them: sort, keep the first
            of two, take missing days as gaps.
        logarithms: inputs that are taken as log(1 + x) before they are standardised; None takes those that
            are precipitation.

    Raises:
        VariableError: no input, one named twice, or a word that ``times`` does not know.
    """

    inputs: tuple[str, ...] | list[str] = INPUTS
    target: str = TARGET
    statics: list[str] | None = None
    weather: list[str] | None = None
    mask: str | None = None
    times: Literal["refuse", "repair"] = "refuse"
    logarithms: list[str] | None = None

    def __post_init__(self) -> None:
        named = [*self.inputs, self.target, *(self.weather or [])]
        if not self.inputs or len(set(named)) < len(named):
            raise VariableError(
                f"inputs must name at least one variable, and inputs, target and weather each another, not "
                f"{list(self.inputs)}, {self.target!r} and {self.weather}."
            )
        if self.times not in ("refuse", "repair"):
            raise VariableError(f"times must be 'refuse' or 'repair', not {self.times!r}.")
        unknown = sorted(set(self.logarithms or []) - set(self.inputs))
        if unknown:
            raise VariableError(
                f"logarithms names {unknown}, which are none of the inputs {list(self.inputs)}."
            )


def sense(*names: str | None) -> str | None:
    """Say what a variable is by its name or standard name, or None.

    >>> sense("tp"), sense("x", "air_temperature"), sense("elevation")
    ('precipitation', 'temperature', None)
    """
    for name in names:
        word = (name or "").lower().rsplit("/", 1)[-1]
        for meaning, others in _OTHER_NAMES.items():
            if word == meaning or word in others:
                return meaning
    return None


def same_sense(name: str) -> tuple[str, ...]:
    """Give the other names of one of the four variables of the default, or nothing."""
    return _OTHER_NAMES.get(name, ())


def to_our_units(meaning: str | None, units: str | None) -> tuple[float, float] | None:
    """Give factor and offset to millimetres a day or degrees Celsius, or None where units are not known.

    >>> to_our_units("precipitation", "kg m-2 s-1"), to_our_units("temperature", "K")
    ((86400.0, 0.0), (1.0, -273.15))
    >>> to_our_units("temperature", "furlong") is None
    True
    """
    table = _UNITS.get(meaning or "")
    if table is None or not units:
        return None
    word = units.strip().lower().replace("**", "").replace("^", "")
    word = re.sub(r"\s*/\s*(\w+)", r" \1-1", word)
    word = re.sub(r"[\s.·]", "", word).replace("days-1", "day-1")
    return table.get(word)


def check_plausible(name: str, meaning: str | None, lowest: float, highest: float, mean: float) -> None:
    """Refuse values that cannot be what the variable is.

    Args:
        name: of the variable.
        meaning: from :func:`sense`.
        lowest, highest, mean: of its values in millimetres a day or degrees Celsius.

    Raises:
        VariableError: they cannot.
    """
    if not (abs(lowest) < _BEYOND and abs(highest) < _BEYOND):
        raise VariableError(
            f"{name} goes from {lowest:g} to {highest:g}: that looks like a fill value. Give it the "
            f"attribute _FillValue, or mask it."
        )
    if meaning == "temperature" and not (lowest > -100 and highest < 80):
        raise VariableError(
            f"{name} is a temperature, but its values go from {lowest:g} to {highest:g} (mean {mean:g}). "
            f"Kelvin need units 'K' in the file; a fill value needs the attribute _FillValue."
        )
    if meaning == "precipitation" and not (lowest > -1.0 and highest < 3000):
        raise VariableError(
            f"{name} is precipitation in millimetres a day, but its values go from {lowest:g} to {highest:g} "
            f"(mean {mean:g}). Check its units; a fill value needs the attribute _FillValue."
        )
