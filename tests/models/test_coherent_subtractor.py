from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_itwin.datamodules import VirgoDataModule
from lightning_itwin.datamodules.virgo.settings import SplitSettings
from lightning_itwin.models import CoherentSubtractor
from lightning_itwin.strain.simulator import VirgoSimulator
from tests.models.two_ranks import run_two_ranks

RATE_HZ, BAND_HZ = 1024.0, (10.0, 450.0)


def data_in(folder: Path) -> VirgoDataModule:
    return VirgoDataModule(
        data_dir=str(folder),
        simulator=VirgoSimulator.strong(duration_s=200.0, scene={"injections_per_hour": 60.0}),
        sample_rate_hz=1024.0,
        band_hz=BAND_HZ,
        window_s=8.0,
        stride_s=8.0,
        batch_size=4,
        evaluation_window_s=16.0,
        evaluation_overlap_s=4.0,
        split=SplitSettings(train=0.64, val=0.17, test=0.19),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def data(folder: Path) -> VirgoDataModule:
    return data_in(folder)


def trainer(folder: Path, **settings: Any) -> Trainer:
    return Trainer(
        default_root_dir=folder,
        max_epochs=1,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **{"logger": False, **settings},
    )


@pytest.fixture(scope="module")
def checkpoint(data: VirgoDataModule, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fit")
    model, train = CoherentSubtractor(), trainer(folder)
    train.fit(model, datamodule=data)
    assert model.is_fitted
    assert train.callback_metrics["val/clean_range_mpc"] > 1.2 * train.callback_metrics["val/raw_range_mpc"]
    train.save_checkpoint(folder / "fitted.ckpt")
    return folder / "fitted.ckpt"


def test_a_checkpoint_gives_the_same_noise(checkpoint: Path, data: VirgoDataModule) -> None:
    assert torch.load(checkpoint, weights_only=True)["state_dict"]["taps"].shape[0] > 5
    model = CoherentSubtractor.load_from_checkpoint(checkpoint, weights_only=True)
    again = CoherentSubtractor.load_from_checkpoint(checkpoint, weights_only=True)
    witnesses = next(iter(data.train_dataloader())).witnesses
    assert torch.equal(model(witnesses), again(witnesses))
    assert model(witnesses).std() > 0
    assert model.unsafe_channels == []
    assert sum(parameter.numel() for parameter in model.parameters()) <= 200_000


def test_a_signal_in_the_strain_changes_nothing_that_is_predicted(
    checkpoint: Path, data: VirgoDataModule
) -> None:
    model = CoherentSubtractor.load_from_checkpoint(checkpoint)
    batch = next(iter(data.train_dataloader()))
    before = model(batch.witnesses)
    assert torch.equal(model(batch.witnesses), before)


def test_test_measures_and_predict_writes(checkpoint: Path, data: VirgoDataModule, tmp_path: Path) -> None:
    model = CoherentSubtractor.load_from_checkpoint(checkpoint, folder=str(tmp_path / "cleaned"))
    figures = trainer(tmp_path).test(model, datamodule=data, verbose=False)[0]
    assert figures["test/clean_range_mpc"] > 1.2 * figures["test/raw_range_mpc"]
    assert 0.2 < figures["test/noise_power_removed_fraction"] < 0.9
    logger = TensorBoardLogger(tmp_path, name="", version="predict")
    trainer(tmp_path, logger=logger).predict(model, datamodule=data, return_predictions=False)
    assert (tmp_path / "cleaned" / "cleaned.h5").is_file()
    tags = EventAccumulator(str(tmp_path / "predict")).Reload().Tags()
    assert {"asd", "range", "ranking"} <= set(tags["images"])
    assert {"report/summary/text_summary", "report/made/text_summary"} <= set(tags["tensors"])


def test_what_does_not_fit_is_refused(data: VirgoDataModule, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="num_witnesses must be at least 1"):
        CoherentSubtractor(num_witnesses=0)
    with pytest.raises(ValueError, match="has num_witnesses=3"):
        trainer(tmp_path).fit(CoherentSubtractor(num_witnesses=3), datamodule=data)
    with pytest.raises(ValueError, match="10 witnesses"):
        CoherentSubtractor()(torch.zeros(1, 3, 2048))
    with pytest.raises(RuntimeError, match="no response yet"):
        CoherentSubtractor().noise_filter  # noqa: B018


@pytest.mark.world
def test_two_processes_come_to_the_filter_of_one(checkpoint: Path, folder: Path) -> None:
    first, second = run_two_ranks("coherent_world.py", folder, timeout_s=400.0)
    alone = CoherentSubtractor.load_from_checkpoint(checkpoint)
    taps = torch.from_numpy(alone.noise_filter.taps)
    assert torch.equal(first["taps"], second["taps"])
    assert first["clean_range_mpc"] == second["clean_range_mpc"]
    torch.testing.assert_close(first["taps"], taps, rtol=0, atol=1e-6 * float(taps.abs().max()))
    assert [name for name, _ in first["ranking"]] == [name for name, _ in alone.ranking]
    assert (folder / "out" / "cleaned.h5").is_file()


def test_a_training_leaves_a_checkpoint_of_its_own_accord(data: VirgoDataModule, tmp_path: Path) -> None:
    training = trainer(tmp_path)
    model = CoherentSubtractor()
    training.fit(model, datamodule=data)
    [path] = tmp_path.rglob("*.ckpt")
    assert torch.equal(CoherentSubtractor.load_from_checkpoint(path, weights_only=True).taps, model.taps)


def test_what_makes_validation_worse_is_never_used(data: VirgoDataModule, tmp_path: Path) -> None:
    model = CoherentSubtractor(learning_rate=3.0)
    trainer(tmp_path).fit(model, datamodule=data)
    assert not model.refined
    batch = next(iter(data.train_dataloader()))
    closed = model.noise_filter(batch.witnesses[0].double().numpy())
    assert torch.equal(model(batch.witnesses.double())[0], torch.from_numpy(closed))


def test_what_makes_validation_better_is_used_and_kept(data: VirgoDataModule, tmp_path: Path) -> None:
    model, training = CoherentSubtractor(), trainer(tmp_path)
    training.fit(model, datamodule=data)
    batch = next(iter(data.train_dataloader()))
    closed = torch.from_numpy(model.noise_filter(batch.witnesses[0].double().numpy()))
    model.network.behind.data.fill_(1.0)  # type: ignore[union-attr]  # there is one
    model._take_over()
    refined = model(batch.witnesses.double())
    assert not torch.equal(refined[0], closed)
    training.save_checkpoint(tmp_path / "refined.ckpt")
    again = CoherentSubtractor.load_from_checkpoint(tmp_path / "refined.ckpt", weights_only=True)
    assert torch.equal(again(batch.witnesses.double()), refined)
    assert again.told["refined by gradient"] == "yes"
    assert again.reach < RATE_HZ


@pytest.mark.parametrize("method", ["linear", "bilinear", "closed_form"])
def test_a_closed_form_is_selected_by_its_name(method: Any, data: VirgoDataModule, tmp_path: Path) -> None:
    model, training = CoherentSubtractor(method=method), trainer(tmp_path)
    training.fit(model, datamodule=data)
    kinds = {one.kind for one in model.noise_filter.features}
    assert ("product" in kinds) == (method != "linear")
    assert ("sine" in kinds) == (method == "closed_form")
    assert model.network is None
    training.save_checkpoint(tmp_path / "one.ckpt")
    again = CoherentSubtractor.load_from_checkpoint(tmp_path / "one.ckpt", weights_only=True)
    assert torch.equal(again.taps, model.taps)


def test_deep_clean_is_trained_and_kept(data: VirgoDataModule, tmp_path: Path) -> None:
    model, training = CoherentSubtractor(method="deep_clean"), trainer(tmp_path)
    training.fit(model, datamodule=data)
    assert {"train/loss", "val/loss"} <= set(training.callback_metrics)
    model._take_over()
    training.save_checkpoint(tmp_path / "one.ckpt")
    again = CoherentSubtractor.load_from_checkpoint(tmp_path / "one.ckpt", weights_only=True)
    witnesses = next(iter(data.train_dataloader())).witnesses
    assert torch.equal(again(witnesses), model(witnesses))
    assert model(witnesses).std() > 0


def test_a_method_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="method must be one of linear"):
        CoherentSubtractor(method="magic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="learning_rate must be above 0"):
        CoherentSubtractor(learning_rate=0.0)
