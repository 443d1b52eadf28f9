"""Forecast files: written in any order by any number of parts, gone on with, read back by plain xarray."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("xarray")
pytest.importorskip("zarr")
pytest.importorskip("netCDF4")
pytest.importorskip("cftime")

import cftime
import xarray as xr

from lightning_itwin.forecasts import (
    ClimatologyScale,
    ForecastFile,
    ForecastLayout,
    ForecastTarget,
    LinearScale,
    WarningRule,
)
from lightning_itwin.hydrology.climatology import Climatology
from tests.forecasts.synthetic import grid

LEADS, LEVELS = (1, 7, 30), (0.1, 0.5, 0.9)
SCALE = LinearScale(0.3, 0.05)
SUFFIXES = pytest.mark.parametrize("suffix", [".nc", ".zarr"])


def layout(on: SimpleNamespace | None = None, **options: Any) -> ForecastLayout:
    return ForecastLayout(**{"grid": on or grid(), "leads": LEADS, "levels": LEVELS, **options})


def forecasts(on: SimpleNamespace, origins: list[int], seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    series = len(on.row) * on.realizations
    size = series * len(origins)
    quantiles = torch.randn(size, 3, 3, generator=generator).sort(-1).values
    below = torch.rand(size, 3, 3, generator=generator)
    return (
        torch.arange(series).repeat(len(origins)),
        torch.tensor(origins).repeat_interleave(series),
        quantiles,
        below,
    )


def opened(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a reader is told nothing odd
        return xr.open_dataset(path).load()


def write(path: Path, about: ForecastLayout, origins: list[int], key: str = "a") -> tuple[torch.Tensor, ...]:
    given = forecasts(about.grid, origins)
    file = ForecastFile(path, about, SCALE, key)
    file.add(*given)
    file.close()
    assert file.finish() == path
    return given


@SUFFIXES
def test_what_is_written_is_read_back(tmp_path: Path, suffix: str) -> None:
    on = grid()
    path = tmp_path / f"forecasts{suffix}"
    _, _, quantiles, below = write(path, layout(on), [50, 60, 390])
    data = opened(path)
    assert data.soil_moisture.dims == ("time", "lead", "quantile", "lat", "lon")
    assert data.probability_below_p20.dims == ("time", "lead", "lat", "lon")
    assert data.soil_moisture.shape == (3, 3, 3, 4, 5)
    cells = len(on.row)
    for number in range(3):
        rows = slice(number * cells, (number + 1) * cells)
        anomaly = data.soil_moisture_anomaly.values[number][:, :, on.row, on.column]
        np.testing.assert_allclose(anomaly, quantiles[rows].permute(1, 2, 0), rtol=2**-13)
        moisture = data.soil_moisture.values[number][:, :, on.row, on.column]
        np.testing.assert_allclose(moisture, 0.3 + 0.05 * quantiles[rows].permute(1, 2, 0), rtol=2**-12)
        for column, percentile in enumerate((20, 10, 5)):
            told = data[f"probability_below_p{percentile}"].values[number][:, on.row, on.column]
            np.testing.assert_allclose(told, below[rows, :, column].T, rtol=2**-13)
        levels = data.warning_level.values[number][:, on.row, on.column]
        assert (levels == WarningRule().levels(below[rows].numpy()).T).all()
    there = np.zeros((4, 5), dtype=bool)
    there[on.row, on.column] = True
    for name in ("soil_moisture", "probability_below_p5", "warning_level"):
        assert np.isnan(data[name].values[..., ~there]).all()
    assert (data.time.values == on.times[[50, 60, 390]]).all()
    assert (
        data.valid_time.values == data.time.values[:, None] + np.array(LEADS) * np.timedelta64(1, "D")
    ).all()
    assert data.lead.values.tolist() == [1, 7, 30]
    assert "valid_time" in data.coords
    assert list(tmp_path.iterdir()) == [path], "nothing is left beside the file"


@SUFFIXES
def test_parts_of_any_order_make_the_same_file(tmp_path: Path, suffix: str) -> None:
    about = layout()
    whole, parted = tmp_path / f"whole{suffix}", tmp_path / f"parted{suffix}"
    given = write(whole, about, [10, 20])
    files = [ForecastFile(parted, about, SCALE, "a", part=part) for part in range(3)]
    order = torch.randperm(len(given[0]), generator=torch.Generator().manual_seed(1))
    for number, rows in enumerate(order.split(5)):
        files[number % 3].add(*(values[rows] for values in given))
    for file in files:
        file.close()
    files[0].finish()
    first, second = opened(whole), opened(parted)
    xr.testing.assert_identical(first.drop_attrs(), second.drop_attrs())


def test_a_run_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    about, path = layout(), tmp_path / "forecasts.zarr"
    given = forecasts(about.grid, [10, 20, 30])
    first = ForecastFile(path, about, SCALE, "a", part=1)
    first.add(*(values[:25] for values in given))
    del first  # killed: nothing is closed, nothing is finished
    again = ForecastFile(path, about, SCALE, "a")
    todo = again.missing(given[0], given[1])
    assert todo.tolist() == [False] * 25 + [True] * (len(todo) - 25)
    assert not again.complete
    assert not path.exists()
    again.add(*(values[todo] for values in given))
    assert not again.missing(given[0], given[1]).any()
    again.close()
    again.finish()
    write(tmp_path / "whole.zarr", about, [10, 20, 30])
    xr.testing.assert_identical(opened(path).drop_attrs(), opened(tmp_path / "whole.zarr").drop_attrs())


@SUFFIXES
def test_the_same_key_has_nothing_to_do_and_another_begins_anew_with_a_word(
    tmp_path: Path, suffix: str
) -> None:
    about, path = layout(), tmp_path / f"forecasts{suffix}"
    given = write(path, about, [10])
    before = opened(path)
    same = ForecastFile(path, about, SCALE, "a")
    assert same.complete
    assert not same.missing(given[0], given[1]).any()
    same.add(*given)
    assert same.finish() == path
    with pytest.warns(UserWarning, match="another model, other settings or other days"):
        other = ForecastFile(path, about, SCALE, "b")
    assert not other.complete
    assert other.missing(given[0], given[1]).all()
    xr.testing.assert_identical(opened(path), before)  # until the new one is whole
    other.add(given[0], given[1], given[2] + 1, given[3])
    other.close()
    other.finish()
    assert (opened(path).soil_moisture.values > before.soil_moisture.values)[
        :, :, :, about.grid.row[0], 0
    ].all()
    with pytest.warns(UserWarning, match="another model"):
        changed = ForecastFile(path, layout(leads=(1, 7, 31)), SCALE, "b")
    assert not changed.complete


def test_unfinished_forecasts_of_another_key_are_removed_with_a_word(tmp_path: Path) -> None:
    about, path = layout(), tmp_path / "forecasts.nc"
    given = forecasts(about.grid, [10])
    stopped = ForecastFile(path, about, SCALE, "a")
    stopped.add(*given)
    stopped.close()
    with pytest.warns(UserWarning, match="begins anew"):
        other = ForecastFile(path, about, SCALE, "b")
    assert other.missing(given[0], given[1]).all()
    assert len(list(tmp_path.glob("*.parts"))) == 1


def test_several_realizations_have_a_dimension(tmp_path: Path) -> None:
    on = grid(realizations=2)
    path = tmp_path / "forecasts.zarr"
    _, _, quantiles, _ = write(path, layout(on), [10])
    data = opened(path)
    assert data.soil_moisture.dims == ("realization", "time", "lead", "quantile", "lat", "lon")
    found = data.soil_moisture_anomaly.values[1, 0][:, :, on.row, on.column]
    np.testing.assert_allclose(found, quantiles[len(on.row) :].permute(1, 2, 0), rtol=2**-13)


@SUFFIXES
def test_a_calendar_of_its_own_and_a_curvilinear_grid(tmp_path: Path, suffix: str) -> None:
    on = grid()
    times = [cftime.datetime(2001, 2, 1 + day, calendar="360_day") for day in range(30)]
    lat, lon = np.meshgrid(on.lat, on.lon, indexing="ij")
    on = SimpleNamespace(**{**vars(on), "times": np.array(times), "lat": lat, "lon": lon, "dims": ("y", "x")})
    path = tmp_path / f"forecasts{suffix}"
    write(path, layout(on), [28])
    data = opened(path)
    assert data.soil_moisture.dims == ("time", "lead", "quantile", "y", "x")
    assert {"lat", "lon", "valid_time"} <= set(data.coords)
    assert data.time.values[0] == cftime.datetime(2001, 2, 29, calendar="360_day")
    assert data.valid_time.values[0, 0] == cftime.datetime(2001, 2, 30, calendar="360_day")
    np.testing.assert_array_equal(data.lat, lat)


def test_a_nowcast_has_no_anomaly_and_no_warning(tmp_path: Path) -> None:
    river = ForecastTarget(name="q_river", units="m3 s-1", is_soil_moisture=False, anomaly=False)
    about = layout(leads=(0,), levels=(0.5,), target=river)
    path = tmp_path / "nowcast.nc"
    file = ForecastFile(path, about, LinearScale(10.0, 2.0), "a")
    file.add(torch.arange(18), torch.full((18,), 3), torch.ones(18, 1, 1))
    file.close()
    file.finish()
    data = opened(path)
    assert list(data.data_vars) == ["soil_moisture"]
    assert data.soil_moisture.attrs["long_name"] == "q river"
    assert data.soil_moisture.attrs["units"] == "m3 s-1"
    assert "standard_name" not in data.soil_moisture.attrs
    assert np.nanmax(data.soil_moisture) == 12.0


def test_values_of_a_climatology_are_those_of_cell_and_valid_day(tmp_path: Path) -> None:
    on = grid(days=400)
    fraction = torch.arange(430) % 365 / 365
    mean = torch.linspace(0.2, 0.4, 18)[:, None] + 0.1 * torch.sin(2 * torch.pi * torch.arange(37) / 37)
    deviation = torch.linspace(0.01, 0.03, 18)[:, None].expand(18, 37)
    percentiles = (mean - deviation).unsqueeze(-1)
    climatology = Climatology(mean, deviation, percentiles, levels=[0.2])
    scale = ClimatologyScale(climatology, fraction)
    file = ForecastFile(tmp_path / "f.nc", layout(on), scale, "a")
    given = forecasts(on, [399])
    file.add(*given)
    file.close()
    file.finish()
    data = opened(tmp_path / "f.nc")
    for place, lead in enumerate(LEADS):  # 399 + 30: beyond the end of the data
        cells = torch.arange(18)
        wanted = climatology.value(given[2][:, place], cells, fraction[399 + lead].expand(18, 1))
        found = data.soil_moisture.values[0, place][:, on.row, on.column]
        np.testing.assert_allclose(found, wanted.T, rtol=2e-4)


@pytest.mark.parametrize("name", ["forecasts.csv", "forecasts"])
def test_another_ending_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"\.nc or \.zarr"):
        ForecastFile(tmp_path / name, layout(), SCALE, "a")


def test_what_is_not_ours_is_kept(tmp_path: Path) -> None:
    (tmp_path / "mine.nc").write_bytes(b"mine")
    (tmp_path / "mine.zarr").mkdir()
    for name in ("mine.nc", "mine.zarr"):
        with pytest.raises(ValueError, match="Choose another name"):
            ForecastFile(tmp_path / name, layout(), SCALE, "a")
    assert (tmp_path / "mine.nc").read_bytes() == b"mine"


def test_shapes_and_indices_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    file = ForecastFile(tmp_path / "f.nc", layout(), SCALE, "a")
    series, origin, quantiles, below = forecasts(grid(), [1])
    with pytest.raises(ValueError, match="Quantiles are"):
        file.add(series, origin, quantiles[:, :2], below)
    with pytest.raises(ValueError, match="probability_below"):
        file.add(series, origin, quantiles)
    with pytest.raises(ValueError, match="Probabilities are"):
        file.add(series, origin, quantiles, below[..., :2])
    with pytest.raises(ValueError, match="Series are from 0 to 17"):
        file.add(series + 1, origin, quantiles, below)
    with pytest.raises(ValueError, match="Days of issue are from 0 to 399"):
        file.add(series, origin + 399, quantiles, below)
    file.close()
    with pytest.raises(ValueError, match="no forecast to write"):
        file.finish()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"leads": ()}, "Leads"),
        ({"leads": (7, 1)}, "Leads"),
        ({"leads": (-1, 1)}, "Leads"),
        ({"levels": (0.5, 0.5)}, "Levels"),
        ({"levels": (0.0, 0.5)}, "Levels"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layout(**options)
