from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from lightning_itwin.datamodules.hydro.day_axis import TimeAxisError
from lightning_itwin.datamodules.hydro.opened_files import GridError
from lightning_itwin.datamodules.hydro.variables import HydroVariables, VariableError
from lightning_itwin.datamodules.hydro.xarray_source import XarraySource
from tests.datamodules.hydro.cubes import cube, values, written

SMALL = {"days": 60, "rows": 3, "columns": 4}


def read(path: str | list[str], **variables: object) -> tuple[XarraySource, np.ndarray]:
    source = XarraySource(path, HydroVariables(**variables))  # type: ignore[arg-type]
    return source, source.read(np.arange(source.grid.series), 0, source.grid.axis.size)


@pytest.mark.parametrize("name", ["cube.nc", "cube2.zarr", "cube3.zarr"])
def test_reads_what_was_written_in_every_format(tmp_path: Path, name: str) -> None:
    data = cube(**SMALL)
    form = {"zarr_format": int(name[4])} if name.endswith("zarr") else {}
    source, found = read(written(data, tmp_path / name, **form))
    np.testing.assert_array_equal(found, values(data))
    assert source.columns.statics == ("elevation", "field_capacity")
    np.testing.assert_array_equal(source.statics[:, 0], data.elevation.values.ravel())
    assert source.grid.axis.text(0) == "2001-01-01"
    assert source.columns.logarithms == ("precipitation",)


def test_reads_realizations_one_after_the_other(tmp_path: Path) -> None:
    data = cube(**SMALL, realizations=3)
    source, found = read(written(data, tmp_path / "cube.zarr"))
    np.testing.assert_array_equal(found, values(data))
    assert source.grid.realizations == 3
    assert source.grid.realization[12] == 1
    some = np.array([1, 13, 14, 35])
    np.testing.assert_array_equal(source.read(some, 5, 9), values(data)[some, 5:9])


@pytest.mark.parametrize("order", [("lat", "lon", "time"), ("lon", "time", "lat"), ("time", "lon", "lat")])
def test_takes_dimensions_in_any_order(tmp_path: Path, order: tuple[str, ...]) -> None:
    data = cube(**SMALL)
    _, found = read(written(data.transpose(*order), tmp_path / "cube.nc"))
    np.testing.assert_array_equal(found, values(data))


@pytest.mark.parametrize(
    "names", [{"lat": "latitude", "lon": "longitude"}, {"lat": "y", "lon": "x"}, {"time": "valid_time"}]
)
def test_knows_other_names_of_dimensions(tmp_path: Path, names: dict[str, str]) -> None:
    data = cube(**SMALL)
    _, found = read(written(data.rename(names), tmp_path / "cube.nc"))
    np.testing.assert_array_equal(found, values(data))


def test_keeps_a_curvilinear_grid(tmp_path: Path) -> None:
    data = cube(**SMALL).rename({"lat": "y", "lon": "x"})
    lat = 46 + 0.1 * np.add.outer(np.arange(3.0), 0.2 * np.arange(4.0))
    data = data.assign_coords(lat=(("y", "x"), lat), lon=(("y", "x"), lat - 36))
    source, _ = read(written(data, tmp_path / "cube.nc"))
    assert source.grid.lat.shape == (3, 4)
    np.testing.assert_allclose(source.grid.positions()[:, 0], lat.ravel())


def test_keeps_a_descending_latitude_and_turns_maps_that_ascend(tmp_path: Path) -> None:
    data = cube(**SMALL)
    down = data.drop_vars("elevation").isel(lat=slice(None, None, -1))
    first = written(down, tmp_path / "a.nc")
    second = written(data[["elevation"]], tmp_path / "b.nc")
    source, found = read([first, second])
    np.testing.assert_array_equal(found, values(down))
    assert source.grid.lat[0] > source.grid.lat[-1]
    elevation = source.statics[:, source.columns.statics.index("elevation")]
    np.testing.assert_array_equal(elevation, data.elevation.values[::-1].ravel())


@pytest.mark.parametrize("calendar", ["noleap", "360_day"])
def test_knows_other_calendars(tmp_path: Path, calendar: str) -> None:
    data = cube(days=800, rows=2, columns=2, calendar=calendar)
    source, found = read(written(data, tmp_path / "cube.nc"))
    np.testing.assert_array_equal(found, values(data))
    year = {"noleap": 365, "360_day": 360}[calendar]
    expected = (np.arange(800) % year / year).astype(np.float32)
    np.testing.assert_array_equal(source.grid.axis.year_fraction(), expected)
    assert source.grid.axis.index("2002-01-01") == year


