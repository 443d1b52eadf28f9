from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_itwin.datamodules.hydro.convert import convert
from lightning_itwin.datamodules.hydro.variables import HydroVariables
from lightning_itwin.datamodules.hydro.xarray_source import XarraySource
from tests.datamodules.hydro.cubes import cube, written


@pytest.mark.world
def test_two_processes_read_different_blocks_and_stay_in_step(tmp_path: Path) -> None:
    source = XarraySource(written(cube(rows=4, columns=6), tmp_path / "cube.nc"), HydroVariables())
    folder = convert(source, tmp_path / "cells")
    script = Path(__file__).with_name("world_training.py")
    told = subprocess.run(
        [sys.executable, str(script), str(folder), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    ranks = [json.loads((tmp_path / f"rank_{rank}.json").read_text(encoding="utf-8")) for rank in (0, 1)]
    assert [len(rank["train"]) for rank in ranks] == [50, 50]
    series = [{series for series, _ in rank["train"]} for rank in ranks]
    assert not series[0] & series[1]
    val = [tuple(window) for rank in ranks for window in rank["val"]]
    assert len(val) == len(set(val))
    assert {series for series, _ in val} == set(range(24))
