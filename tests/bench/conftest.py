from pathlib import Path

import pytest

from lightning_itwin.bench.plan import Plan, Workload, read_config

CONFIG = """\
seed_everything: 1
model:
  class_path: lightning.pytorch.demos.boring_classes.BoringModel
data:
  class_path: lightning.pytorch.demos.boring_classes.BoringDataModule
  init_args: {batch_size: 64}
trainer:
  limit_train_batches: 12
"""


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "boring.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def workload(config_file: Path) -> Workload:
    return Workload(
        name="boring",
        config=str(config_file),
        config_sha256=read_config(config_file).sha256,
        overrides=(),
        epochs=3,
        scaling="strong",
        batch_size_key=None,
        accelerator="cpu",
        threads_per_worker=1,
        country_iso_code=None,
    )


@pytest.fixture
def plan(workload: Workload) -> Plan:
    return Plan(workload=workload, strategies=("ddp", "deepspeed_stage_1"), workers=(1, 2), repeats=3)