def test_unpacks_int16_with_a_fill_value(tmp_path: Path) -> None:
    data = cube(**SMALL)
    data["soil_moisture"][7, 1, 1] = np.nan
    packed = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 1.0, "_FillValue": -32768}
    _, found = read(written(data, tmp_path / "cube.nc", soil_moisture=packed, temperature=packed))
    np.testing.assert_allclose(found, values(data), atol=0.0051)
    assert np.isnan(found[5, 7, 3])
    assert np.isnan(found).sum() == 1


def test_leaves_cells_without_target_and_masked_cells_out(tmp_path: Path) -> None:
    data = cube(**SMALL)
    data["soil_moisture"][:, 0, 1] = np.nan
    data["lake"] = (("lat", "lon"), np.zeros((3, 4), dtype=np.int8))
    data["lake"][2, 2] = 1
    path = written(data, tmp_path / "cube.nc")
    source, found = read(path, mask="not lake")
    kept = [cell for cell in range(12) if cell not in (1, 10)]
    np.testing.assert_array_equal(source.grid.row * 4 + source.grid.column, kept)
    np.testing.assert_array_equal(found, values(data)[kept])
    assert read(path, mask="lake")[0].grid.cells == 1
    with pytest.raises(VariableError, match=r"mask: there is no variable 'sea'.*lake"):
        read(path, mask="sea")


def test_joins_files_in_time_and_by_variable(tmp_path: Path) -> None:
    data = cube(**SMALL)
    soil = written(data[["soil_moisture"]], tmp_path / "soil.zarr")
    weather = data.drop_vars("soil_moisture")
    written(weather.isel(time=slice(0, 25)), tmp_path / "weather_2001.nc")
    written(weather.isel(time=slice(25, 60)), tmp_path / "weather_2002.nc")
    _, found = read([soil, str(tmp_path / "weather_*.nc")])
    np.testing.assert_array_equal(found, values(data))
    with pytest.raises(FileNotFoundError, match="nothing"):
        read(str(tmp_path / "nothing_*.nc"))


def test_aligns_variables_by_their_days(tmp_path: Path) -> None:
    data = cube(**SMALL)
    soil = written(data[["soil_moisture"]].isel(time=slice(1, 50)), tmp_path / "soil.nc")
    weather = written(data.drop_vars("soil_moisture"), tmp_path / "weather.nc")
    _, found = read([weather, soil])
    expected = values(data)
    expected[:, 0, 3] = expected[:, 50:, 3] = np.nan
    np.testing.assert_array_equal(found, expected)
    late = written(
        data[["soil_moisture"]].assign_coords(time=data.time + np.timedelta64(900, "D")), tmp_path / "l.nc"
    )
    with pytest.raises(TimeAxisError, match=r"no days in common.*soil_moisture 2003"):
        read([weather, late])


def test_refuses_or_repairs_days(tmp_path: Path) -> None:
    data = cube(**SMALL)
    order = [0, 1, 2, 4, 3, 5, 6, 6, *range(10, 60)]
    path = written(data.isel(time=order), tmp_path / "cube.nc")
    with pytest.raises(TimeAxisError) as refused:
        read(path)
    told = str(refused.value)
    assert "not in order: 2001-01-04" in told
    assert "double: 2001-01-07" in told
    assert "missing: 2001-01-08, 2001-01-09, 2001-01-10" in told
    assert "times: repair" in told
    _, found = read(path, times="repair")
    expected = values(data)
    expected[:, 7:10] = np.nan
    np.testing.assert_array_equal(found, expected)


def test_refuses_times_that_are_not_daily(tmp_path: Path) -> None:
    data = cube(**SMALL)
    hourly = data.assign_coords(
        time=np.datetime64("2001-01-01", "ns") + np.arange(60) * np.timedelta64(6, "h")
    )
    with pytest.raises(TimeAxisError, match=r"60 times on 15 days.*daily sums"):
        read(written(hourly, tmp_path / "a.nc"))
    weekly = data.isel(time=slice(None, None, 7))
    with pytest.raises(TimeAxisError, match="a value every 7 days"):
        read(written(weekly, tmp_path / "b.nc"))
    numbers = data.assign_coords(time=np.arange(60))
    with pytest.raises(TimeAxisError, match="no dates"):
        read(written(numbers, tmp_path / "c.nc"))


def test_reads_a_list_of_cells_that_is_compressed(tmp_path: Path) -> None:
    data = cube(**SMALL)
    kept = np.array([0, 3, 4, 7, 11])
    listed = xr.Dataset(coords={"lat": data.lat, "lon": data.lon, "time": data.time})
    listed["gridcell"] = ("gridcell", kept, {"compress": "lat lon"})
    stacked = values(data)
    feat = ["precipitation", "temperature", "potential_evapotranspiration", "soil_moisture"]
    listed["x"] = (("gridcell", "time", "feat"), stacked[kept])
    listed = listed.assign_coords(feat=feat)
    source, found = read(written(listed, tmp_path / "cells.nc"))
    np.testing.assert_array_equal(found, stacked[kept])
    np.testing.assert_array_equal(source.grid.row * 4 + source.grid.column, kept)


