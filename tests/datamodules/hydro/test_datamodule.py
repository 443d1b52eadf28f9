from __future__ import annotations

import io
import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lightning_itwin.datamodules.batch_loader import LoaderStateError
from lightning_itwin.datamodules.hydro import (
    ForecastOrigins,
    GriddedHydroDataModule,
    HydroBatch,
    HydroVariables,
    SplitPeriods,
)
from lightning_itwin.datamodules.hydro.cell_major import CellMajorSource
from lightning_itwin.datamodules.hydro.convert import convert
from lightning_itwin.datamodules.hydro.splits import SplitError
from lightning_itwin.datamodules.hydro.variables import VariableError
from lightning_itwin.datamodules.hydro.xarray_source import XarraySource
from lightning_itwin.hydrology import AlpsSimulator
from lightning_itwin.hydrology.climatology import Climatology
from tests.datamodules.hydro.cubes import cube, values, written

PERIODS = SplitPeriods(train=["2001", "2004"], calibration=0, val=["2005", "2005"], test=["2006", "2006"])
KNOBS: dict[str, Any] = {
    "batch": 16,
    "seq_length": 40,
    "warmup": 10,
    "leads": [1, 5],
    "samples_per_epoch": 100,
    "periods": PERIODS,
}


@pytest.fixture(scope="module")
def data() -> Any:
    made = cube(days=365 * 6 + 1, rows=4, columns=6, realizations=2)
    made["soil_moisture"][0, 100:130, 1, 2] = np.nan
    made["temperature"][1, 50, 0, 0] = np.nan
    made["soil_moisture"][:, :, 3, 5] = np.nan
    return made


