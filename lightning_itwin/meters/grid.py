"""The electricity grid of a node: chosen by the user, else found without a network call, else unknown."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from lightning_itwin.optional import require

_ZONES = "zoneinfo/"
_NORDIC_ZONES = {"SWE": "SE", "NOR": "NO", "FIN": "FI"}


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Whose electricity a node draws.

    Args:
        country_iso_code: ISO 3166-1 alpha-3 code; None where it is unknown.
        region: part of the country, as codecarbon names it.
        intensity_g_per_kwh: carbon intensity, if one was given; None to take codecarbon's for the country.
        source: who said so: ``"user"``, ``"codecarbon configuration"`` or ``"time zone"``; None for nobody.
        detail: how it was found, for a message.
    """

    country_iso_code: str | None = None
    region: str | None = None
    intensity_g_per_kwh: float | None = None
    source: str | None = None
    detail: str = ""

    @property
    def known(self) -> bool:
        """Whether emissions can be told.

        >>> Grid(country_iso_code="DEU").known, Grid().known
        (True, False)
        """
        return self.country_iso_code is not None or self.intensity_g_per_kwh is not None


def check_grid(
    country_iso_code: str | None, region: str | None, intensity_g_per_kwh: float | None, source: str
) -> Grid | None:
    """Give the grid that somebody named; None where nothing was named.

    Args:
        country_iso_code: ISO 3166-1 alpha-3 code, such as ``"DEU"``.
        region: part of one of the countries for which codecarbon knows regions: states of the USA, provinces
            of Canada and China, bidding zones of Sweden, Norway and Finland.
        intensity_g_per_kwh: carbon intensity in g CO2eq/kWh, not negative.
        source: who named it.

    Raises:
        ValueError: codecarbon knows no such country or region, or the intensity is no such number.
    """
    if intensity_g_per_kwh is not None and not (
        math.isfinite(intensity_g_per_kwh) and intensity_g_per_kwh >= 0
    ):
        raise ValueError(
            f"a carbon intensity is a number of g CO2eq/kWh from 0; given: {intensity_g_per_kwh!r}"
        )
    if country_iso_code is None:
        if region is not None:
            raise ValueError(f"region={region!r} needs its country: give country_iso_code too, such as 'USA'")
        return (
            None
            if intensity_g_per_kwh is None
            else Grid(intensity_g_per_kwh=intensity_g_per_kwh, source=source)
        )
    country = country_iso_code.upper()
    names = _country_names()
    if country not in names:
        raise ValueError(_no_such_country(country_iso_code, names))
    if region is not None:
        region = region.lower()
        _check_region(country, region)
    return Grid(
        country_iso_code=country, region=region, intensity_g_per_kwh=intensity_g_per_kwh, source=source
    )


def find_grid(configuration: Mapping[str, str], zone: str | None = None) -> Grid:
    """Find the grid without a network call: codecarbon's configuration first, then the time zone.

    Args:
        configuration: what codecarbon's files and environment variables say, value by name.
        zone: name of the time zone; by default the system's.

    Returns:
        a grid that is not :attr:`Grid.known` where nothing tells.

    Raises:
        ValueError: the configuration names a grid that codecarbon does not know.
    """
    intensity = configuration.get("force_carbon_intensity_g_co2e_kwh")
    configured = check_grid(
        configuration.get("country_iso_code"),
        configuration.get("region") if configuration.get("country_iso_code") else None,
        None if intensity is None else float(intensity),
        source="codecarbon configuration",
    )
    if configured is not None:
        return dataclasses.replace(configured, detail="codecarbon's configuration")
    zone = zone or system_time_zone()
    country = country_of_zone(zone) if zone else None
    if country in _country_names():
        return Grid(country_iso_code=country, source="time zone", detail=f"the system's time zone, {zone}")
    return Grid()


def system_time_zone(
    localtime: Path = Path("/etc/localtime"), timezone: Path = Path("/etc/timezone")
) -> str | None:
    """Give the name of the system's time zone, such as ``"Europe/Rome"``; None where it is not told.

    The link is followed one step at a time: behind the name that was chosen, the zones of several countries
    may be links to one file.
    """
    link = str(localtime)
    for _ in range(8):
        try:
            link = os.path.join(os.path.dirname(link), os.readlink(link))
        except OSError:
            break
        if _ZONES in link:
            return link.split(_ZONES, 1)[1]
    try:
        return timezone.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def country_of_zone(zone: str) -> str | None:
    """Give the country of a time zone as an ISO 3166-1 alpha-3 code; None where it has none, or several.

    >>> country_of_zone("Europe/Rome"), country_of_zone("Etc/UTC")
    ('ITA', None)
    """
    countries = {code for code, name in _zone_rows() if name == zone}
    if len(countries) != 1:
        return None
    country = require("pycountry", extra="carbon").countries.get(alpha_2=countries.pop())
    return None if country is None else country.alpha_3


def _zone_rows() -> Iterable[tuple[str, str]]:
    """Give the rows of tzdata's ``zone.tab``: the country's alpha-2 code and the zone."""
    system = Path("/usr/share/zoneinfo/zone.tab")
    try:
        table = system.read_text(encoding="utf-8")
    except OSError:
        try:
            table = files("tzdata").joinpath("zoneinfo", "zone.tab").read_text(encoding="utf-8")
        except (ModuleNotFoundError, OSError):
            return []
    rows = (line.split("\t") for line in table.splitlines() if not line.startswith("#"))
    return [(row[0], row[2].strip()) for row in rows if len(row) > 2]


def _country_names() -> dict[str, str]:
    path = require("codecarbon.input", extra="carbon").DataSource().global_energy_mix_data_path
    countries = json.loads(Path(path).read_text(encoding="utf-8"))
    return {code: mix.get("country_name", code) for code, mix in countries.items()}


def _no_such_country(given: str, names: Mapping[str, str]) -> str:
    code = require("pycountry", extra="carbon").countries.get(alpha_2=given.upper())
    near = difflib.get_close_matches(given.title(), names.values(), n=1)
    guess = code.alpha_3 if code else next((key for key, name in names.items() if name in near), None)
    return f"codecarbon knows no country {given!r}: give its three-letter ISO 3166-1 code, such as 'DEU'" + (
        f". Did you mean {guess!r}?" if guess else f"; it knows {', '.join(sorted(names))}"
    )


def _check_region(country: str, region: str) -> None:
    data = require("codecarbon.input", extra="carbon").DataSource()
    if country == "USA":
        regions = {name for name in data.get_country_emissions_data("usa") if not name.startswith("_")}
    elif country == "CAN":
        regions = {name for name in data.get_country_energy_mix_data("can") if not name.startswith("_")}
    elif country == "CHN":
        provinces = data.get_china_provincial_emissions_data()["data"].values()
        regions = {name for province in provinces for name in province["names"]}
    elif country in _NORDIC_ZONES:
        zones = data.get_nordic_country_energy_mix_data()["data"]
        regions = {zone.lower() for zone in zones if zone.startswith(_NORDIC_ZONES[country])}
    else:
        raise ValueError(
            f"codecarbon knows no regions of {country} (only of USA, CAN, CHN, SWE, NOR, FIN): leave "
            f"region={region!r} out, or give carbon_intensity_g_per_kwh"
        )
    if region not in regions:
        raise ValueError(
            f"codecarbon knows no region {region!r} of {country}; it knows {', '.join(sorted(regions))}"
        )