def test_converts_units_by_sense_and_finds_other_names(tmp_path: Path) -> None:
    data = cube(**SMALL)
    renamed = data.rename(
        {
            "precipitation": "pr",
            "temperature": "tas",
            "potential_evapotranspiration": "pet",
            "soil_moisture": "sm",
        }
    )
    renamed["pr"] = (renamed["pr"] / 86400).assign_attrs(units="kg m-2 s-1")
    renamed["tas"] = (renamed["tas"] + 273.15).assign_attrs(units="K")
    source, found = read(written(renamed, tmp_path / "cube.nc"))
    np.testing.assert_allclose(found, values(data), rtol=2e-5, atol=5e-5)
    assert source.columns.units["temperature"] == "degC"
    renamed["tas"].attrs["units"] = "furlong"
    with pytest.raises(VariableError, match="furlong"):
        read(written(renamed, tmp_path / "other.nc"))


def test_an_error_lists_what_the_files_have(tmp_path: Path) -> None:
    path = written(cube(**SMALL), tmp_path / "cube.nc")
    with pytest.raises(VariableError, match=r"no variable 'snow'.*precipitation \[mm d-1\].*maps: elevation"):
        read(path, inputs=["snow"])
    with pytest.raises(VariableError, match="'elevation' has no dimension of time"):
        read(path, inputs=["elevation"])
    with pytest.raises(VariableError, match="'temperature' is a series in time, not a map"):
        read(path, statics=["temperature"])


def test_refuses_another_grid(tmp_path: Path) -> None:
    data = cube(**SMALL)
    weather = written(data.drop_vars("soil_moisture"), tmp_path / "a.nc")
    moved = data[["soil_moisture"]].assign_coords(lon=data.lon + 1)
    with pytest.raises(GridError, match=r"Longitudes of .* differ .* by up to 1"):
        read([weather, written(moved, tmp_path / "b.nc")])
    smaller = data[["soil_moisture"]].isel(lat=slice(0, 2))
    with pytest.raises(GridError, match=r"grid of \(2, 4\)"):
        read([weather, written(smaller, tmp_path / "c.nc")])


def test_refuses_what_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "broken.nc").write_bytes(b"not a file")
    with pytest.raises(VariableError, match="neither as NetCDF"):
        read(str(tmp_path / "broken.nc"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(VariableError, match="no Zarr store"):
        read(str(tmp_path / "folder"))
    maps = cube(**SMALL)[["elevation"]]
    with pytest.raises(VariableError, match="time axis; it has elevation"):
        read(written(maps, tmp_path / "maps.nc"))


@pytest.mark.parametrize("chunks", [(60, 2, 2), (1, 3, 4), (7, 3, 2)])
def test_tiles_cover_everything_once(tmp_path: Path, chunks: tuple[int, int, int]) -> None:
    data = cube(**SMALL)
    sizes = {str(name): {"chunks": chunks} for name in data.data_vars if data[name].ndim == 3}
    source, found = read(written(data, tmp_path / "cube.zarr", **sizes))
    seen = np.zeros(found.shape[:2], dtype=int)
    for series, first, end in source.tiles(1200):
        seen[series, first:end] += 1
        np.testing.assert_array_equal(source.read(series, first, end), found[series, first:end])
    assert (seen == 1).all()
    assert np.array_equal(np.sort(np.concatenate(source.groups())), np.arange(12))


def test_reads_statistics_of_a_weather_forecast(tmp_path: Path) -> None:
    data = cube(**SMALL)
    forecast = np.random.default_rng(1).normal(size=(60, 2, 3, 4)).astype(np.float32)
    data["rain_mean"] = (("time", "weather_lead", "lat", "lon"), forecast)
    data["rain_spread"] = (("weather_lead", "time", "lat", "lon"), np.moveaxis(forecast, 1, 0) + 1)
    source, found = read(written(data, tmp_path / "cube.zarr"), weather=["rain_mean", "rain_spread"])
    assert source.columns.weather_leads == 2
    assert found.shape[2] == 3 + 4 + 1
    of_cells = forecast.reshape(60, 2, 12).transpose(2, 0, 1)
    np.testing.assert_array_equal(found[:, :, 3:7:2], of_cells)
    np.testing.assert_array_equal(found[:, :, 4:7:2], of_cells + 1)
    np.testing.assert_array_equal(found[:, :, -1], values(data)[:, :, -1])
