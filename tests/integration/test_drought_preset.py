import numpy as np
import pytest
import torch

from lightning_itwin.cli import ItwinCLI

pytest.importorskip("zarr")
xarray = pytest.importorskip("xarray")
pytest.importorskip("netCDF4")

SMALL = {
    "data.init_args.simulator.years": 12,
    "data.init_args.simulator.realizations": 2,
    "data.init_args.simulator.rows": 2,
    "data.init_args.simulator.columns": 3,
    "data.init_args.periods.train": 0.4,
    "data.init_args.periods.calibration": 0.2,
    "data.init_args.periods.val": 0.2,
    "data.init_args.periods.test": 0.2,
    "data.init_args.samples_per_epoch": 128,
    "data.init_args.batch": 16,
    "trainer.max_epochs": 1,
    "trainer.accelerator": "cpu",
    "trainer.devices": 1,
    "trainer.num_sanity_val_steps": 0,
    "trainer.enable_progress_bar": "false",
    "trainer.logger": "false",
}


def arguments(command, folder, **more):
    given = {**SMALL, "data.init_args.data_dir": folder / "data", "trainer.default_root_dir": folder, **more}
    return [command, "--config", "drought", *(f"--{name}={value}" for name, value in given.items())]


def test_the_preset_goes_from_nothing_to_a_page_and_a_file(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    checkpoint = ItwinCLI(arguments("fit", tmp_path)).trainer.checkpoint_callback.best_model_path
    loaded = torch.load(checkpoint, weights_only=True)
    assert int(loaded["state_dict"]["calibration.step"]) == loaded["global_step"] == 8
    ItwinCLI(arguments("test", tmp_path, ckpt_path=checkpoint))
    page = (tmp_path / "verification" / "verification.html").read_text(encoding="utf-8")
    assert "CRPS" in page
    out = tmp_path / "forecasts.zarr"
    path = {"model.init_args.forecasts.path": out, "ckpt_path": checkpoint}
    ItwinCLI(arguments("predict", tmp_path, **path))
    with xarray.open_zarr(out, decode_timedelta=False) as file:
        assert dict(file.sizes) | {"lead": 8, "quantile": 7, "lat": 2, "lon": 3} == dict(file.sizes)
        assert list(file["lead"].values) == [1, 3, 7, 14, 21, 30, 45, 60]
        assert bool(np.isfinite(file["soil_moisture"].values).all())
        assert bool((np.diff(file["soil_moisture_anomaly"].transpose(..., "quantile").values) >= 0).all())
        assert set(np.unique(file["warning_level"].values)) <= {0, 1, 2, 3}
