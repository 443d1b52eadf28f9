"""Verifying files: a forecast whose skill is known, files of others, and files that do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

pytest.importorskip("xarray")
pytest.importorskip("netCDF4")
pytest.importorskip("matplotlib")

import xarray as xr

from lightning_itwin.forecasts.__main__ import main

LEADS, LEVELS = np.array([1, 5, 20]), np.array([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95])
MEMORY, DAYS = 0.95, 365 * 6 + 30


def mean(day: np.ndarray) -> np.ndarray:
    return 0.3 + 0.05 * np.cos(2 * np.pi * day / 365)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Give a truth that fades as an AR(1), and its ideal forecasts in the last year."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    state = np.zeros((DAYS, 3, 4))
    for day in range(1, DAYS):
        state[day] = MEMORY * state[day - 1] + np.sqrt(1 - MEMORY**2) * rng.normal(size=(3, 4))
    usual = mean(np.arange(DAYS))[:, None, None]
    axes = {"lat": np.array([47.0, 46.5, 46.0]), "lon": np.arange(10.0, 12.0, 0.5)}
    time = np.datetime64("2001-01-01", "ns") + np.arange(DAYS) * np.timedelta64(1, "D")
    moisture = (usual + 0.02 * state).astype("f4")
    moisture[:, 1, 1] = np.nan
    truth = xr.Dataset({"vwc": (("time", "lat", "lon"), moisture)}, {"time": time, **axes})
    truth["vwc"].attrs = {"units": "m3 m-3", "long_name": "soil moisture of the root zone"}
    truth.to_netcdf(folder / "truth.nc")
    origins = np.arange(365 * 5 + 10, DAYS - 10, 12)
    fade = MEMORY ** LEADS[:, None, None]
    normal = np.array([NormalDist().inv_cdf(level) for level in LEVELS])
    middle = fade * state[origins][:, None]
    spread = np.sqrt(1 - fade**2)
    quantiles = middle[:, :, None] + spread[:, None] * normal[:, None, None]
    valid = mean(origins[:, None] + LEADS)[:, :, None, None, None]
    values = (valid + 0.02 * quantiles).astype("f4")
    values[..., 1, 1] = np.nan
    coordinates = {"time": time[origins], "lead": LEADS, "quantile": LEVELS, **axes}
    dims = ("time", "lead", "quantile", "lat", "lon")
    forecast = xr.Dataset({"soil_moisture": (dims, values)}, coordinates, {"model": "an ideal one"})
    forecast.to_netcdf(folder / "forecast.nc")
    return folder / "forecast.nc", folder / "truth.nc"


@pytest.fixture(scope="module")
def folder(files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("verified")
    assert main([str(files[0]), "--truth", str(files[1]), "--output", str(found)]) == 0
    return found


def by_lead(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "scores.json").read_text())["by_lead"]
    return found


def test_the_skill_is_that_of_the_process(folder: Path) -> None:
    # the CRPS of a normal forecast is proportional to its spread, that of climatology to 1
    wanted = 1 - np.sqrt(1 - MEMORY ** (2 * LEADS))
    np.testing.assert_allclose(by_lead(folder)["crps_skill_climatology"], wanted, atol=0.06)


def test_the_ideal_forecast_is_calibrated_and_persistence_no_worse_than_it_is(folder: Path) -> None:
    found = by_lead(folder)
    np.testing.assert_allclose(found["coverage_80"], 0.8, atol=0.07)
    np.testing.assert_allclose(found["crps_skill_damped_persistence"], 0.0, atol=0.12)
    assert found["samples"] == [32 * 11, 32 * 11, 31 * 11], "a day beyond the truth does not count"


def test_values_have_the_unit_of_the_truth(folder: Path) -> None:
    rmse = 0.02 * np.sqrt(1 - MEMORY ** (2 * LEADS))
    np.testing.assert_allclose(by_lead(folder)["value_rmse"], rmse, rtol=0.15)
    text = (folder / "verification.html").read_text(encoding="utf-8")
    assert "soil moisture of the root zone" in text
    assert "an ideal one" in text
    assert "2001 to the first day of issue" in text


def test_todays_map_and_fan_charts_are_there(folder: Path) -> None:
    names = {path.stem for path in (folder / "figures").glob("*.png")}
    assert {"fan_1", "fan_2", "warnings_today", "probability_below_p20_today"} <= names


def test_days_as_durations_and_probabilities_of_the_file_are_read(
    files: tuple[Path, Path], tmp_path: Path, folder: Path
) -> None:
    with xr.open_dataset(files[0]) as data:
        shape = data.soil_moisture.isel(quantile=0).shape
        for percentile in (20, 10, 5):
            name = f"probability_below_p{percentile}"
            data[name] = (("time", "lead", "lat", "lon"), np.full(shape, percentile / 100, "f4"))
        data = data.isel(quantile=slice(None, None, -1)).assign_coords(lead=LEADS * np.timedelta64(1, "D"))
        data.to_netcdf(tmp_path / "other.nc")
    assert (
        main([str(tmp_path / "other.nc"), "--truth", str(files[1]), "--output", str(tmp_path / "out")]) == 0
    )
    found = by_lead(tmp_path / "out")
    np.testing.assert_allclose(found["crps"], by_lead(folder)["crps"])
    np.testing.assert_allclose(found["brier_skill_p20_climatology"], 0, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"rename": {"soil_moisture": "sm"}}, [], "has no soil_moisture"),
        ({"shift": 20}, [], "is not that of the forecast"),
        ({"later": 4000}, [], "nothing can be verified"),
        ({}, ["--variable", "swvl1"], "it has ['vwc']"),
        ({}, ["--watch", "2"], "'watch' is above 0"),
        ({}, ["--climatology", "2001", "2002"], "years"),
    ],
)
def test_what_does_not_fit_is_said(
    files: tuple[Path, Path],
    tmp_path: Path,
    change: dict[str, Any],
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with xr.open_dataset(files[0]) as data:
        data = data.rename(change.get("rename", {})).assign_coords(lon=data.lon + change.get("shift", 0))
        data = data.assign_coords(time=data.time + np.timedelta64(change.get("later", 0), "D"))
        data.to_netcdf(tmp_path / "forecast.nc")
    command = [
        str(tmp_path / "forecast.nc"),
        "--truth",
        str(files[1]),
        "--output",
        str(tmp_path / "out"),
        *options,
    ]
    assert main(command) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "no.nc"), "--truth", str(tmp_path / "nor.nc")]) == 1
    assert "There is no" in capsys.readouterr().err
