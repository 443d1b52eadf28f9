import logging

import pytest
import torch
from lightning.pytorch import LightningDataModule, Trainer, seed_everything
from torch.utils.data import DataLoader, TensorDataset

from lightning_itwin.models import VirgoDenoiser
from lightning_itwin.models.virgo_denoiser import BandSplit, LongConv1d

SMALL = {"num_witnesses": 3, "sample_rate_hz": 128.0, "band_hz": (10.0, 50.0), "kernel_size": 33}


class Coupled(LightningDataModule):
    """Strain = noise + a filtered witness + another witness times a slow one; no file needed."""

    num_witnesses, sample_rate_hz, band_hz = 3, 128.0, (10.0, 50.0)

    def __init__(self, windows=256, batch_size=16):
        super().__init__()
        random = torch.Generator().manual_seed(0)
        samples = 512
        x, y, background = torch.randn(3, windows, samples, generator=random)
        time_s = torch.arange(samples) / 128.0
        phase = 6.28 * torch.rand(windows, 1, generator=random)
        slow = 1.4 * torch.sin(2 * torch.pi * 0.5 * time_s + phase)
        kernel = torch.tensor([0.0, 0.6, -0.8])[None, None]
        linear = torch.conv1d(x[:, None], kernel, padding=1)[:, 0]
        self.strain = 0.5 * background + linear + y * slow
        self.witnesses = torch.stack([x, y, slow], dim=1)
        self.removable = 2.0 / (0.25 + 1.0 + 0.98)
        self.cut, self.batch_size = windows * 3 // 4, batch_size

    def _loader(self, part, **kwargs):
        windows = TensorDataset(self.witnesses[part], self.strain[part])
        return DataLoader(windows, batch_size=self.batch_size, **kwargs)

    def train_dataloader(self):
        return self._loader(slice(0, self.cut), shuffle=True)

    def val_dataloader(self):
        return self._loader(slice(self.cut, None))

    test_dataloader = predict_dataloader = val_dataloader


def trainer(**kwargs):
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return Trainer(**{"accelerator": "cpu", "enable_checkpointing": False, **quiet, **kwargs})


def fitted(**kwargs):
    seed_everything(0, verbose=False)
    model = VirgoDenoiser(**SMALL)
    runner = trainer(**kwargs)
    runner.fit(model, datamodule=Coupled())
    return runner, model


def test_the_long_convolution_is_a_convolution():
    layer = LongConv1d(3, 2, 9)
    torch.nn.init.normal_(layer.weight)
    x = torch.randn(4, 3, 100, requires_grad=True)
    direct = torch.nn.functional.conv1d(x, layer.weight.flip(-1), padding=4)
    torch.testing.assert_close(layer(x), direct, rtol=1e-4, atol=1e-5)
    mine = torch.autograd.grad(layer(x).square().sum(), [x, layer.weight])
    theirs = torch.autograd.grad(direct.square().sum(), [x, layer.weight])
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("sample_rate_hz", [64.0, 128.0, 500.0, 512.0, 4096.0])
def test_the_split_keeps_slow_things_slow_and_fast_things_fast(sample_rate_hz):
    time_s = torch.arange(int(8 * sample_rate_hz)) / sample_rate_hz
    inner = slice(int(sample_rate_hz / 4), -int(sample_rate_hz / 4))
    split = BandSplit(sample_rate_hz)
    slow = torch.sin(2 * torch.pi * 0.25 * time_s)[None, None]
    fast = torch.sin(2 * torch.pi * 24.0 * time_s)[None, None]
    low, rest = split(slow)
    assert abs(low.shape[-1] / 8 - 16) < 1
    assert low.std() > 0.9 * slow.std()
    assert rest[..., inner].std() < 0.05
    low, rest = split(fast)
    assert low[..., 4:-4].std() < 0.02
    torch.testing.assert_close(rest[..., inner], fast[..., inner], rtol=0, atol=0.03)


def test_a_constant_is_slow_up_to_the_ends():
    low, rest = BandSplit(512.0)(torch.full((1, 2, 2048), 3.0))
    torch.testing.assert_close(low, torch.full_like(low, 3.0))
    torch.testing.assert_close(rest, torch.zeros_like(rest), rtol=0, atol=1e-5)


def test_a_window_of_any_length_is_split_at_the_same_times():
    series = torch.randn(1, 1, 2048)
    whole, cut = BandSplit(512.0)(series)[1], BandSplit(512.0)(series[..., :1983])[1]
    torch.testing.assert_close(cut[..., :1900], whole[..., :1900])


def test_an_untrained_network_subtracts_nothing():
    assert torch.equal(VirgoDenoiser(**SMALL)(torch.randn(2, 3, 512)), torch.zeros(2, 512))


@pytest.mark.parametrize("samples", [64, 100, 511, 512])
def test_the_prediction_is_as_long_as_the_window(samples):
    assert VirgoDenoiser(**SMALL)(torch.randn(2, 3, samples)).shape == (2, samples)