@pytest.fixture(scope="module")
def path(data: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(data, tmp_path_factory.mktemp("cube") / "cube.zarr")


@pytest.fixture(scope="module")
def converted(path: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(convert(XarraySource(path, HydroVariables()), tmp_path_factory.mktemp("converted") / "cells"))


def module(
    path: str, world: tuple[int, int] | None = None, epoch: int = 0, **knobs: Any
) -> GriddedHydroDataModule:
    made = GriddedHydroDataModule(path=path, **{**KNOBS, **knobs})
    if world is not None:
        made.trainer = SimpleNamespace(  # type: ignore[assignment]
            global_rank=world[0], world_size=world[1], current_epoch=epoch, num_devices=1
        )
    made.setup()
    return made


def all_of(loader: Any) -> HydroBatch:
    batches = list(loader)
    return HydroBatch(*(None if parts[0] is None else torch.cat(parts) for parts in zip(*batches)))


def keys(batch: HydroBatch) -> list[tuple[int, int]]:
    return list(zip(batch.series.tolist(), batch.start.tolist()))


def slow(data: Any, made: GriddedHydroDataModule, batch: HydroBatch, context: bool) -> dict[str, np.ndarray]:
    """Make the windows of a batch one by one, from the cube as it was made, in double precision."""
    raw = values(data).astype(np.float64)
    kept = [cell for cell in range(24) if cell != 23]
    raw = raw.reshape(2, 24, -1, 4)[:, kept].reshape(46, -1, 4)
    train = slice(0, 4 * 365 + 1)
    raw[:, :, 0] = np.log1p(raw[:, :, 0])
    mean, std = np.nanmean(raw[:, train], axis=(0, 1)), np.nanstd(raw[:, train], axis=(0, 1))
    day = data.time.dt.dayofyear.values
    length = np.where(data.time.dt.is_leap_year.values, 366, 365)
    fraction = ((day - 1) / length).astype(np.float32)
    pooled = np.concatenate([raw[:23, train, 3], raw[23:, train, 3]], axis=1).astype(np.float32)
    climatology = Climatology.fit(pooled, np.tile(fraction[train], 2))
    cells = torch.arange(23)
    every = torch.from_numpy(fraction).expand(23, -1)
    anomaly = np.concatenate(
        [
            climatology.anomaly(torch.from_numpy(raw[r * 23 : r * 23 + 23, :, 3]), cells, every).numpy()
            for r in (0, 1)
        ]
    )
    thresholds = climatology.thresholds(cells, every).numpy()
    inputs = (raw[:, :, :3] - mean[:3]) / std[:3]
    domain = np.concatenate([inputs, anomaly[:, :, None]], axis=2).reshape(2, 23, -1, 4)
    domain = np.nanmean(domain, axis=1)
    maps = np.stack(
        [data.elevation.values.ravel()[kept], data.field_capacity.values.ravel()[kept]], 1
    ).astype(float)
    maps = (maps - maps.mean(0)) / maps.std(0)
    found: dict[str, list[np.ndarray]] = {name: [] for name in batch._fields[:6]}
    for series, start in keys(batch):
        window, whole = slice(start, start + 40), slice(start, start + 45)
        found["dynamic"].append(np.nan_to_num(inputs[series, window]))
        found["static"].append(maps[series % 23])
        found["context"].append(domain[series // 23, window] if context else np.empty((40, 0)))
        found["year_fraction"].append(fraction[whole])
        found["target"].append(anomaly[series, whole])
        found["thresholds"].append(thresholds[series % 23, whole])
    return {name: np.stack(windows) for name, windows in found.items()}


@pytest.mark.parametrize("layout", ["memory", "files", "chunked files", "converted", "converted in memory"])
@pytest.mark.parametrize("context", [False, True])
def test_batches_are_those_of_a_slow_and_obvious_way(
    data: Any, path: str, converted: str, layout: str, context: bool, tmp_path: Path
) -> None:
    if layout == "chunked files":
        sizes = {str(name): {"chunks": (1, 500, 2, 3)} for name in data.data_vars if data[name].ndim == 4}
        path = written(data, tmp_path / "chunks.zarr", **sizes)
    made = module(
        converted if "converted" in layout else path,
        context=context,
        memory_gib=None if "memory" in layout else 0.0,
        block_mib=0.5,
    )
    assert made.in_memory == ("memory" in layout)
    for loader in (made.train_dataloader(), made.val_dataloader(), made.test_dataloader()):
        batch = all_of(loader)
        for name, expected in slow(data, made, batch, context).items():
            np.testing.assert_allclose(
                getattr(batch, name).numpy(), expected, rtol=1e-4, atol=2e-4, err_msg=name
            )
            assert getattr(batch, name).dtype == torch.float32
        assert batch.weather is None
        assert batch.series.dtype == batch.start.dtype == torch.int64
    assert made.context_names == (
        ["domain mean of " + n for n in [*made.dynamic_names, "soil_moisture"]] if context else []
    )


def test_no_day_that_counts_lies_in_two_splits(path: str) -> None:
    made = module(
        path, samples_per_epoch=None, periods=SplitPeriods(train=0.7, calibration=0.1, val=0.1, test=0.1)
    )
    days = {}
    for split, loader in {
        "train": made.train_dataloader(),
        "calibration": made.calibration_dataloader(),
        "val": made.val_dataloader(),
        "test": made.test_dataloader(),
    }.items():
        start = all_of(loader).start
        days[split] = (int(start.min()) + 10, int(start.max()) + 40 + 5)
    order = list(days.values())
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(order))
    assert order[0][0] == 10
    assert order[-1][1] <= made.grid.axis.size
    # statistics are of the training alone: what comes after it changes nothing
    assert made.statistics is not None


def test_statistics_know_nothing_of_later_years(data: Any, path: str, tmp_path: Path) -> None:
    other = data.copy(deep=True)
    for name in ("precipitation", "temperature", "soil_moisture"):
        other[name][:, 4 * 365 + 1 :] = other[name][:, 4 * 365 + 1 :] * 0.5 + 0.1
    changed = module(written(other, tmp_path / "other.zarr"))
    one, two = module(path).ensure_statistics(), changed.ensure_statistics()
    for name in ("mean", "deviation", "static_mean"):
        assert torch.equal(getattr(one, name), getattr(two, name))
    assert one.climatology is not None
    assert two.climatology is not None
    assert torch.equal(one.climatology.percentiles, two.climatology.percentiles)


@pytest.mark.parametrize(
    "knob",
    [
        {"batch": 8},
        {"seq_length": 50},
        {"interval_value": 2},
        {"samples_per_epoch": 60},
        {"warmup": 20},
        {"leads": [1, 7]},
        {"anomaly": False},
        {"block_split": 2},
        {"context": True},
        {"seed": 1},
    ],
    ids=lambda knob: next(iter(knob)),
)
def test_every_knob_changes_the_samples(path: str, knob: dict[str, Any]) -> None:
    def content(made: GriddedHydroDataModule) -> list[Any]:
        loaders = (made.train_dataloader(), made.val_dataloader())
        return [
            [tuple(part.sum().item() for part in b[:6]) + tuple(b.dynamic.shape) for b in one]
            for one in loaders
        ]

    assert str(content(module(path))) != str(content(module(path, **knob)))


def test_interval_value_and_block_split_hold_cells_out(path: str) -> None:
    def cells(made: GriddedHydroDataModule, name: str) -> set[tuple[int, int]]:
        batch = all_of(getattr(made, f"{name}_dataloader")())
        return {tuple(place) for place in made.grid.index[batch.series.numpy()].tolist()}

    strided = module(path, interval_value=2, samples_per_epoch=None)
    assert cells(strided, "train") == {(0, 0), (0, 2), (0, 4), (2, 0), (2, 2), (2, 4)}
    assert cells(strided, "val") == {(1, 1), (1, 3), (1, 5), (3, 1), (3, 3)}
    assert not cells(strided, "train") & cells(strided, "test")
    assert not cells(strided, "val") & cells(strided, "test")
    blocks = module(path, block_split=2, samples_per_epoch=None)
    train, val = cells(blocks, "train"), cells(blocks, "val")
    assert val == cells(blocks, "test")
    assert not train & val
    assert len(train | val) == 23
    assert {(row // 2, column // 2) for row, column in train}.isdisjoint((r // 2, c // 2) for r, c in val)
    with pytest.raises(SplitError, match="block_split=99 makes one block"):
        module(path, block_split=99).train_dataloader()


@pytest.mark.parametrize("memory_gib", [None, 0.0])
def test_an_epoch_is_what_seed_and_epoch_make_it(path: str, converted: str, memory_gib: float | None) -> None:
    def windows(seed: int, epoch: int) -> list[tuple[int, int]]:
        made = module(converted, (0, 1), epoch, seed=seed, memory_gib=memory_gib, block_mib=0.5)
        return keys(all_of(made.train_dataloader()))

    assert len(windows(0, 0)) == 100
    assert windows(0, 0) == windows(0, 0)
    assert windows(0, 0) != windows(0, 1)
    assert windows(0, 0) != windows(1, 0)


@pytest.mark.parametrize("memory_gib", [None, 0.0])
def test_ranks_share_no_window_and_have_as_many_batches(converted: str, memory_gib: float | None) -> None:
    per_rank = {}
    for rank in (0, 1):
        made = module(converted, (rank, 2), memory_gib=memory_gib, block_mib=0.5)
        per_rank[rank] = [
            [keys(batch) for batch in loader]
            for loader in (made.train_dataloader(), made.val_dataloader(), made.test_dataloader())
        ]
    alone = module(converted, (0, 1), memory_gib=memory_gib, block_mib=0.5)
    whole = [sorted(keys(all_of(alone.val_dataloader()))), sorted(keys(all_of(alone.test_dataloader())))]
    for one, other in zip(per_rank[0], per_rank[1]):
        assert len(one) == len(other)
        flat = [key for batches in (one, other) for batch in batches for key in batch]
        assert len(flat) == len(set(flat))
    for number, expected in zip((1, 2), whole):
        assert sorted(key for rank in (0, 1) for batch in per_rank[rank][number] for key in batch) == expected
    if memory_gib == 0.0:  # no rank reads a series that the other reads
        read = [{series for batch in per_rank[rank][0] for series, _ in batch} for rank in (0, 1)]
        assert not read[0] & read[1]


@pytest.mark.parametrize("memory_gib", [None, 0.0])
def test_goes_on_in_the_middle_of_an_epoch(converted: str, memory_gib: float | None) -> None:
    made = module(converted, memory_gib=memory_gib, block_mib=0.5)
    loader = made.train_dataloader()
    first = []
    for batch in loader:
        first.append(keys(batch))
        if len(first) == 3:
            state = loader.state_dict()
    again = module(converted, memory_gib=memory_gib, block_mib=0.5).train_dataloader()
    again.load_state_dict(state)
    assert [keys(batch) for batch in again] == first[3:]
    other = module(converted, memory_gib=memory_gib, block_mib=0.5, seed=5).train_dataloader()
    other.load_state_dict(state)
    with pytest.raises(LoaderStateError, match="seed was 42, is 5"):
        next(iter(other))


def test_a_checkpoint_brings_the_training_to_a_new_file(data: Any, path: str, tmp_path: Path) -> None:
    everywhere = ForecastOrigins(realizations=None)
    trained = module(path, forecasts=everywhere)
    trained.ensure_statistics()
    file = io.BytesIO()
    torch.save(trained.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    later = data.isel(time=slice(-60, None), lat=slice(1, 3))
    new = module(
        written(later, tmp_path / "later.nc"),
        periods=SplitPeriods(train=0, calibration=0, val=0, test=1),
        forecasts=everywhere,
    )
    new.load_state_dict(state)
    batch = all_of(new.predict_dataloader())
    expected = all_of(trained.predict_dataloader())
    at = [
        int(np.flatnonzero((trained.grid.index == place).all(1))[r])
        for r, place in zip(new.grid.realization, new.grid.index + np.array([1, 0]))
    ]
    for name in ("dynamic", "static", "thresholds", "year_fraction"):
        np.testing.assert_allclose(getattr(batch, name), getattr(expected, name)[at], atol=1e-5, err_msg=name)
    np.testing.assert_allclose(batch.target, expected.target[at], atol=1e-5)
    assert new.reference_forecasts is not None
    assert len(new.reference_forecasts.coefficient) == new.grid.cells
    moved = data.isel(time=slice(-60, None)).assign_coords(lat=data.lat + 5)
    strange = module(
        written(moved, tmp_path / "moved.nc"), periods=SplitPeriods(train=0, calibration=0, val=0, test=1)
    )
    strange.load_state_dict(state)
    with pytest.raises(SplitError, match=r"23 of 23 cells, such as 51.0000 N 10.0000 E.*5 years are needed"):
        strange.predict_dataloader()
    other = module(path, variables=HydroVariables(inputs=["precipitation"]))
    other.load_state_dict(state)
    with pytest.raises(VariableError, match="trained with inputs"):
        other.predict_dataloader()


def test_predict_gives_windows_that_end_on_the_days_asked_for(path: str, converted: str) -> None:
    assert len(all_of(module(path).predict_dataloader()).series) == 23
    made = module(path, forecasts=ForecastOrigins(realizations=None))
    last = all_of(made.predict_dataloader())
    assert set(last.start.tolist()) == {made.grid.axis.size - 40}
    assert len(last.series) == 46
    assert torch.isnan(last.target[:, 40:]).all()
    assert not torch.isnan(last.target[:, 39]).any()
    dates = ["2006-02-01", "2001-01-11"]
    for layout in (
        module(path, forecasts=ForecastOrigins(dates=dates, realizations=None)),
        module(converted, forecasts=ForecastOrigins(dates=dates, realizations=None), memory_gib=0.0),
    ):
        found = all_of(layout.predict_dataloader())
        assert found.start.tolist() == [-29] * 46 + [1857 - 39] * 46
        assert (found.dynamic[:46, :29] == 0).all()
        assert torch.isnan(found.target[:46, :29]).all()
        assert (found.dynamic[:46, 29:] != 0).any()
        assert not torch.isnan(found.thresholds).any()
    ranks = [
        all_of(module(path, (rank, 2), forecasts=ForecastOrigins(every=30)).predict_dataloader()).start
        for rank in (0, 1)
    ]
    assert ranks[0].max() < ranks[1].min()
    assert len(torch.cat(ranks).unique()) == 13
    with pytest.raises(SplitError, match="2001-01-01 to 2006-12-31"):
        module(path, forecasts=ForecastOrigins(dates=["2010-01-01"])).predict_dataloader()


def test_a_nowcast_has_no_climatology_and_no_target_among_its_inputs(path: str) -> None:
    made = module(path, anomaly=False, leads=[0], context=True)
    batch = next(iter(made.train_dataloader()))
    assert batch.thresholds.shape == (16, 40, 0)
    assert batch.target.shape == (16, 40)
    assert made.climatology is None
    assert made.reference_forecasts is None
    assert made.context_names == ["domain mean of " + name for name in made.dynamic_names]
    mean, deviation = made.target_scale or (0, 0)
    source = CellMajorSource if False else XarraySource
    raw = source(path, HydroVariables()).read(
        batch.series[:1].numpy(), int(batch.start[0]), int(batch.start[0]) + 40
    )
    np.testing.assert_allclose(batch.target[0] * deviation + mean, raw[0, :, 3], atol=1e-5)


def test_forecasts_of_the_weather_come_with_the_batch(data: Any, tmp_path: Path) -> None:
    with_weather = data.isel(realization=0)
    forecast = np.random.default_rng(3).normal(3, 2, (data.sizes["time"], 2, 4, 6)).astype(np.float32)
    forecast[7] = np.nan
    with_weather["rain"] = (("time", "weather_lead", "lat", "lon"), forecast)
    made = module(written(with_weather, tmp_path / "w.zarr"), variables=HydroVariables(weather=["rain"]))
    batch = all_of(made.train_dataloader())
    assert made.weather_names == ["rain"]
    assert batch.weather is not None
    assert batch.weather.shape == (100, 40, 2, 1)
    inside = (batch.start <= 7) & (batch.start > 7 - 40)
    assert torch.isnan(batch.weather).flatten(1).any(1).tolist() == inside.tolist()
    known = batch.weather[~torch.isnan(batch.weather)]
    assert abs(float(known.mean())) < 0.05
    assert abs(float(known.std()) - 1) < 0.05


def test_the_simulated_file_is_made_once_and_read_like_any_other(tmp_path: Path) -> None:
    simulator = AlpsSimulator(years=5, realizations=2, rows=3, columns=4)
    made = GriddedHydroDataModule(
        simulator=simulator, data_dir=str(tmp_path), **{**KNOBS, "periods": SplitPeriods()}
    )
    made.prepare_data()
    stamp = made.simulated_file.stat().st_mtime_ns
    made.setup()
    assert made.simulated_file.stat().st_mtime_ns == stamp
    assert made.grid.series == 24
    assert [file.name for file in tmp_path.iterdir()] == [made.simulated_file.name]
    assert next(iter(made.train_dataloader())).dynamic.shape == (16, 40, 3)


@pytest.mark.parametrize(
    ("knobs", "told"),
    [
        ({"batch": 0}, "batch, seq_length"),
        ({"samples_per_epoch": 0}, "at least 1, or null"),
        ({"warmup": 40}, "below seq_length=40"),
        ({"leads": [3, 1]}, "leads must rise"),
        ({"leads": [0, 1]}, "leads must rise"),
        ({"seed": -1}, "at least 0"),
    ],
)
def test_settings_are_checked_at_once(knobs: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        GriddedHydroDataModule(path="nowhere.nc", **{**KNOBS, **knobs})


def test_says_which_of_path_and_simulator_is_missing_and_what_setup_is_for() -> None:
    with pytest.raises(ValueError, match="either path"):
        GriddedHydroDataModule()
    with pytest.raises(RuntimeError, match="before setup"):
        _ = GriddedHydroDataModule(path="nowhere.nc").grid


def test_too_short_a_split_says_what_it_needs(path: str) -> None:
    with pytest.raises(SplitError, match=r"The 365 days of val are too few.*seq_length=400"):
        module(path, seq_length=400, samples_per_epoch=10).val_dataloader()


def test_values_that_cannot_be_are_named(data: Any, tmp_path: Path) -> None:
    for name, change, told in (
        ("temperature", lambda one: one + 273.15, "Kelvin need units 'K'"),
        (
            "precipitation",
            lambda one: one.where(one.time.dt.day != 3, -9999.0),
            "precipitation in millimetres",
        ),
        ("soil_moisture", lambda one: one.where(one.time.dt.day != 3, 1e20), "looks like a fill value"),
    ):
        other = data.isel(realization=0).copy()
        other[name] = change(other[name])
        made = module(written(other, tmp_path / f"{name}.nc"))
        with pytest.raises(VariableError, match=told):
            made.train_dataloader()


def test_a_map_with_a_single_time_is_a_map(data: Any, tmp_path: Path) -> None:
    other = data.isel(realization=0)
    maps = other[["elevation"]].expand_dims(time=other.time[:1])
    paths = [
        written(other.drop_vars(["elevation", "field_capacity"]), tmp_path / "series.nc"),
        written(maps, tmp_path / "maps.nc"),
    ]
    made = GriddedHydroDataModule(path=paths, variables=HydroVariables(statics=["elevation"]), **KNOBS)
    made.setup()
    np.testing.assert_array_equal(made.source.statics[:, 0], data.elevation.values.ravel()[:23])


def test_says_when_converting_pays(data: Any, tmp_path: Path) -> None:
    sizes = {str(name): {"chunks": (1, 500, 4, 6)} for name in data.data_vars if data[name].ndim == 4}
    made = module(written(data, tmp_path / "cube.zarr", **sizes), memory_gib=0.0, block_mib=0.5)
    with pytest.warns(UserWarning, match="hydro convert PATH --out FOLDER"):
        made.train_dataloader()
    assert made.source.reads_per_use() == pytest.approx(24 / 23)
