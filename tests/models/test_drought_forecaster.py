import dataclasses
import logging
import math
import warnings

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint

from lightning_itwin.models.drought_conditions import HydroDataDifferError
from lightning_itwin.models.drought_forecaster import DroughtForecaster
from lightning_itwin.models.drought_settings import ForecastSettings, NetworkSettings, TrainingSettings
from tests.models.drought_toy import HISTORIES, LEVELS, ToyHydro

NETWORK = NetworkSettings(
    trunk_size=24, memory_inputs=4, static_features=4, memory_days=(2.0, 20.0), levels=tuple(LEVELS)
)
TRAINING = TrainingSettings(steps_per_window=6, warmup_steps=10)
FORECASTS = ForecastSettings(calibration_every=5, verify_every=10)


def made(**changed):
    seed_everything(0, verbose=False)
    arguments = {"hidden_size": 8, "learning_rate": 1e-2, "network": NETWORK, "training": TRAINING}
    return DroughtForecaster(**{**arguments, "forecasts": FORECASTS, **changed})


def trainer(folder, **changed):
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
        "num_sanity_val_steps": 1,
    }
    return Trainer(
        **{"default_root_dir": folder, "max_epochs": 1, "log_every_n_steps": 1, **quiet, **changed}
    )


@pytest.fixture(scope="module")
def data():
    torch.set_num_threads(1)
    return ToyHydro()


