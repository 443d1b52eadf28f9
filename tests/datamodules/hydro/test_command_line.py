from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lightning_itwin.datamodules.hydro.__main__ import main
from lightning_itwin.datamodules.hydro.open_source import open_source
from lightning_itwin.datamodules.hydro.variables import HydroVariables
from tests.datamodules.hydro.cubes import cube, values, written

SMALL = {"days": 60, "rows": 3, "columns": 4}


def test_simulates_inspects_and_converts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = ["--years", "1", "--realizations", "1", "--rows", "3", "--columns", "4"]
    file = str(tmp_path / "alps.nc")
    assert main(["simulate", *size, "--out", file, "--dry-run"]) == 0
    assert "12 series" in capsys.readouterr().out
    assert not Path(file).exists()
    assert main(["simulate", *size, "--out", file]) == 0
    assert main(["inspect", file]) == 0
    assert "soil_moisture [m3 m-3]" in capsys.readouterr().out
    assert main(["convert", file, "--out", str(tmp_path / "cells"), "--dry-run"]) == 0
    assert not (tmp_path / "cells").exists()
    assert main(["convert", file, "--out", str(tmp_path / "cells")]) == 0
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "cells")]) == 0
    told = capsys.readouterr().out
    assert "3 x 4, 12 cells with soil_moisture, 1 realizations" in told
    assert "12 series over the last 365 days" in told
    assert "0.0% missing" in told


def test_converts_what_is_named(tmp_path: Path) -> None:
    data = cube(**SMALL)
    for year in (0, 1):
        written(data.isel(time=slice(30 * year, 30 * year + 30)), tmp_path / f"cube_{year}.nc")
    names = ["--variables.inputs", "[temperature, precipitation]", "--variables.target", "soil_moisture"]
    given = [str(tmp_path / "cube_*.nc"), "--out", str(tmp_path / "cells"), "--memory_mib", "0.01", *names]
    assert main(["convert", *given]) == 0
    source = open_source(tmp_path / "cells", HydroVariables(inputs=["temperature", "precipitation"]))
    np.testing.assert_array_equal(source.read(np.arange(12), 0, 60), values(data)[:, :, [1, 0, 3]])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["inspect", "nowhere.nc"], "There is no file 'nowhere.nc'"),
        (["convert", "nowhere.nc", "--out", "cells"], "There is no file"),
        (
            [
                "simulate",
                "--years",
                "1",
                "--realizations",
                "1",
                "--rows",
                "3",
                "--columns",
                "4",
                "--out",
                "x.csv",
            ],
            ".zarr",
        ),
    ],
)
def test_errors_are_told_without_a_trace(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert told in error


def test_names_what_the_files_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(cube(**SMALL), tmp_path / "cube.nc")
    assert main(["convert", file, "--out", str(tmp_path / "cells"), "--variables.target", "snow"]) == 2
    assert "no variable 'snow'" in capsys.readouterr().err
    assert not (tmp_path / "cells.partial").exists()
