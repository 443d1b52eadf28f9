"""EURAC's own sample: CERRA weather and wflow_sbm in the Adige basin, read as it was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import zarr

from lightning_itwin.datamodules.hydro import GriddedHydroDataModule, HydroVariables, SplitPeriods
from lightning_itwin.datamodules.hydro.convert import convert
from lightning_itwin.datamodules.hydro.open_source import open_source

SAMPLE = Path(__file__).parent / "fixtures" / "wflow_adige_40_cells.zarr"
VARIABLES = HydroVariables(
    inputs=["precip", "pet", "temp"], target="vwc", statics=["thetaS", "KsatVer", "Slope"]
)


def test_groups_compressed_cells_and_lists_of_names_are_read_as_they_are() -> None:
    source = open_source(str(SAMPLE), VARIABLES)
    group = zarr.open_group(str(SAMPLE), mode="r")
    grid, xd, y = source.grid, group["xd/xd"][...], group["y/y"][...]
    kept = np.flatnonzero(np.isfinite(y[:, :, 2]).any(axis=1))
    found = source.read(np.arange(grid.series), 0, grid.axis.size)
    np.testing.assert_array_equal(found[:, :, :3], xd[kept])
    assert np.isnan(
        found[:, 0, 3]
    ).all()  # the target begins a day later: by the values of the days, not their place
    np.testing.assert_array_equal(found[:, 1:, 3], y[kept, :, 2])
    assert (grid.axis.text(0), grid.axis.text(89)) == ("2001-01-01", "2001-03-31")
    assert grid.shape == (23, 63)
    assert grid.lat[0] > grid.lat[-1]
    cells = group["xd/gridcell"][...][kept]
    np.testing.assert_array_equal(grid.row * 63 + grid.column, cells)
    names = [str(name) for name in group["xs/feat"][...]]
    np.testing.assert_allclose(
        source.statics[:, 0], group["xs/xs"][...][kept, names.index("thetaS")], rtol=1e-6
    )
    assert source.columns.logarithms == ("precip",)


def test_the_usual_names_find_its_variables() -> None:
    source = open_source(str(SAMPLE), HydroVariables())
    chosen = open_source(str(SAMPLE), VARIABLES).read(np.arange(5), 0, 90)
    np.testing.assert_array_equal(source.read(np.arange(5), 0, 90), chosen[:, :, [0, 2, 1, 3]])


def test_a_nowcast_on_cells_that_are_held_out(tmp_path: Path) -> None:
    converted = convert(open_source(str(SAMPLE), VARIABLES), tmp_path / "cells")
    batches = []
    for path in (str(SAMPLE), str(converted)):
        module = GriddedHydroDataModule(
            path=path,
            variables=VARIABLES,
            periods=SplitPeriods(
                train=["2001-01", "2001-02"], calibration=0, val=["2001-03", "2001-03"], test=0
            ),
            seq_length=30,
            warmup=10,
            leads=[0],
            anomaly=False,
            block_split=2,
            samples_per_epoch=64,
            batch=64,
        )
        module.setup()
        train, val = next(iter(module.train_dataloader())), next(iter(module.val_dataloader()))
        assert not set(train.series.tolist()) & set(val.series.tolist())
        assert train.dynamic.shape == (64, 30, 3)
        assert train.static.shape == (64, 3)
        first = train.start == 0
        assert torch.isnan(train.target[first, 0]).all()
        assert not torch.isnan(train.target[:, 1:]).any()
        batches.append(train)
    assert torch.equal(batches[0].dynamic, batches[1].dynamic)
