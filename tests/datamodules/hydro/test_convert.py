from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from lightning_itwin.datamodules.hydro.cell_major import CellMajorSource, ConvertedFileError
from lightning_itwin.datamodules.hydro.convert import ConversionError, convert, fingerprint
from lightning_itwin.datamodules.hydro.open_source import open_source
from lightning_itwin.datamodules.hydro.variables import HydroVariables, VariableError
from lightning_itwin.datamodules.hydro.xarray_source import XarraySource
from tests.datamodules.hydro.cubes import cube, values, written

SMALL = {"days": 60, "rows": 3, "columns": 4}


def source(folder: Path, chunks: tuple[int, int, int] | None = None, **settings: Any) -> XarraySource:
    data = cube(**SMALL)
    sizes = {str(name): {"chunks": chunks} for name in data.data_vars if data[name].ndim == 3 and chunks}
    return XarraySource(written(data, folder / "cube.zarr", **sizes), HydroVariables(**settings))


@pytest.mark.parametrize("chunks", [(60, 2, 2), (1, 3, 4)])
@pytest.mark.parametrize("memory_mib", [0.002, 100.0])
def test_a_converted_folder_holds_the_same(
    tmp_path: Path, chunks: tuple[int, int, int], memory_mib: float
) -> None:
    before = source(tmp_path, chunks)
    told: list[tuple[int, int]] = []
    folder = convert(before, tmp_path / "cells", memory_mib, lambda done, of: told.append((done, of)))
    after = open_source(str(folder), HydroVariables())
    assert isinstance(after, CellMajorSource)
    every = np.arange(12)
    np.testing.assert_array_equal(after.read(every, 0, 60), values(cube(**SMALL)))
    np.testing.assert_array_equal(after.statics, before.statics)
    assert after.columns == before.columns
    assert after.grid.axis == before.grid.axis
    np.testing.assert_array_equal(after.grid.index, before.grid.index)
    assert told[-1][0] == told[-1][1] == len(told)
    with xr.open_zarr(folder, chunks=None, consolidated=False) as opened:  # by any reader of Zarr
        np.testing.assert_array_equal(opened["values"].values, values(cube(**SMALL)))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cells", "cube.zarr"]


def test_reads_any_series_and_days_and_fewer_columns(tmp_path: Path) -> None:
    folder = convert(source(tmp_path), tmp_path / "cells")
    series = np.array([0, 3, 4, 5, 11])
    whole = values(cube(**SMALL))[series, 7:19]
    np.testing.assert_array_equal(CellMajorSource(folder, HydroVariables()).read(series, 7, 19), whole)
    some = HydroVariables(
        inputs=["soil_moisture", "potential_evapotranspiration"],
        target="temperature",
        statics=["field_capacity"],
    )
    chosen = CellMajorSource(folder, some)
    np.testing.assert_array_equal(chosen.read(series, 7, 19), whole[:, :, [3, 2, 1]])
    assert chosen.statics.shape == (12, 1)
    assert chosen.columns.logarithms == ()
    with pytest.raises(VariableError, match="converted without 'snow'"):
        CellMajorSource(folder, HydroVariables(inputs=["snow"]))
    with pytest.raises(VariableError, match="its cells were chosen then"):
        open_source(str(folder), HydroVariables(mask="lake"))


def test_goes_on_after_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = source(tmp_path)
    variables = HydroVariables()
    made_from = fingerprint(str(tmp_path / "cube.zarr"), variables)

    def stop(done: int, of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(before, tmp_path / "cells", 0.002, stop, made_from)
    assert not (tmp_path / "cells").exists()
    with pytest.raises(ConvertedFileError, match="stopped"):
        open_source(str(tmp_path / "cells.partial"), variables)
    read: list[int] = []
    whole = XarraySource.read
    monkeypatch.setattr(XarraySource, "read", lambda *given: (read.append(given[2]), whole(*given))[1])
    told: list[int] = []
    convert(before, tmp_path / "cells", 0.002, lambda done, of: told.append(of), made_from)
    assert len(read) == told[0] - 2
    found = CellMajorSource(tmp_path / "cells", variables).read(np.arange(12), 0, 60)
    np.testing.assert_array_equal(found, values(cube(**SMALL)))


def test_another_conversion_is_not_gone_on_with(tmp_path: Path) -> None:
    before = source(tmp_path)

    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(before, tmp_path / "cells", 0.002, stop)
    with pytest.raises(ConversionError, match="another conversion"):
        convert(before, tmp_path / "cells", 100.0)
    (tmp_path / "there").mkdir()
    with pytest.raises(ConversionError, match="is there already"):
        convert(before, tmp_path / "there")


def test_says_so_when_the_disk_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("lightning_itwin.datamodules.hydro.convert.shutil.disk_usage", lambda path: usage)
    with pytest.raises(ConversionError, match=r"takes 0.00 GB, but only 0.00 GB"):
        convert(source(tmp_path), tmp_path / "cells")


def test_says_so_when_files_are_missing_or_cut_off(tmp_path: Path) -> None:
    folder = convert(source(tmp_path), tmp_path / "cells")
    file = folder / "values" / "c" / "0" / "0" / "0"
    os.truncate(file, 100)
    with pytest.raises(ConvertedFileError, match="cut off"):
        CellMajorSource(folder, HydroVariables()).read(np.arange(12), 0, 60)
    file.unlink()
    with pytest.raises(ConvertedFileError, match=r"1 files .* are missing"):
        CellMajorSource(folder, HydroVariables())