@pytest.fixture(scope="module")
def fitted(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("drought")
    runner, model = trainer(folder, limit_train_batches=120), made()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runner.fit(model, datamodule=data)
    return runner, model, runner.checkpoint_callback.best_model_path


def batch_of(data, split="test"):
    return data.cut(*map(list, zip(*data.windows(split)[-12:])))


def test_it_learns_and_says_how_well(fitted):
    metrics = fitted[0].callback_metrics
    wanted = {"train/loss", "val/loss", "val/crps", "val/rmse/lead_05", "val/coverage_80/lead_20"}
    wanted |= {
        f"val/skill_{name}/lead_{lead:02d}"
        for name in ("climatology", "damped_persistence")
        for lead in (1, 5, 20)
    }
    assert wanted <= set(metrics)
    assert metrics["val/skill_climatology/lead_01"] > 0.6
    assert metrics["val/skill_damped_persistence/lead_01"] > -0.1
    assert 0.6 < metrics["val/coverage_80"] < 0.95


def test_a_checkpoint_forecasts_without_a_datamodule(fitted, data):
    model = DroughtForecaster.load_from_checkpoint(fitted[2], weights_only=True)
    assert model.hparams["_class_path"] == "lightning_itwin.models.DroughtForecaster"
    assert model.calibration.is_ready
    assert int(model.calibration.step) == fitted[1].global_step
    batch = batch_of(data)
    found, expected = model.eval().forecast(batch), fitted[1].eval().forecast(batch)
    for one, other in zip(found, expected):
        torch.testing.assert_close(one, other)
    assert found.quantiles.shape == (12, 3, 7)
    assert found.probability_below.shape == (12, 3, 3)
    assert bool((found.quantiles.diff(dim=-1) >= 0).all())
    assert bool((found.probability_below.diff(dim=-1) <= 0).all())  # P20 before P10 before P5
    assert found.origin.tolist() == (batch.start + 59).tolist()
    assert model.forecast(batch, levels=[0.1, 0.9]).quantiles.shape == (12, 3, 2)


def test_the_calibration_is_of_the_weights_in_the_file(fitted, data, tmp_path):
    """Checkpoints of the middle of an epoch have none of theirs: it is made anew, with a word."""
    keep = ModelCheckpoint(tmp_path, every_n_train_steps=7, save_top_k=-1)
    model = made()
    trainer(tmp_path, callbacks=[keep], max_steps=20, limit_val_batches=1, val_check_interval=10).fit(
        model, datamodule=data
    )
    files = sorted(tmp_path.glob("*.ckpt"))
    assert files
    loaded = torch.load(files[0], weights_only=True)
    assert int(loaded["state_dict"]["calibration.step"]) != loaded["global_step"]
    with pytest.warns(UserWarning, match=r"it is calibrated now, on the datamodule's period"):
        trainer(tmp_path).predict(model, datamodule=data, ckpt_path=str(files[0]), weights_only=True)
    assert model.calibration.is_ready
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*calibrated.*")
        trainer(tmp_path).predict(model, datamodule=data, ckpt_path=fitted[2], weights_only=True)


def test_every_validation_calibrates(data, tmp_path):
    keep = ModelCheckpoint(tmp_path, save_top_k=-1, monitor="val/loss")
    trainer(tmp_path, callbacks=[keep], max_epochs=2, limit_train_batches=6).fit(made(), datamodule=data)
    for file in tmp_path.glob("*.ckpt"):
        loaded = torch.load(file, weights_only=True)
        assert int(loaded["state_dict"]["calibration.step"]) == loaded["global_step"]


def test_without_a_period_it_says_that_there_is_no_calibration(tmp_path):
    data = ToyHydro(calibration=False)
    model = made()
    with pytest.warns(UserWarning, match="not calibrated: The period of calibration has no day"):
        trainer(tmp_path, limit_train_batches=2).fit(model, datamodule=data)
    assert not model.calibration.is_ready
    batch = batch_of(data)
    raw = model.eval()(batch, torch.tensor([59]))[:, 0]
    torch.testing.assert_close(model.forecast(batch).quantiles, raw)


def test_test_verifies_and_predict_writes(fitted, data, tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("netCDF4")
    _, model, checkpoint = fitted
    runner = trainer(tmp_path)
    found = runner.test(model, datamodule=data, ckpt_path=checkpoint, verbose=False, weights_only=True)[0]
    assert (tmp_path / "verification" / "verification.html").is_file()
    assert found["test/skill_climatology/lead_01"] > 0.5
    assert "test/brier_skill_p20_climatology/lead_05" in found
    forecasts = runner.predict(model, datamodule=data)
    assert len(forecasts) == 1
    with xarray.open_dataset(tmp_path / "forecasts.nc", decode_timedelta=False) as file:
        assert file.sizes["quantile"] == 7
        assert file.sizes["lead"] == 3
        below = file["probability_below_p20"].values
        assert below.shape[0] == HISTORIES
        assert np.isfinite(below).all()
        assert set(np.unique(file["warning_level"].values)) <= {0, 1, 2, 3}
        anomaly = file["soil_moisture_anomaly"].values.reshape(HISTORIES, 2, 3, 7, 3)
    expected = forecasts[0].quantiles.view(2, HISTORIES, 3, 3, 7).permute(1, 0, 3, 4, 2).numpy()
    np.testing.assert_allclose(anomaly, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "changed",
    [
        {"learning_rate": 1e-3},
        {"hidden_size": 4},
        {"dropout": 0.4},
        {"head": "gaussian"},
        {"head": "cmal"},
        {"encoder": "ea_lstm"},
        {"encoder": "none"},
        {"network": dataclasses.replace(NETWORK, observe_target=False)},
        {"network": dataclasses.replace(NETWORK, memory_days=())},
        {"network": dataclasses.replace(NETWORK, trunk_layers=0)},
        {"training": dataclasses.replace(TRAINING, steps_per_window=None)},
        {"training": dataclasses.replace(TRAINING, schedule="constant", warmup_steps=1)},
        {"training": dataclasses.replace(TRAINING, gradient_clip=1e-3)},
        {"training": dataclasses.replace(TRAINING, weight_decay=0.9)},
        {"training": dataclasses.replace(TRAINING, loss="mse")},
    ],
    ids=lambda changed: ", ".join(f"{name}" for name in changed),
)
def test_each_setting_changes_training(changed, data, tmp_path):
    def loss(**more):
        runner, model = (
            trainer(tmp_path, limit_train_batches=4, limit_val_batches=3, num_sanity_val_steps=0),
            made(**more),
        )
        model.forecast_settings = dataclasses.replace(FORECASTS, calibrate=False)
        runner.fit(model, datamodule=data)
        return float(runner.callback_metrics["val/crps"])

    if "first" not in _FIRST:
        _FIRST["first"] = loss()
    found = loss(**changed)
    assert math.isfinite(found)
    assert found != _FIRST["first"]


_FIRST: dict[str, float] = {}


def test_a_nowcast_is_the_surrogate_of_the_predecessor(tmp_path):
    data = ToyHydro(leads=(0,), anomaly=False, context=False)
    model = DroughtForecaster(mode="nowcast", hidden_size=8, learning_rate=1e-2)
    assert model.loss == "rmse"
    runner = trainer(tmp_path, limit_train_batches=60)
    runner.fit(model, datamodule=data)
    assert "val/crps" in runner.callback_metrics
    assert runner.callback_metrics["val/rmse"] < 0.6  # of a deviation of about 1
    found = runner.test(model, datamodule=data, verbose=False)[0]
    assert found["test/rmse"] < 0.6
    assert (tmp_path / "verification" / "verification.html").is_file()
    assert runner.predict(model, datamodule=data)[0].quantiles.shape == (12, 1, 1)
    assert (tmp_path / "forecasts.nc").is_file()
    batch = batch_of(data)
    assert model(batch).shape == (12, 30, 1, 1)
    # the target is no input, and windows may have another length
    with torch.no_grad():
        unknown = batch._replace(target=torch.full_like(batch.target, torch.nan))
        assert torch.equal(model(batch), model(unknown))
        short = batch._replace(
            dynamic=batch.dynamic[:, 20:],
            context=batch.context[:, 20:],
            year_fraction=batch.year_fraction[:, 20:],
        )
        assert model(short, torch.tensor([39])).shape == (12, 1, 1, 1)
    spread = DroughtForecaster(
        mode="nowcast", head="gaussian", training=TrainingSettings(loss="nll"), forecasts=FORECASTS
    )
    trainer(tmp_path, limit_train_batches=3).fit(spread, datamodule=data)
    assert spread(batch).shape == (12, 30, 1, 23)


def test_a_weather_forecast_helps(tmp_path):
    scores = []
    for weather in (False, True):
        data, model = (
            ToyHydro(weather=weather),
            made(forecasts=dataclasses.replace(FORECASTS, calibrate=False)),
        )
        runner = trainer(tmp_path, limit_train_batches=100)
        runner.fit(model, datamodule=data)
        scores.append(float(runner.callback_metrics["val/skill_climatology/lead_01"]))
    assert scores[1] > scores[0] + 0.02


def test_other_data_are_refused(fitted, data, tmp_path):
    for other, message in (
        (ToyHydro(leads=(1, 5)), "leads: the model was trained with"),
        (ToyHydro(context=False), "context_names"),
        (ToyHydro(anomaly=False), "anomaly"),
    ):
        with pytest.raises(HydroDataDifferError, match=message):
            trainer(tmp_path).validate(fitted[1], datamodule=other)
        with pytest.raises(HydroDataDifferError, match=message):
            trainer(tmp_path).fit(made(), datamodule=other, ckpt_path=fitted[2], weights_only=True)
    with pytest.raises(ValueError, match="mode='nowcast' and leads"):
        trainer(tmp_path).fit(made(mode="nowcast"), datamodule=data)
    with pytest.raises(ValueError, match="learned from the datamodule"):
        trainer(tmp_path).fit(made(), train_dataloaders=data.train_dataloader())
    with pytest.raises(ValueError, match="none of DroughtForecaster's"):
        made().on_load_checkpoint({})
    with pytest.raises(RuntimeError, match="does not know its data"):
        made()(batch_of(data))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mode": "hindcast"}, "'forecast' or 'nowcast'"),
        ({"head": "gmm"}, "'gaussian' or 'point'"),
        ({"encoder": "gru"}, "one of"),
        ({"hidden_size": 0}, "hidden_size must be"),
        ({"dropout": 1.0}, "dropout from 0"),
        ({"learning_rate": 0.0}, "learning_rate above 0"),
        ({"training": TrainingSettings(loss="nll")}, r"has the losses \['crps'"),
        ({"encoder": "none", "network": NetworkSettings(memory_days=())}, "needs memory_days"),
    ],
)
def test_settings_that_cannot_be_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        made(**changed)


