"""What CF-1.11 wants of such a file, asked of the bytes on the disk and not of what xarray makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("netCDF4")
pytest.importorskip("xarray")
pytest.importorskip("zarr")

import netCDF4
import xarray as xr

from tests.forecasts.synthetic import grid
from tests.forecasts.test_forecast_file import layout, write

MAPPING = {
    "grid_mapping_name": "latitude_longitude",
    "semi_major_axis": 6378137.0,
    "inverse_flattening": 298.257223563,
}
ATTRIBUTES = {
    "model": "DroughtForecaster from /home/somebody/runs/last.ckpt",
    "calibration": "conformal, 2011 to 2014",
    "references": "https://example.org/a/paper",
    "institution": "",
}
# of the table of standard names, with their canonical units
STANDARD_NAMES = {
    "forecast_reference_time": "s",
    "forecast_period": "s",
    "time": "s",
    "latitude": "degree_north",
    "longitude": "degree_east",
    "realization": "1",
    "volume_fraction_of_condensed_water_in_soil": "1",
}


@pytest.fixture(scope="module", params=[".nc", ".zarr"])
def raw(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("cf") / f"forecasts{request.param}"
    write(path, layout(grid(realizations=2), attributes=ATTRIBUTES, grid_mapping=MAPPING), [3, 8])
    return xr.open_dataset(path, decode_cf=False)


def test_the_file_says_what_it_is(raw: Any) -> None:
    assert raw.attrs["Conventions"] == "CF-1.11"
    for name in ("title", "source", "history", "model", "calibration", "references"):
        assert isinstance(raw.attrs[name], str)
        assert raw.attrs[name]
    assert "institution" not in raw.attrs, "nothing is said where nobody knows"


def test_no_attribute_tells_of_the_machine(raw: Any) -> None:
    told = [raw.attrs, *(raw[name].attrs for name in raw.variables)]
    assert raw.attrs["model"] == "DroughtForecaster from last.ckpt"
    assert raw.attrs["references"] == "https://example.org/a/paper"
    assert not any(
        "/home" in str(value) or "/tmp" in str(value) for attributes in told for value in attributes.values()
    )


def test_every_variable_has_a_name_and_what_has_a_unit_says_it(raw: Any) -> None:
    for name, variable in raw.variables.items():
        if name == "crs":
            continue
        assert variable.attrs.get("standard_name") or variable.attrs.get("long_name"), name
        assert ("units" in variable.attrs) != ("flag_values" in variable.attrs), name
        if "standard_name" in variable.attrs:
            assert variable.attrs["standard_name"] in STANDARD_NAMES, name


def test_names_of_variables_are_letters_digits_and_underscores(raw: Any) -> None:
    assert all(name.isidentifier() for name in raw.variables)


def test_coordinates_are_monotonic_and_complete(raw: Any) -> None:
    for name in ("time", "lead", "quantile", "lat", "lon", "realization"):
        values = raw[name].values
        assert raw[name].dims == (name,)
        assert "_FillValue" not in raw[name].attrs
        steps = np.diff(values)
        assert (steps > 0).all() or (steps < 0).all()
    assert raw.time.attrs["axis"] == "T"
    assert raw.lat.attrs["axis"] == "Y"
    assert raw.lon.attrs["axis"] == "X"
    assert raw.lat.attrs["units"] == "degrees_north"
    assert raw.lon.attrs["units"] == "degrees_east"


def test_times_have_a_unit_and_a_calendar(raw: Any) -> None:
    for name in ("time", "valid_time"):
        assert raw[name].attrs["units"] == "days since 1970-01-01 00:00:00"
        assert raw[name].attrs["calendar"] == "proleptic_gregorian"
        assert raw[name].dtype == np.int64
    assert (raw.valid_time.values == raw.time.values[:, None] + raw.lead.values).all()


def test_auxiliary_coordinates_and_grid_mapping_exist_where_they_are_named(raw: Any) -> None:
    for name in ("soil_moisture", "soil_moisture_anomaly", "probability_below_p10", "warning_level"):
        attributes = raw[name].attrs
        for word in attributes["coordinates"].split():
            assert word in raw.variables
            assert set(raw[word].dims) <= set(raw[name].dims)
        assert raw[attributes["grid_mapping"]].attrs["grid_mapping_name"] == "latitude_longitude"
    for word in raw.warning_level.attrs["ancillary_variables"].split():
        assert word in raw.variables


def test_dimensions_stand_in_the_order_that_is_promised(raw: Any) -> None:
    assert raw.soil_moisture.dims == ("realization", "time", "lead", "quantile", "lat", "lon")
    assert raw.warning_level.dims == ("realization", "time", "lead", "lat", "lon")


def test_flags_are_of_the_type_of_their_variable(raw: Any) -> None:
    level = raw.warning_level
    assert level.dtype == np.int8
    assert list(level.attrs["flag_values"]) == [0, 1, 2, 3]
    assert level.attrs["flag_meanings"] == "none watch warning alert"
    assert level.attrs["_FillValue"] == -1
    assert set(np.unique(level)) <= {-1, 0, 1, 2, 3}


def test_floats_are_single_and_missing_ones_are_nan(raw: Any) -> None:
    for name in ("soil_moisture", "soil_moisture_anomaly", "probability_below_p20"):
        assert raw[name].dtype == np.float32
        assert np.isnan(raw[name].attrs["_FillValue"])
    below = raw.probability_below_p20.values
    assert np.nanmin(below) >= 0
    assert np.nanmax(below) <= 1


def test_flag_values_of_netcdf_are_bytes_and_all_is_compressed(tmp_path: Path) -> None:
    write(tmp_path / "f.nc", layout(), [3])
    with netCDF4.Dataset(tmp_path / "f.nc") as file:
        assert file.data_model == "NETCDF4"
        assert file["warning_level"].getncattr("flag_values").dtype == np.int8
        for name in ("soil_moisture", "warning_level"):
            assert file[name].filters()["zlib"]
            assert file[name].chunking()[0] == 1, "an origin a chunk"
