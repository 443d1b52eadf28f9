"""VirgoDenoiser: predicts the noise in the strain from what the witness channels saw."""

# B batch, W witnesses, T samples of a window, S samples of the slow part, C carriers, K taps, F frequencies

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional

from lightning_itwin.models.noise_removal import NoiseRemoval
from lightning_itwin.models.warmup_cosine import warmup_cosine

Batch = Sequence[Tensor]  # witnesses, strain, and what else there is

_SLOW_RATE_HZ = 16.0
_WARMUP_STEPS = 10


class LongConv1d(nn.Module):
    """A convolution over time with a kernel of hundreds of taps, done by FFT.

    ``y[o, t] = sum_i sum_k weight[o, i, k] x[i, t + K // 2 - k]``, with zeros outside the window. The kernel
    begins as zeros.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        kernel_size: taps K, odd.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(out_channels, in_channels, kernel_size))

    def forward(self, series: Tensor) -> Tensor:
        """Convolve (B, in_channels, T) to (B, out_channels, T)."""
        samples, taps = series.shape[-1], self.weight.shape[-1]
        length = 1 << (samples + taps - 2).bit_length()
        # An FFT knows no bfloat16, and float16 on GPUs alone.
        with torch.autocast(series.device.type, enabled=False):
            spectrum_BIF = torch.fft.rfft(series.float(), length)
            response_OIF = torch.fft.rfft(self.weight.float(), length)
            whole = torch.fft.irfft(torch.einsum("bif,oif->bof", spectrum_BIF, response_OIF), length)
        return whole[..., taps // 2 : taps // 2 + samples].to(series.dtype)


class BandSplit(nn.Module):
    """Splits series into what varies below a few Hz, at 16 samples a second, and the rest.

    Args:
        sample_rate_hz: sample rate of the series, at least 64 Hz.
    """

    low_pass: Tensor

    def __init__(self, sample_rate_hz: float) -> None:
        super().__init__()
        self._step = 2 * round(sample_rate_hz / _SLOW_RATE_HZ / 2)
        taps = torch.hann_window(4 * self._step, periodic=False)
        self.register_buffer("low_pass", (taps / taps.sum())[None, None], persistent=False)

    def forward(self, series: Tensor) -> tuple[Tensor, Tensor]:
        """Split (B, W, T) into the slow part, (B, W, S), and the fast one, (B, W, T)."""
        samples = series.shape[-1]
        pad = 3 * self._step // 2
        rows = functional.pad(
            series.flatten(0, 1)[:, None], (pad, pad + -samples % self._step), mode="replicate"
        )
        slow = functional.conv1d(rows, self.low_pass.to(rows.dtype), stride=self._step)
        slow = slow.view(*series.shape[:2], -1)
        return slow, series - self.at_full_rate(slow, samples)

    def at_full_rate(self, slow: Tensor, samples: int) -> Tensor:
        """Interpolate (B, C, S) linearly to (B, C, samples)."""
        return functional.interpolate(slow, scale_factor=self._step, mode="linear")[..., :samples]


class VirgoDenoiser(LightningModule):
    """Convolutional network that predicts the noise in a detector's strain from its witness channels.

    ``noise(t) = sum_c gate_c(slow witnesses)(t) * (kernel_c * fast witnesses)(t)``: every carrier c is a
    convolution of all witnesses over time, long enough for a resonance to ring down, and a small
    network of the witnesses' slow parts sets its gain. A gate that stays constant makes a linear
    coupling, one that follows a slow channel a bilinear one.

    The loss is the mean square of what is left of the whitened strain, which is the mean over the
    band of the power spectra's ratio. Samples closer to the ends of a window than half a kernel are
    predicted, but count neither in the loss nor in the metrics.

    Logged metrics: ``train/loss``, ``val/loss``; ``val/asd_ratio_in_band`` (mean over the band of the ASD
    after subtraction over the ASD before) and ``val/noise_power_removed_fraction`` (of the whitened power in
    the band), both over all windows of all processes; the same under ``test/``.

    Args:
        num_witnesses: witness channels W.
        sample_rate_hz: sample rate, at least 64 Hz.
        band_hz: lower and upper edge of the band that the metrics look at.
        kernel_size: taps of a carrier's kernels, odd.
        num_carriers: carriers.
        hidden_size: width of the network that sets the gains.
        learning_rate: highest learning rate of Adam; it rises over 10 steps and falls as a cosine to 0
            at the last step of the training.

    Raises:
        ValueError: a value is outside its range, or differs from the datamodule's.

    Reference:
        Vajente et al. 2020, arXiv:1911.09083: bilinear couplings through slow channels; Ormiston et al. 2020,
        arXiv:2005.06534: DeepClean, a convolutional autoencoder for the same task.

    >>> VirgoDenoiser(num_witnesses=3)(torch.zeros(2, 3, 1024)).shape
    torch.Size([2, 1024])
    """

    def __init__(
        self,
        num_witnesses: int = 8,
        sample_rate_hz: float = 512.0,
        band_hz: tuple[float, float] = (20.0, 200.0),
        kernel_size: int = 257,
        num_carriers: int = 4,
        hidden_size: int = 16,
        learning_rate: float = 0.02,
    ) -> None:
        super().__init__()
        if kernel_size < 3 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and at least 3, not {kernel_size}.")
        if min(num_witnesses, num_carriers, hidden_size) < 1:
            raise ValueError(
                "num_witnesses, num_carriers and hidden_size must be at least 1, not "
                f"{num_witnesses}, {num_carriers} and {hidden_size}."
            )
        if sample_rate_hz < 4 * _SLOW_RATE_HZ:
            raise ValueError(f"sample_rate_hz must be at least {4 * _SLOW_RATE_HZ:g}, not {sample_rate_hz}.")
        self.save_hyperparameters()
        self.learning_rate = learning_rate
        self.split = BandSplit(sample_rate_hz)
        self.carriers = LongConv1d(num_witnesses, num_carriers, kernel_size)
        self.gates = nn.Sequential(
            nn.Conv1d(num_witnesses, hidden_size, 5, padding="same", padding_mode="replicate"),
            nn.GELU(),
            nn.Conv1d(hidden_size, num_carriers, 5, padding="same", padding_mode="replicate"),
        )
        self.linear_gates = nn.Conv1d(num_witnesses, num_carriers, 1)
        self._edge = kernel_size // 2
        self.removal = NoiseRemoval(sample_rate_hz=sample_rate_hz, band_hz=band_hz)

    def setup(self, stage: str) -> None:
        datamodule = getattr(self.trainer, "datamodule", None)
        for name in ("num_witnesses", "sample_rate_hz", "band_hz"):
            mine = self.hparams[name]
            given = getattr(datamodule, name, mine)
            if list(mine) != list(given) if name == "band_hz" else mine != given:
                raise ValueError(
                    f"VirgoDenoiser has {name}={mine}, but {type(datamodule).__name__} has {given}. Give the "
                    f"model what the data have: {name}={given}."
                )

    def forward(self, witnesses: Tensor) -> Tensor:
        """Predict the noise, in units of the whitened strain.

        Args:
            witnesses: equalised witnesses, (B, W, T).

        Returns:
            Predicted noise, (B, T).
        """
        if witnesses.ndim != 3 or witnesses.shape[1] != self.hparams["num_witnesses"]:
            raise ValueError(
                f"VirgoDenoiser takes (batch, {self.hparams['num_witnesses']} witnesses, time), not a tensor "
                f"of shape {tuple(witnesses.shape)}."
            )
        slow, fast = self.split(witnesses)
        gates = self.split.at_full_rate(self.gates(slow) + self.linear_gates(slow), fast.shape[-1])
        return (gates * self.carriers(fast)).sum(dim=1)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        _, after = self._subtract(batch)
        loss = after.square().mean()
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        self.removal.reset()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._measure("val", batch)

    def on_validation_epoch_end(self) -> None:
        self._log_removal("val")

    def on_test_epoch_start(self) -> None:
        self.removal.reset()

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._measure("test", batch)

    def on_test_epoch_end(self) -> None:
        self._log_removal("test")

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Predict the noise of a batch's windows, (B, T)."""
        return self(batch[0])

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.learning_rate)
        return warmup_cosine(optimizer, self.trainer.estimated_stepping_batches, _WARMUP_STEPS)

    def _subtract(self, batch: Batch) -> tuple[Tensor, Tensor]:
        witnesses, strain = batch[:2]
        if strain.shape[-1] <= 2 * self._edge:
            raise ValueError(
                f"A window of {strain.shape[-1]} samples has none that sees a whole kernel on both sides; "
                f"give more than {2 * self._edge}, or a smaller kernel_size."
            )
        inner = slice(self._edge, strain.shape[-1] - self._edge)
        return strain[:, inner], (strain - self(witnesses))[:, inner]

    def _measure(self, stage: str, batch: Batch) -> None:
        before, after = self._subtract(batch)
        self.removal.update(before, after)
        self.log(f"{stage}/loss", after.square().mean(), prog_bar=True, sync_dist=True)

    def _log_removal(self, stage: str) -> None:
        if self.removal.power is None:
            return
        self.removal.power = self.trainer.strategy.reduce(self.removal.power, reduce_op="sum")
        self.log(f"{stage}/asd_ratio_in_band", self.removal.asd_ratio, sync_dist=True)
        self.log(
            f"{stage}/noise_power_removed_fraction",
            self.removal.removed_fraction,
            prog_bar=True,
            sync_dist=True,
        )
