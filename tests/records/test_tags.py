from __future__ import annotations

from pathlib import Path

import pytest

from lightning_itwin.records import tags

FIXED = {
    *("epoch/time_s", "epoch/samples_per_s"),
    *("gpu/utilization_percent", "gpu/power_w", "gpu/memory_gib", "gpu/temperature_c", "gpu/energy_wh"),
    *("comm/overhead_percent", "comm/exposed_s", "comm/total_s", "comm/hidden_s", "comm/wait_s"),
    *("data/wait_percent", "profiler/cost_percent"),
    *("carbon/energy_kwh", "carbon/emissions_kg", "carbon/measured_percent"),
}


def test_the_names_that_other_tools_rely_on() -> None:
    named = {value for name, value in vars(tags).items() if name.isupper() and isinstance(value, str)}
    assert named >= FIXED


def test_the_layout_shows_every_fixed_name_once() -> None:
    shown = [tag for charts in tags.LAYOUT.values() for _, names in charts.values() for tag in names]
    assert set(shown) >= FIXED
    assert len(shown) == len(set(shown))


def test_tensorboard_takes_the_layout(tmp_path: Path) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    with tensorboard.SummaryWriter(tmp_path) as writer:
        writer.add_custom_scalars(tags.LAYOUT)
    assert list(tmp_path.iterdir())
