"""The preset virgo as its user has it: fit, test and predict, to the files that predict leaves."""

import logging
import sys

import h5py
import pytest

from lightning_itwin import presets
from lightning_itwin.cli import ItwinCLI


def run(command, folder, *more):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", sys.argv[:1])
        arguments = [
            *(command, "--config", str(presets.find("virgo"))),
            *("--data.init_args.data_dir", str(folder)),
            *("--data.init_args.simulator.duration_s", "256"),
            *("--model.init_args.folder", str(folder / "cleaned")),
            *("--trainer.accelerator", "cpu", "--trainer.logger", "false"),
            *("--trainer.default_root_dir", str(folder), "--trainer.max_epochs", "1"),
            *("--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"),
            *more,
        ]
        return ItwinCLI(args=arguments, save_config_callback=None)


def test_it_cleans_the_strain_and_leaves_files(tmp_path):
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    checkpoint = run("fit", tmp_path).trainer.checkpoint_callback.best_model_path
    tested = run("test", tmp_path, "--ckpt_path", checkpoint).trainer.callback_metrics
    assert tested["test/clean_range_mpc"] > tested["test/raw_range_mpc"] + 10
    assert tested["test/asd_ratio_in_band"] < 0.85
    run("predict", tmp_path, "--ckpt_path", checkpoint)
    made = {path.name for path in (tmp_path / "cleaned").iterdir()}
    assert any(name.endswith(".html") for name in made), made
    (cleaned,) = [path for path in (tmp_path / "cleaned").iterdir() if path.suffix in (".h5", ".hdf5")]
    with h5py.File(cleaned) as file:
        assert len(file) > 0
