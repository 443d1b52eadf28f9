import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("nflows")
pytest.importorskip("bilby")
h5py = pytest.importorskip("h5py")

from lightning_itwin import presets  # noqa: E402
from lightning_itwin.cli import ItwinCLI  # noqa: E402

FEW = {"train_events": 64, "val_events": 32, "test_events": 24}
TINY = {
    "gw": {
        "model.init_args.embedding.kind": "folded_lean",
        "model.init_args.embedding.width": 4,
        "model.init_args.flow.hidden_features": 16,
        "model.init_args.flow.num_flow_steps": 2,
        "model.init_args.posteriors.num_test_samples": 20,
        "data.init_args.batch_size": 4,
        **{f"data.init_args.events.{name}": 8 for name in FEW},
    },
    "gw_small": {
        "model.init_args.posteriors.num_test_samples": 50,
        "model.init_args.posteriors.weighed_test_events": 2,
        "model.init_args.posteriors.num_samples": 100,
        "data.init_args.batch_size": 16,
        "data.init_args.events.bank_events": 40,
        **{f"data.init_args.events.{name}": number for name, number in FEW.items()},
    },
}
TINY["gw_ligo"] = TINY["gw_small"] | {"data.init_args.events.bank_events": 60}


def arguments(command, preset, folder, **more):
    settings = {
        **TINY[preset],
        "trainer.max_epochs": 1,
        "trainer.accelerator": "cpu",
        "trainer.logger": False,
        "trainer.default_root_dir": folder,
        "trainer.enable_progress_bar": False,
        "trainer.enable_model_summary": False,
        **more,
    }
    given = [
        word for name, value in settings.items() for word in (f"--{name}", json.dumps(value, default=str))
    ]
    return [command, "--config", str(presets.find(preset)), *(word.strip('"') for word in given)]


def run(command, preset, folder, **more):
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", sys.argv[:1])  # LightningCLI warns where pytest has arguments
        return ItwinCLI(args=arguments(command, preset, folder, **more), save_config_callback=None)


def checkpoint_of(cli):
    return {"ckpt_path": cli.trainer.checkpoint_callback.best_model_path, "weights_only": True}


def test_the_reference_system_trains_and_tests(tmp_path):
    cli = run("fit", "gw", tmp_path)
    assert len(cli.model.names) == 14
    assert cli.model.network.embedding.shape == (256, 256)
    cli = run("test", "gw", tmp_path, **checkpoint_of(cli))
    assert {"test/loss", "test/pp_p_value"} <= set(cli.trainer.callback_metrics)


def test_the_small_preset_trains_tests_and_predicts(tmp_path, capsys):
    checkpoint = checkpoint_of(run("fit", "gw_small", tmp_path))
    cli = run("test", "gw_small", tmp_path, **checkpoint)
    assert "test/efficiency_median" in cli.trainer.callback_metrics
    assert (tmp_path / "calibration" / "pp.png").is_file()
    more = {
        "trainer.limit_predict_batches": 1,
        "data.init_args.batch_size": 2,
        "model.init_args.posteriors.figures": False,
        "model.init_args.posteriors.file_format": "json",
    }
    run("predict", "gw_small", tmp_path, **checkpoint, **more)
    assert (tmp_path / "posteriors" / "test_000001.json").is_file()
    told = capsys.readouterr().out
    assert "truth" in told
    assert "weighed by the likelihood" in told


@pytest.fixture
def real_events(tmp_path):
    """Two events as the preset names them, in files of white noise."""
    events = []
    for seed, (name, gps_time_s) in enumerate({"GW150914": 1126259462.4, "GW170104": 1167559936.6}.items()):
        files = {}
        for detector in ("H1", "L1"):
            path = files[detector] = str(tmp_path / f"{name}_{detector}.hdf5")
            random = np.random.default_rng([seed, ord(detector[0])])
            with h5py.File(path, "w") as file:
                strain = file.create_dataset("strain/Strain", data=1e-21 * random.standard_normal(32 * 1024))
                strain.attrs["Xspacing"] = 1 / 1024
                strain.attrs["Xstart"] = file["meta/GPSstart"] = int(gps_time_s) - 16
                file["meta/Detector"] = detector
                file["quality/simple/DQShortnames"] = np.array([b"DATA", b"CBC_CAT1", b"CBC_CAT2"])
                file["quality/simple/DQmask"] = np.full(32, 7, np.uint32)
        events.append({"name": name, "gps_time_s": gps_time_s, "files": files})
    return {"data.init_args.real_events": events}


def test_the_ligo_preset_reads_real_events(tmp_path, capsys, real_events):
    cli = run("fit", "gw_ligo", tmp_path, **real_events)
    assert cli.datamodule.observation.num_psds == 2
    more = {"model.init_args.posteriors.figures": False}
    run("predict", "gw_ligo", tmp_path, **checkpoint_of(cli), **real_events, **more)
    told = capsys.readouterr().out
    assert "GW170104" in told
    assert "published" in told
    summary = json.loads((tmp_path / "posteriors" / "GW150914.summary.json").read_text())
    assert set(summary["intervals_of_the_flow"]) == set(summary["intervals"])


def test_missing_files_of_real_events_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="H-H1_LOSC_4_V2-1126259446-32"):
        run("fit", "gw_ligo", tmp_path)


_SCRIPT = """
import json, sys
import torch
from lightning.pytorch import Trainer
from lightning_itwin.models import GWFlow
from tests.models.gw_toy import ToyData

torch.set_num_threads(1)
checkpoint, folder = sys.argv[1:]
trainer = Trainer(
    strategy="ddp", devices=2, accelerator="cpu", logger=False, enable_progress_bar=False,
    default_root_dir=folder, max_epochs=4, enable_model_summary=False,
)
model = GWFlow.load_from_checkpoint(checkpoint, weights_only=True)
(metrics,) = trainer.test(model, datamodule=ToyData(33), verbose=False)
trainer.fit(model, datamodule=ToyData(64))
if trainer.is_global_zero:
    print(json.dumps({"fitted": float(trainer.callback_metrics["val/loss"]), **metrics}))
"""


@pytest.mark.world
def test_two_processes_train_and_put_their_ranks_together(tmp_path):
    from lightning.pytorch import Trainer

    from lightning_itwin.models import GWFlow
    from lightning_itwin.models.gw_embedding import EmbeddingSettings
    from lightning_itwin.models.gw_settings import FlowSettings
    from tests.models.gw_toy import ToyData

    sizes = EmbeddingSettings(
        kind="svd", context_features=8, svd_components=8, hidden_features=16, num_blocks=1
    )
    small = FlowSettings(hidden_features=16, num_blocks=1, num_flow_steps=2)
    trainer = Trainer(max_epochs=1, accelerator="cpu", logger=False, default_root_dir=tmp_path)
    trainer.fit(GWFlow(sizes, small), datamodule=ToyData(64))
    script = tmp_path / "world.py"
    script.write_text(_SCRIPT)
    told = subprocess.run(
        [sys.executable, str(script), trainer.checkpoint_callback.best_model_path, str(tmp_path / "two")],
        timeout=180,
        check=True,
        capture_output=True,
        text=True,
        env={"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin"},
    ).stdout
    metrics = json.loads(told.strip().splitlines()[-1])
    assert np.isfinite(metrics["fitted"])
    ranks = np.genfromtxt(tmp_path / "two" / "calibration" / "ranks.csv", delimiter=",", names=True)
    assert len(ranks) == 34  # torch's own sampler gives one of 33 events twice
