"""A user's journey: her own module, one command, a report; a second run; a rank that fails; Ctrl-C."""

import csv
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_itwin.optional import available

pytestmark = pytest.mark.world

BACKENDS = {"ddp": "torch", "deepspeed": "deepspeed", "horovod": "horovod.torch"}
STRATEGIES = [name for name, module in BACKENDS.items() if available(module)]
COLUMNS = [
    *("strategy", "workers", "repeats", "epoch_time_s", "epoch_time_low_s", "epoch_time_high_s"),
    *("speedup", "efficiency", "samples_per_s", "gpu_utilization_percent", "gpu_energy_wh"),
    *("communication_overhead_percent", "energy_kwh", "emissions_kg", "status"),
]
MODULE = """
    import os
    import time

    import torch
    from lightning.pytorch import LightningDataModule, LightningModule
    from torch.utils.data import DataLoader, TensorDataset


    class Regression(LightningModule):
        def __init__(self, width: int = 16, fail_on: str = "", wait_s: float = 0.0):
            super().__init__()
            layers = torch.nn.Linear(8, width), torch.nn.ReLU(), torch.nn.Linear(width, 1)
            self.net = torch.nn.Sequential(*layers)
            self.fail_on, self.wait_s = fail_on, wait_s

        def training_step(self, batch, batch_idx):
            time.sleep(self.wait_s)
            if self.fail_on == f"{type(self.trainer.strategy).__name__}:{self.global_rank}":
                raise FloatingPointError("the loss is NaN")
            x, y = batch
            return torch.nn.functional.mse_loss(self.net(x), y)

        def validation_step(self, batch, batch_idx):
            x, y = batch
            self.log("val_loss", torch.nn.functional.mse_loss(self.net(x), y), sync_dist=True)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.01)


    class Rows(LightningDataModule):
        def __init__(self, rows: int = 64, batch_size: int = 4):
            super().__init__()
            self.rows, self.batch_size = rows, batch_size

        def setup(self, stage):
            x = torch.randn(self.rows, 8, generator=torch.Generator().manual_seed(0))
            self.data = TensorDataset(x, x.sum(1, keepdim=True))

        def train_dataloader(self):
            return DataLoader(self.data, batch_size=self.batch_size)

        def val_dataloader(self):
            return DataLoader(self.data, batch_size=self.batch_size)
"""
CONFIG = """
    seed_everything: 1
    model:
      class_path: my_regression.Regression
      init_args: {width: 32}
    data:
      class_path: my_regression.Rows
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "my_regression.py").write_text(textwrap.dedent(MODULE))
    (folder / "my_cli.yaml").write_text(textwrap.dedent(CONFIG))
    return folder


def command(*arguments: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "lightning_itwin.bench",
        "--config",
        "my_cli.yaml",
        "--country",
        "ITA",
        *arguments,
    ]


def bench(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*arguments), cwd=project, capture_output=True, text=True, timeout=540, check=False
    )


def logs(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "logs").glob("*.log")}


def test_one_command_from_a_users_module_to_a_report(project: Path) -> None:
    arguments = ("--strategies", ",".join(STRATEGIES), "--repeats", "1", "--epochs", "2", "--output", "sweep")
    first = bench(project, *arguments)
    assert first.returncode == 0, first.stdout + first.stderr
    sweep = project / "sweep"
    rows = json.loads((sweep / "results.json").read_text())
    assert {(row["strategy"], row["workers"]) for row in rows} == {(s, w) for s in STRATEGIES for w in (1, 2)}
    for row in rows:
        assert list(row) == COLUMNS
        assert row["status"] == "ok"
        assert row["epoch_time_s"] > 0
        assert row["samples_per_s"] > 0
        assert row["gpu_energy_wh"] is None or row["gpu_energy_wh"] > 0
        assert row["energy_kwh"] is None or row["energy_kwh"] > 0
        assert 0 <= row["communication_overhead_percent"] <= 100
        assert row["workers"] == 2 or row["speedup"] == 1.0
    with open(sweep / "results.csv", newline="") as lines:
        assert [row["strategy"] for row in csv.DictReader(lines)] == [row["strategy"] for row in rows]
    assert "<script" in (sweep / "report.html").read_text()
    assert str(Path("sweep") / "report.html") in first.stdout
    assert "tensorboard --logdir" in first.stdout

    tags = EventAccumulator(str(sweep / "tensorboard" / "ddp-w2-r0")).Reload().Tags()["scalars"]
    for tag in (
        "epoch/time_s",
        "epoch/samples_per_s",
        "comm/overhead_percent",
        "data/wait_percent",
        "val_loss",
    ):
        assert tag in tags

    before = logs(sweep)
    second = bench(project, *arguments)
    assert second.returncode == 0, second.stdout + second.stderr
    assert logs(sweep) == before
    assert json.loads((sweep / "results.json").read_text()) == rows

    other = bench(project, *arguments, "--model.init_args.width", "64")
    assert other.returncode == 2
    assert "overrides" in other.stderr
    assert "--no-resume" in other.stderr


def test_a_rank_that_fails_is_a_failed_row_and_the_sweep_goes_on(project: Path) -> None:
    ended = bench(
        project,
        *(
            "--strategies",
            "ddp",
            "--workers",
            "1,2",
            "--repeats",
            "1",
            "--epochs",
            "1",
            "--output",
            "failing",
        ),
        *("--model.init_args.fail_on", "DDPStrategy:1"),
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "FloatingPointError: the loss is NaN" in ended.stderr
    rows = {row["workers"]: row for row in json.loads((project / "failing" / "results.json").read_text())}
    assert rows[1]["status"] == "ok"
    assert rows[2]["status"] == "failed"
    assert rows[2]["epoch_time_s"] is None
    assert "the loss is NaN" in (project / "failing" / "logs" / "ddp-w2-r0.log").read_text()


def test_what_cannot_be_built_is_said_before_any_training(project: Path) -> None:
    ended = bench(project, "--output", "wrong", "--model.init_args.depth", "3")
    assert ended.returncode == 2
    assert "depth" in ended.stderr
    assert not list((project / "wrong" / "records").glob("*"))


def test_an_interrupted_sweep_leaves_no_process_and_goes_on(project: Path) -> None:
    arguments = (
        "--strategies",
        "ddp",
        "--workers",
        "1",
        "--repeats",
        "2",
        "--epochs",
        "1",
        "--output",
        "stopped",
    )
    slow = ("--model.init_args.wait_s", "0.5")
    running = subprocess.Popen(
        command(*arguments, *slow), cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    outcomes = project / "stopped" / "records"
    deadline = time.monotonic() + 240
    while len(list(outcomes.glob("*/outcome.json"))) < 1 or not list(
        outcomes.glob("ddp-w1-r1/manifest.json")
    ):
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.kill(running.pid, signal.SIGINT)
    output, _ = running.communicate(timeout=60)
    assert running.returncode == 130, output
    assert "1 of 2 trainings are finished" in output
    mark = f"LIGHTNING_ITWIN_WORLD={running.pid}-".encode()
    assert not [pid for pid in Path("/proc").glob("[0-9]*/environ") if mark in _environment(pid)]
    first = (outcomes / "ddp-w1-r0" / "outcome.json").read_text()
    ended = bench(project, *arguments, *slow)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 trainings are finished already" in ended.stdout
    assert (outcomes / "ddp-w1-r0" / "outcome.json").read_text() == first


def _environment(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
