"""Two processes find what one finds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.forecasts.synthetic import batch, verification

ROOT = Path(__file__).parents[2]


@pytest.mark.world
def test_two_processes_find_what_one_finds(tmp_path: Path) -> None:
    target = tmp_path / "told.json"
    command = [sys.executable, "-m", "tests.forecasts.verify_in_world"]
    running = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / "store"), str(target)],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in running:
        _, told = process.communicate(timeout=180)
        assert process.returncode == 0, told[-3000:]
    metric = verification()
    metric.update(**batch().part(slice(None)))
    alone, found = metric.compute(), json.loads(target.read_text())
    for name, values in alone.columns().items():
        np.testing.assert_allclose(np.array(found[name], dtype=float), values, rtol=1e-9, err_msg=name)
    for name, values in alone.maps.items():
        np.testing.assert_allclose(
            np.array(found["maps"][name], dtype=float), values, rtol=1e-9, err_msg=name
        )
    assert found["latest"][0] == alone.latest_origin
    np.testing.assert_array_equal(np.array(found["latest"][1], dtype=np.float32), alone.latest_probability)