@pytest.mark.parametrize(
    ("kind", "changed", "message"),
    [
        (NetworkSettings, {"trunk_size": 0}, "trunk_size"),
        (NetworkSettings, {"memory_inputs": -1}, "memory_inputs"),
        (NetworkSettings, {"memory_days": (0.0,)}, "memory_days"),
        (NetworkSettings, {"levels": (0.5, 0.1)}, "levels must rise"),
        (NetworkSettings, {"levels": (0.1, 0.9)}, "the median"),
        (TrainingSettings, {"loss": "mae"}, "loss must be"),
        (TrainingSettings, {"schedule": "linear"}, "schedule must be"),
        (TrainingSettings, {"steps_per_window": 0}, "steps_per_window"),
        (TrainingSettings, {"warmup_steps": -1}, "warmup_steps"),
        (ForecastSettings, {"format": "grib"}, "format must be"),
        (ForecastSettings, {"verify_every": 0}, "verify_every"),
        (ForecastSettings, {"levels": (0.0, 0.5)}, "levels must rise"),
    ],
)
def test_values_of_settings_that_cannot_be_are_refused(kind, changed, message):
    with pytest.raises(ValueError, match=message):
        kind(**changed)


@pytest.mark.gpu
def test_it_trains_tests_and_predicts_on_a_gpu(tmp_path):
    data, model = ToyHydro(weather=True), made()
    runner = trainer(tmp_path, accelerator="gpu", devices=1, limit_train_batches=10)
    runner.fit(model, datamodule=data)
    runner.test(model, datamodule=data, verbose=False)
    forecast = runner.predict(model, datamodule=data)[0]
    assert bool(forecast.quantiles.isfinite().all())
