from __future__ import annotations

import os
from pathlib import Path

import pytest

from lightning_itwin.meters import grid as grid_module
from lightning_itwin.meters.grid import (
    Grid,
    check_grid,
    country_of_zone,
    find_grid,
    system_time_zone,
)

pytest.importorskip("codecarbon")


def test_nothing_named_is_nothing() -> None:
    assert check_grid(None, None, None, source="user") is None


def test_a_country_is_taken_in_either_case() -> None:
    assert check_grid("deu", None, None, source="user") == Grid(country_iso_code="DEU", source="user")


def test_an_intensity_needs_no_country() -> None:
    named = check_grid(None, None, 0.0, source="user")
    assert named == Grid(intensity_g_per_kwh=0.0, source="user")
    assert named.known


@pytest.mark.parametrize(
    ("country", "region"),
    [
        ("USA", "California"),
        ("CAN", "quebec"),
        ("CHN", "Beijing"),
        ("SWE", "SE3"),
        ("NOR", "no1"),
        ("FIN", "FI"),
    ],
)
def test_regions_that_codecarbon_knows(country: str, region: str) -> None:
    named = check_grid(country, region, None, source="user")
    assert named == Grid(country_iso_code=country, region=region.lower(), source="user")


@pytest.mark.parametrize(
    ("country", "region", "intensity", "said"),
    [
        ("DE", None, None, "Did you mean 'DEU'"),
        ("Germany", None, None, "Did you mean 'DEU'"),
        ("ZZZ", None, None, "it knows ABW, AFG"),
        ("", None, None, "codecarbon knows no country"),
        (None, "bavaria", None, "needs its country"),
        ("DEU", "bavaria", None, "codecarbon knows no regions of DEU"),
        ("USA", "bavaria", None, "it knows alabama, "),
        ("SWE", "NO1", None, "it knows se1, se2, se3, se4"),
        (None, None, -1.0, "from 0; given: -1.0"),
        (None, None, float("nan"), "given: nan"),
    ],
)
def test_errors_say_what_is_allowed(
    country: str | None, region: str | None, intensity: float | None, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        check_grid(country, region, intensity, source="user")


def test_codecarbons_configuration_comes_before_the_time_zone() -> None:
    found = find_grid({"country_iso_code": "FRA"}, zone="Europe/Rome")
    assert (found.country_iso_code, found.source) == ("FRA", "codecarbon configuration")
    found = find_grid({"force_carbon_intensity_g_co2e_kwh": "120"}, zone="Europe/Rome")
    assert (found.country_iso_code, found.intensity_g_per_kwh) == (None, 120.0)


def test_a_region_without_country_in_the_configuration_is_not_used() -> None:
    assert find_grid({"region": "quebec"}, zone="Etc/UTC") == Grid()


@pytest.mark.parametrize(
    "settings", [{"country_iso_code": "XX"}, {"force_carbon_intensity_g_co2e_kwh": "low"}]
)
def test_a_wrong_configuration_is_an_error(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"XX|low"):
        find_grid(settings, zone="Etc/UTC")


@pytest.mark.parametrize(
    ("zone", "country"),
    [
        ("Europe/Rome", "ITA"),
        ("Europe/Stockholm", "SWE"),  # in the file a link to Berlin, or the other way round
        ("America/New_York", "USA"),
        ("Etc/UTC", None),
        ("CET", None),
        ("Nowhere/Land", None),
    ],
)
def test_the_country_of_a_time_zone(zone: str, country: str | None) -> None:
    assert country_of_zone(zone) == country
    assert find_grid({}, zone=zone).country_iso_code == country


def test_a_zone_of_two_countries_tells_none(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("DE", "Europe/Berlin"), ("DK", "Europe/Berlin"), ("IT", "Europe/Rome")]
    monkeypatch.setattr(grid_module, "_zone_rows", lambda: rows)
    assert country_of_zone("Europe/Berlin") is None
    assert country_of_zone("Europe/Rome") == "ITA"


def test_the_first_name_behind_the_link_counts(tmp_path: Path) -> None:
    zones = tmp_path / "zoneinfo" / "Europe"
    zones.mkdir(parents=True)
    (zones / "Berlin").write_bytes(b"TZif")
    (zones / "Stockholm").symlink_to("Berlin")
    (tmp_path / "alternative").symlink_to(zones / "Stockholm")
    localtime = tmp_path / "localtime"
    localtime.symlink_to("alternative")
    assert system_time_zone(localtime, tmp_path / "none") == "Europe/Stockholm"


def test_a_copied_time_zone_file_is_named_elsewhere(tmp_path: Path) -> None:
    localtime, timezone = tmp_path / "localtime", tmp_path / "timezone"
    localtime.write_bytes(b"TZif")
    assert system_time_zone(localtime, timezone) is None
    timezone.write_text("Europe/Vienna\n", encoding="utf-8")
    assert system_time_zone(localtime, timezone) == "Europe/Vienna"


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert system_time_zone(tmp_path / "a", tmp_path / "none") is None


def test_every_country_of_the_tables_has_a_code_or_none() -> None:
    zones = {zone for _, zone in grid_module._zone_rows()}
    if os.path.exists("/usr/share/zoneinfo/zone.tab"):
        assert len(zones) > 300
    told = {zone: country_of_zone(zone) for zone in sorted(zones)[::25]}
    assert all(code is None or (len(code) == 3 and code.isupper()) for code in told.values())
