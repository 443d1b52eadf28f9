"""Tests of the files of a simulated region."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_itwin.hydrology import AlpsSimulator, alps_file
from lightning_itwin.hydrology.alps_file import open_writer

xarray = pytest.importorskip("xarray")
pytest.importorskip("zarr")
pytest.importorskip("netCDF4")

SETTINGS: dict[str, Any] = {"years": 2, "realizations": 3, "rows": 5, "columns": 7, "weather_seed": 11}
SERIES = ("precipitation", "temperature", "potential_evapotranspiration", "soil_moisture")


@pytest.fixture(params=["alps.zarr", "alps.nc"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / "folder" / request.param


def test_a_file_holds_what_was_simulated(path: Path) -> None:
    settings = AlpsSimulator(**SETTINGS)
    settings.write(path)
    run = settings.run()
    with xarray.open_dataset(path) as file:
        for name in SERIES:
            assert file[name].dims == ("realization", "time", "lat", "lon")
            assert file[name].dtype == np.float32
            np.testing.assert_array_equal(file[name].values, getattr(run, name))
        np.testing.assert_array_equal(file.time.values.astype("datetime64[D]"), run.time)
        np.testing.assert_array_equal(file.lat.values, run.simulator.terrain.latitude)
        np.testing.assert_array_equal(file.elevation.values, run.simulator.terrain.elevation)
        assert file.elevation.dims == ("lat", "lon")
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_a_file_says_in_cf_what_it_holds(path: Path) -> None:
    AlpsSimulator(**SETTINGS).write(path)
    with xarray.open_dataset(path, decode_times=False) as file:
        assert file.attrs["Conventions"] == "CF-1.10"
        axes = {name: file[name].attrs["axis"] for name in ("realization", "time", "lat", "lon")}
        assert axes == {"realization": "E", "time": "T", "lat": "Y", "lon": "X"}
        assert file.time.attrs["units"] == "days since 1990-01-01 00:00:00"
        assert file.lat.attrs["units"] == "degrees_north"
        assert file.lon.attrs["standard_name"] == "longitude"
        for name, variable in file.variables.items():
            if name != "time":
                assert variable.attrs["units"], name
                assert variable.attrs["long_name"], name
        units = {name: file[name].attrs["units"] for name in (*SERIES, "elevation", "slope")}
        assert units == {
            "precipitation": "mm d-1",
            "temperature": "degC",
            "potential_evapotranspiration": "mm d-1",
            "soil_moisture": "m3 m-3",
            "elevation": "m",
            "slope": "1",
        }


def test_a_single_realization_has_no_dimension(path: Path) -> None:
    settings = AlpsSimulator(**SETTINGS | {"realizations": 1})
    settings.write(path)
    with xarray.open_dataset(path) as file:
        assert file.soil_moisture.dims == ("time", "lat", "lon")
        np.testing.assert_array_equal(file.soil_moisture.values, settings.run().soil_moisture[0])


def test_groups_of_realizations_land_where_they_belong(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = AlpsSimulator(**SETTINGS)
    monkeypatch.setattr("lightning_itwin.hydrology.alps_simulator._SERIES", 70)
    settings.write(path)
    with xarray.open_dataset(path) as file:
        np.testing.assert_array_equal(file.temperature.values, settings.run().temperature)


def test_a_file_is_replaced(path: Path) -> None:
    AlpsSimulator(**SETTINGS | {"years": 1}).write(path)
    AlpsSimulator(**SETTINGS).write(path)
    with xarray.open_dataset(path) as file:
        assert file.sizes["time"] == 730
    assert len(list(path.parent.iterdir())) == 1


def test_a_failure_leaves_what_was_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = AlpsSimulator(**SETTINGS | {"years": 1})
    settings.write(path)

    def fails(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(alps_file.AlpsWriter, "add", fails)
    with pytest.raises(OSError, match="disk full"):
        AlpsSimulator(**SETTINGS).write(path)
    with xarray.open_dataset(path) as file:
        assert file.sizes["time"] == 365
    assert len(list(path.parent.iterdir())) == 1


@pytest.mark.parametrize("name", ["alps.csv", "alps", "alps.zarr.zip"])
def test_another_ending_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(".zarr or .nc")):
        AlpsSimulator(**SETTINGS).write(tmp_path / name)


def test_what_is_no_store_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "papers.zarr").mkdir()
    (tmp_path / "papers.nc").mkdir()
    (tmp_path / "file.zarr").write_text("a letter")
    for name in ("papers.zarr", "papers.nc", "file.zarr"):
        with pytest.raises(ValueError, match="is not replaced"):
            AlpsSimulator(**SETTINGS).write(tmp_path / name)
    assert (tmp_path / "file.zarr").read_text() == "a letter"


def test_weather_forecasts_are_written_beside_the_same_weather(path: Path) -> None:
    plain = AlpsSimulator(**SETTINGS | {"years": 1})
    dataclasses.replace(plain, weather_members=3).write(path)
    run = plain.run()
    with xarray.open_dataset(path) as file:
        np.testing.assert_array_equal(file.precipitation.values, run.precipitation)
        assert file.weather_lead.values.tolist() == list(range(1, 16))
        for name in ("precipitation_mean", "precipitation_spread", "temperature_mean", "temperature_spread"):
            assert file[name].dims == ("realization", "time", "weather_lead", "lat", "lon")
            assert np.isfinite(file[name].values).all()
        tomorrow = file.temperature_mean.values[:, :-1, 0] - run.temperature[:, 1:]
        assert np.abs(tomorrow).mean() < 1.0


def test_blocks_fill_chunks_wherever_they_end(tmp_path: Path) -> None:
    settings = AlpsSimulator(years=1, realizations=1, rows=2, columns=2)
    blocks = list(settings.blocks([0]))
    assert blocks[0].day == 0
    assert sum(len(block.modes) for block in blocks) == 365
    with open_writer(tmp_path / "a.nc", settings.terrain, settings.time, 1) as writer:
        for block in blocks:
            writer.add(0, block)
    with xarray.open_dataset(tmp_path / "a.nc") as file:
        np.testing.assert_array_equal(file.soil_moisture.values, settings.run().soil_moisture[0])
