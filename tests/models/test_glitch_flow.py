"""GlitchFlow trained on a small detector, and what it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything

from lightning_itwin.datamodules.virgo.glitches import GlitchDataModule
from lightning_itwin.datamodules.virgo.settings import SplitSettings
from lightning_itwin.models.glitch_flow import GlitchFlow
from lightning_itwin.models.glitch_response import ResponseSettings
from lightning_itwin.models.glitch_settings import GeneratorSettings, VetoSettings
from tests.models.glitch_instrument import RATE_HZ, write

SMALL = GeneratorSettings(
    event_s=0.5, components=16, residual_components=8, width=32, blocks=1, events_per_step=64
)
RESPONSE = ResponseSettings(channels=2, saturations=3, before_s=0.02, after_s=0.08)


def data(folder: Path, truth: bool = True, seed: int = 1, **options: Any) -> GlitchDataModule:
    return GlitchDataModule(
        data_dir=str(folder),
        path=str(write(folder / f"data_{truth}_{seed}.h5", 320.0, seed, truth)),
        sample_rate_hz=RATE_HZ,
        band_hz=(15.0, 220.0),
        **options,
    )


def trainer(folder: Path, **options: Any) -> Trainer:
    return Trainer(
        accelerator="cpu",
        max_epochs=2,
        default_root_dir=folder,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"logger": False, **options},
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[GlitchFlow, GlitchDataModule, Path]:
    folder = tmp_path_factory.mktemp("glitches")
    seed_everything(0, verbose=False)
    module = data(folder, split=SplitSettings(train=0.7, val=0.3, test=0.0))
    model = GlitchFlow(num_witnesses=2, sample_rate_hz=RATE_HZ, response=RESPONSE, generator=SMALL)
    fit = trainer(folder)
    fit.fit(model, module)
    fit.save_checkpoint(folder / "glitch.ckpt")
    assert fit.callback_metrics["val/mismatch_median"] < 0.02
    return model, module, folder


def test_glitches_of_another_seed_are_predicted_and_others_left_alone(
    trained: tuple[GlitchFlow, GlitchDataModule, Path],
) -> None:
    model, module, folder = trained
    unseen = data(folder, seed=2, split=SplitSettings(train=0.0, val=0.0, test=1.0))
    unseen.load_state_dict(module.state_dict())
    (figures,) = trainer(folder).test(model, unseen, verbose=False)
    assert figures["test/witnessed_glitches"] > 50
    assert figures["test/mismatch_median"] < 0.01
    assert figures["test/residual_snr_below_5_fraction"] > 0.95
    assert figures["test/unwitnessed_altered_median"] < 0.005
    assert figures["test/veto_auc"] > 0.98
    assert figures["test/false_vetoes_at_95_percent_efficiency"] < 0.05
    assert 0.4 < figures["test/coverage_80_percent"] <= 1.0
    assert 0.0 <= figures["test/two_sample_auc"] <= 1.0


def test_samples_spread_where_a_glitch_is_and_nowhere_else(
    trained: tuple[GlitchFlow, GlitchDataModule, Path],
) -> None:
    model, module, _ = trained
    batch = next(iter(module.val_dataloader()))
    drawn = model.sample(batch.witnesses, 6, generator=torch.Generator().manual_seed(0))
    again = model.sample(batch.witnesses, 6, generator=torch.Generator().manual_seed(0))
    mean = model(batch.witnesses)
    assert torch.equal(drawn, again)
    assert drawn.shape == (6, *mean.shape)
    quiet = ~mean.any(dim=1)
    assert quiet.any()
    assert not drawn[:, quiet].any()
    loud = mean.norm(dim=1) > 10
    spread = drawn.std(dim=0).norm(dim=1)
    assert (spread[loud] > 0.1).all()
    assert (spread[loud] < 0.5 * mean.norm(dim=1)[loud]).all()
    assert model.sample_population(5).shape == (5, 256)


def test_the_physical_mean_is_the_mean_before_whitening(
    trained: tuple[GlitchFlow, GlitchDataModule, Path],
) -> None:
    model, module, _ = trained
    batch = next(iter(module.val_dataloader()))
    strain = model.physical(batch.witnesses)
    assert 1e-22 < float(strain.abs().max()) < 1e-19
    scaled = (strain / model.response.strain_scale).float()
    torch.testing.assert_close(model.response.whiten(scaled), model(batch.witnesses), rtol=1e-3, atol=1e-3)


def test_a_checkpoint_predicts_the_same(trained: tuple[GlitchFlow, GlitchDataModule, Path]) -> None:
    model, module, folder = trained
    other = GlitchFlow.load_from_checkpoint(folder / "glitch.ckpt", weights_only=True)
    batch = next(iter(module.val_dataloader()))
    assert torch.equal(other(batch.witnesses), model(batch.witnesses))
    assert bool(other.prepared)


def test_predict_writes_a_cleaned_strain_and_vetoes(
    trained: tuple[GlitchFlow, GlitchDataModule, Path], tmp_path: Path
) -> None:
    model, module, _ = trained
    model.folder = str(tmp_path / "out")
    batches = trainer(tmp_path).predict(model, module)
    assert all(strain.dtype == torch.float64 for strain, _ in batches)
    assert (tmp_path / "out" / "cleaned.h5").is_file()
    lines = [line for line in (tmp_path / "out" / "vetoes.txt").read_text().splitlines() if line[0] != "#"]
    assert len(lines) > 50


def test_tensorboard_gets_figures_and_words(
    trained: tuple[GlitchFlow, GlitchDataModule, Path], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    from lightning.pytorch.loggers import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model, _, folder = trained
    model.folder = str(tmp_path / "out")
    module = data(folder, seed=2, split=SplitSettings(train=0.0, val=0.0, test=1.0))
    module.load_state_dict(trained[1].state_dict())
    for stage in ("test", "predict"):
        runner = trainer(tmp_path, logger=TensorBoardLogger(tmp_path, name="", version=stage))
        runner.test(model, module, verbose=False) if stage == "test" else runner.predict(model, module)
    tested, predicted = (
        EventAccumulator(str(tmp_path / stage)).Reload().Tags() for stage in ("test", "predict")
    )
    assert {"test/samples", "test/scans", "test/veto"} <= set(tested["images"])
    assert {"scan_1", "asd", "range", "veto"} <= set(predicted["images"])
    assert {f"report/{name}/text_summary" for name in ("summary", "bands", "made")} <= set(
        predicted["tensors"]
    )


def test_a_strain_without_truth_trains_it_too(tmp_path: Path) -> None:
    seed_everything(0, verbose=False)
    module = data(tmp_path, truth=False, split=SplitSettings(train=0.8, val=0.2, test=0.0))
    model = GlitchFlow(num_witnesses=2, sample_rate_hz=RATE_HZ, response=RESPONSE, generator=SMALL)
    trainer(tmp_path).fit(model, module)
    assert bool(model.noisy_target)
    assert int(model.response.selected[0]) == 1
    batch = next(iter(module.val_dataloader()))
    drawn = model.sample(batch.witnesses, 8, generator=torch.Generator().manual_seed(0))
    assert torch.isfinite(drawn).all()
    # Mock glitches are those that were predicted: the noise around them, of unit variance, is not in them.
    mock = model.sample_population(200, generator=torch.Generator().manual_seed(0))
    quiet = mock[:, :16].square().mean().sqrt()
    assert float(quiet) < 0.5


def test_the_truth_is_asked_for_where_there_is_none(tmp_path: Path) -> None:
    module = data(tmp_path, truth=False)
    settings = GeneratorSettings(target="glitch")
    model = GlitchFlow(num_witnesses=2, sample_rate_hz=RATE_HZ, response=RESPONSE, generator=settings)
    with pytest.raises(ValueError, match="do not tell the true glitches"):
        trainer(tmp_path).fit(model, module)


def test_another_number_of_witnesses_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="num_witnesses=2"):
        trainer(tmp_path).fit(GlitchFlow(num_witnesses=3, sample_rate_hz=RATE_HZ), data(tmp_path))
    with pytest.raises(ValueError, match="takes \\(batch, 10 witnesses"):
        GlitchFlow()(torch.zeros(1, 2, 2048))
    with pytest.raises(ValueError, match="num_witnesses must be"):
        GlitchFlow(num_witnesses=0)


def test_witnesses_of_nothing_are_refused(tmp_path: Path) -> None:
    module = data(tmp_path)
    module.setup()

    class Shuffled(GlitchDataModule):
        def train_dataloader(self) -> Any:
            for batch in module.train_dataloader():
                yield batch._replace(witnesses=torch.randn(batch.witnesses.shape))

    blind = Shuffled(data_dir=str(tmp_path), path=module.path, sample_rate_hz=RATE_HZ, band_hz=(15.0, 220.0))
    model = GlitchFlow(num_witnesses=2, sample_rate_hz=RATE_HZ, response=RESPONSE, generator=SMALL)
    with pytest.raises(ValueError, match="Only 0 glitches"):
        trainer(tmp_path, limit_train_batches=1, limit_val_batches=0).fit(model, blind)


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (GeneratorSettings, {"events": 0}),
        (GeneratorSettings, {"event_s": 0.0}),
        (GeneratorSettings, {"target": "truth"}),
        (VetoSettings, {"num_samples": 1}),
        (VetoSettings, {"probability": 1.0}),
    ],
)
def test_refuses_settings(settings: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        settings(**options)
