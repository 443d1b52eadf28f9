import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch.cli import LightningCLI

from lightning_itwin import presets
from lightning_itwin.cli import ItwinCLI

DURATION_S = 200


def arguments(command, folder, *more):
    return [
        *(command, "--config", str(presets.find("virgo_denoiser"))),
        *("--data.init_args.data_dir", str(folder)),
        *("--data.init_args.simulator.duration_s", str(DURATION_S)),
        *("--trainer.accelerator", "cpu", "--trainer.logger", "false"),
        *("--trainer.default_root_dir", str(folder)),
        *("--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"),
        *more,
    ]


@pytest.fixture(scope="module", autouse=True)
def _no_command_line():
    # LightningCLI warns where it is given args beside those of pytest.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", sys.argv[:1])
        yield


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """The preset, trained for 3 epochs on 200 s by plain LightningCLI."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    folder = tmp_path_factory.mktemp("virgo")
    cli = LightningCLI(args=arguments("fit", folder, "--trainer.max_epochs", "3"), save_config_callback=None)
    return cli, folder


def test_it_removes_noise_that_it_has_not_seen(fitted):
    cli, _ = fitted
    (metrics,) = cli.trainer.test(cli.model, datamodule=cli.datamodule, verbose=False)
    assert metrics["test/noise_power_removed_fraction"] > 0.5  # 0.71 can be removed
    assert metrics["test/asd_ratio_in_band"] < 0.75
    validated = cli.trainer.callback_metrics
    assert {"test/loss", "test/asd_ratio_in_band", "test/noise_power_removed_fraction"} <= set(validated)


def test_it_predicts_noise_for_all_the_data(fitted):
    cli, _ = fitted
    predicted = torch.cat(cli.trainer.predict(cli.model, datamodule=cli.datamodule))
    windows = cli.datamodule.windows("all")
    assert predicted.shape == (len(windows), cli.datamodule.window)
    assert torch.isfinite(predicted).all()


def test_our_command_validates_and_tests_its_checkpoint(fitted, capsys):
    cli, folder = fitted
    checkpoint = cli.trainer.checkpoint_callback.best_model_path
    for command, part in (("validate", "val"), ("test", "test")):
        ItwinCLI(
            args=arguments(command, folder, "--ckpt_path", checkpoint, "--weights_only", "true"),
            save_config_callback=None,
        )
        assert f"{part}/noise_power_removed_fraction" in capsys.readouterr().out


def test_the_simulated_file_is_made_once(fitted):
    _, folder = fitted
    assert len(list(folder.glob("virgo_*.h5"))) == 1


_SCRIPT = """
import json, sys
from lightning.pytorch import Trainer
from lightning_itwin.datamodules import VirgoDataModule, VirgoSimulator
from lightning_itwin.models import VirgoDenoiser

checkpoint, folder, out = sys.argv[1:]
data = VirgoDataModule(folder, simulator=VirgoSimulator(duration_s=200.0), batch_size=4, whiten=True)
trainer = Trainer(strategy="ddp", devices=2, accelerator="cpu", logger=False, enable_progress_bar=False)
model = VirgoDenoiser.load_from_checkpoint(checkpoint, weights_only=True)
(metrics,) = trainer.test(model, datamodule=data, verbose=False)
if trainer.is_global_zero:
    open(out, "w").write(json.dumps(metrics))
"""


@pytest.mark.world
def test_two_processes_measure_what_one_does(fitted, tmp_path):
    cli, folder = fitted
    script, out = tmp_path / "world.py", tmp_path / "metrics.json"
    script.write_text(_SCRIPT)
    checkpoint = cli.trainer.checkpoint_callback.best_model_path
    subprocess.run(
        [sys.executable, str(script), checkpoint, str(folder), str(out)],
        timeout=180,
        check=True,
        env={"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin"},
    )
    world = json.loads(out.read_text())
    (alone,) = cli.trainer.test(cli.model, datamodule=cli.datamodule, verbose=False)
    # Lightning divides by the mean number of windows of a process, rounded down: 11 of 11.5
    assert world.pop("test/loss") == pytest.approx(alone.pop("test/loss") * 23 / 22, rel=1e-4)
    assert world == pytest.approx(alone, rel=1e-4)