def test_every_parameter_gets_a_gradient_in_every_step():
    model = VirgoDenoiser(**SMALL)
    torch.nn.init.normal_(model.carriers.weight)
    batch = next(iter(Coupled().train_dataloader()))
    model._subtract(batch)[1].square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_it_learns_a_linear_and_a_bilinear_coupling():
    runner, model = fitted(max_epochs=8)
    (metrics,) = runner.test(model, datamodule=Coupled(), verbose=False)
    assert metrics["test/noise_power_removed_fraction"] > 0.9 * Coupled().removable
    assert 0.3 < metrics["test/asd_ratio_in_band"] < 0.5
    assert runner.validate(model, datamodule=Coupled(), verbose=False)[0][
        "val/noise_power_removed_fraction"
    ] == pytest.approx(metrics["test/noise_power_removed_fraction"], rel=1e-6)


def test_metrics_do_not_depend_on_the_batch():
    runner, model = fitted(max_epochs=1)
    results = [
        runner.test(model, datamodule=Coupled(batch_size=size), verbose=False)[0] for size in (16, 64, 5)
    ]
    for result in results[1:]:
        assert result == pytest.approx(results[0], rel=1e-4)


def test_predict_gives_the_noise_of_every_window():
    runner, model = fitted(max_epochs=1)
    predicted = torch.cat(runner.predict(model, datamodule=Coupled()))
    assert predicted.shape == (64, 512)
    left = (Coupled().strain[192:] - predicted).var()
    assert left < Coupled().strain[192:].var()


def test_the_learning_rate_rises_falls_and_ends_at_zero():
    model = VirgoDenoiser(**SMALL)
    rates = []
    runner = trainer(max_epochs=2)
    model.on_train_batch_end = lambda *_: rates.append(runner.optimizers[0].param_groups[0]["lr"])
    runner.fit(model, datamodule=Coupled())
    assert len(rates) == 24
    assert max(rates) == pytest.approx(0.02, rel=0.4)
    assert rates.index(max(rates)) in range(6, 12)
    assert rates[-1] == pytest.approx(0.0, abs=1e-9)


def test_training_without_an_end_keeps_its_learning_rate():
    model = VirgoDenoiser(**SMALL)
    runner = trainer(max_epochs=-1, max_steps=-1, limit_val_batches=0)

    def end_after_warmup(*_):
        runner.should_stop = runner.global_step >= 15

    model.on_train_batch_end = end_after_warmup
    runner.fit(model, datamodule=Coupled())
    assert runner.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.02)


def test_a_checkpoint_loads_without_unpickling_and_goes_on(tmp_path):
    runner, model = fitted(max_epochs=1)
    runner.save_checkpoint(tmp_path / "one.ckpt")
    again = VirgoDenoiser.load_from_checkpoint(tmp_path / "one.ckpt", weights_only=True)
    x = torch.randn(1, 3, 512)
    torch.testing.assert_close(again(x), model(x))
    on = trainer(max_epochs=2)
    on.fit(VirgoDenoiser(**SMALL), datamodule=Coupled(), ckpt_path=tmp_path / "one.ckpt")
    assert on.current_epoch == 2


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_other_precisions_train(precision):
    runner, _ = fitted(max_epochs=2, precision=precision)
    assert runner.callback_metrics["val/noise_power_removed_fraction"] > 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 32}, "kernel_size must be odd"),
        ({"kernel_size": 1}, "at least 3"),
        ({"num_witnesses": 0}, "must be at least 1"),
        ({"sample_rate_hz": 32.0}, "at least 64"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        VirgoDenoiser(**{**SMALL, **arguments})


@pytest.mark.parametrize("shape", [(2, 4, 512), (3, 512)])
def test_a_batch_of_another_shape_is_named(shape):
    with pytest.raises(ValueError, match=r"takes \(batch, 3 witnesses, time\)"):
        VirgoDenoiser(**SMALL)(torch.zeros(shape))


def test_a_window_shorter_than_the_kernel_is_named():
    with pytest.raises(ValueError, match="A window of 32 samples has none that sees a whole kernel"):
        VirgoDenoiser(**SMALL)._subtract((torch.zeros(2, 3, 32), torch.zeros(2, 32)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_witnesses": 4}, "num_witnesses=4, but Coupled has 3. .* num_witnesses=3"),
        ({"sample_rate_hz": 256.0}, "sample_rate_hz=256"),
        ({"band_hz": (12.0, 50.0)}, "band_hz"),
    ],
)
def test_a_model_that_does_not_fit_the_data_is_told_before_the_training(arguments, message):
    with pytest.raises(ValueError, match=message):
        trainer(max_epochs=1).fit(VirgoDenoiser(**{**SMALL, **arguments}), datamodule=Coupled())


def test_it_trains_with_loaders_alone():
    data = Coupled()
    runner = trainer(max_epochs=1)
    runner.fit(VirgoDenoiser(**SMALL), data.train_dataloader(), data.val_dataloader())
    assert "val/asd_ratio_in_band" in runner.callback_metrics
