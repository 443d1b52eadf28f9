"""ItwinCLI: what it adds to LightningCLI."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lightning_itwin.cli import ItwinCLI

CONFIG = """
model:
  class_path: lightning.pytorch.demos.boring_classes.BoringModel
data:
  class_path: lightning.pytorch.demos.boring_classes.BoringDataModule
trainer: {logger: false, accelerator: cpu}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "argv", sys.argv[:1])  # LightningCLI warns where pytest has arguments
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(("more", "wanted"), [([], "highest"), (["high"], "high")])
def test_a_config_says_how_float32_products_are_taken(config: str, more: list[str], wanted: str) -> None:
    torch.set_float32_matmul_precision("highest")
    words = [word for name in more for word in ("--float32_matmul_precision", name)]
    ItwinCLI(args=["--config", config, *words], run=False, save_config_callback=None)
    assert torch.get_float32_matmul_precision() == wanted


def test_another_precision_is_refused_with_those_there_are(config: str) -> None:
    command = [sys.executable, "-m", "lightning_itwin", "fit", "--config", config]
    ended = subprocess.run(
        [*command, "--float32_matmul_precision", "tf32"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "tf32" in ended.stderr
    assert "'highest', 'high', 'medium'" in ended.stderr


STOPPED = """
import os, signal
from lightning.pytorch.demos.boring_classes import BoringModel

class Stopped(BoringModel):
    def training_step(self, batch, batch_idx):
        os.kill(os.getpid(), signal.SIGTERM)
        return super().training_step(batch, batch_idx)
"""


def test_a_training_that_was_told_to_stop_is_no_success(config: str, tmp_path: Path) -> None:
    (tmp_path / "stopped.py").write_text(STOPPED, encoding="utf-8")
    command = [sys.executable, "-m", "lightning_itwin", "fit", "--config", config]
    ended = subprocess.run(
        [*command, "--model", "stopped.Stopped"],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
    )
    assert ended.returncode == 128 + signal.SIGTERM
