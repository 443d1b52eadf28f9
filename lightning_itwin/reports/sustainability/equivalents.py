"""What an amount of carbon is like: everyday things, each with where its number comes from."""

from __future__ import annotations

from dataclasses import dataclass

_EPA = "https://www.epa.gov/energy/greenhouse-gas-equivalencies-calculator-calculations-and-references"


@dataclass(frozen=True, kw_only=True)
class Equivalent:
    """An everyday thing that emits carbon.

    Args:
        name: short, for a program.
        title: what an amount of it is called.
        unit: of the shown amount.
        emissions_kg: carbon dioxide equivalent of one unit.
        source: where the number comes from, and what to think of it.
        url: of the source.
    """

    name: str
    title: str
    unit: str
    emissions_kg: float
    source: str
    url: str

    def amount(self, emissions_kg: float) -> float:
        """Give how much of it emits as much.

        >>> round(EQUIVALENTS[1].amount(0.409), 9)
        1.0
        """
        return emissions_kg / self.emissions_kg


EQUIVALENTS = (
    Equivalent(
        name="household",
        title="of a US household's weekly emissions",
        unit="%",
        emissions_kg=160.58 / 100,  # a percent of 8.35 t a year over 52 weeks
        source="8.35 t CO2 a year for the energy of a home (electricity 5.734, gas 2.06, liquid gas 0.26, "
        "oil 0.30), "
        "160.58 kg a week: US EPA, Greenhouse Gas Equivalencies, as codecarbon's dashboard has it",
        url=_EPA,
    ),
    Equivalent(
        name="car",
        title="driven by an average US car",
        unit="miles",
        emissions_kg=0.409,
        source="8.89 kg CO2 a gallon of petrol at 22.0 miles a gallon, CO2 being 98.8 % of it, 0.409 kg a "
        "mile: US "
        "EPA, Greenhouse Gas Equivalencies, as codecarbon's dashboard has it",
        url=_EPA,
    ),
    Equivalent(
        name="tv",
        title="of a 32-inch LCD television",
        unit="hours",
        emissions_kg=0.097,
        source="0.097 kg CO2 an hour: codecarbon's dashboard, which names no source. At 0.4 kg/kWh that is "
        "a set of "
        "240 W; today's draw far less",
        url="https://github.com/mlco2/codecarbon/blob/master/codecarbon/viz/data.py",
    ),
)
