"""What models that predict noise from witnesses share: safety, what is measured, and what predict writes."""

# B batch, W witnesses, T samples of a window

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.models.cleaned_output import CleanedOutput
from lightning_itwin.models.subtraction_measure import SubtractionMeasure
from lightning_itwin.strain.strain_batch import StrainBatch
from lightning_itwin.subtraction.safety import safe_noise


class SubtractionModule(CleanedOutput):
    """Base of modules whose ``forward`` predicts the noise in raw windows of a datamodule.

    Where the strain of a window would become louder, nothing is subtracted.

    Args:
        num_witnesses: witness channels W.
        sample_rate_hz: sample rate.
        band_hz: lower and upper edge of the band in which noise is looked for.
        safe: whether a window's own strain decides where nothing is subtracted.
        folder: where ``predict`` writes; ``cleaned`` in the folder of the logs if not given.

    Raises:
        ValueError: a value is outside its range, or differs from the datamodule's.
    """

    def __init__(
        self,
        num_witnesses: int,
        sample_rate_hz: float,
        band_hz: tuple[float, float],
        safe: bool,
        folder: str | None,
    ) -> None:
        super().__init__()
        if num_witnesses < 1 or not 0 < band_hz[0] < band_hz[1] < sample_rate_hz / 2:
            raise ValueError(
                "num_witnesses must be at least 1 and band_hz rise between 0 and half of sample_rate_hz, not "
                f"{num_witnesses}, {list(band_hz)} and {sample_rate_hz}."
            )
        self.num_witnesses, self.sample_rate_hz = num_witnesses, sample_rate_hz
        self.band_hz, self.safe = (band_hz[0], band_hz[1]), safe
        self.folder = folder
        self._measure = SubtractionMeasure(sample_rate_hz, self.band_hz)

    @property
    def reach(self) -> int:
        """Samples on each side that a predicted sample depends on, at most."""
        raise NotImplementedError

    def setup(self, stage: str) -> None:
        datamodule = getattr(self.trainer, "datamodule", None)
        name = type(self).__name__
        for what in ("num_witnesses", "sample_rate_hz", "band_hz"):
            mine = getattr(self, what)
            given = getattr(datamodule, what, mine)
            if tuple(np.atleast_1d(given)) != tuple(np.atleast_1d(mine)):
                raise ValueError(
                    f"{name} has {what}={mine}, but {type(datamodule).__name__} has {given}. "
                    f"Give the model what the data have: {what}={given}."
                )
        if getattr(datamodule, "whiten", False):
            raise ValueError(f"{name} takes raw windows: give the datamodule whiten=False.")

    def on_test_epoch_start(self) -> None:
        self._measure.reset()

    def test_step(self, batch: StrainBatch, batch_idx: int) -> None:
        batch = StrainBatch(*batch)
        self.measure(self._measure, batch, self.safe_noise(batch, self(batch.witnesses.double())))

    def on_test_epoch_end(self) -> None:
        self.log_measure("test", self._measure)

    def predict_step(self, batch: StrainBatch, batch_idx: int) -> Tensor:
        """Predict the noise that is safe to subtract, float64 (B, T), in units of the strain."""
        batch = StrainBatch(*batch)
        noise = self.safe_noise(batch, self(batch.witnesses.double()))
        if self._outputs is not None:
            self._outputs.add(batch.start, noise, edge=self.edge(noise.shape[1]))
        return noise

    def edge(self, samples: int) -> int:
        """Give the samples at each end of a window that know less than others."""
        return min(self.reach, samples // 4)

    def safe_noise(self, batch: StrainBatch, noise: Tensor) -> Tensor:
        """Take out of predicted noise, (B, T), what would make the strain of its window louder."""
        if not self.safe:
            return noise
        strain = batch.strain.detach().cpu().double().numpy()
        pairs = list(zip(noise.detach().cpu().double().numpy(), strain))
        safe = [safe_noise(one, other, self.sample_rate_hz, self.band_hz)[0] for one, other in pairs]
        return torch.from_numpy(np.stack(safe)).to(noise)

    def measure(self, measure: SubtractionMeasure, batch: StrainBatch, noise: Tensor) -> None:
        """Add windows without their ends to a measure."""
        edge = self.edge(noise.shape[1])
        inner = slice(edge, noise.shape[1] - edge)
        strain = batch.strain.double()
        measure.update(strain[:, inner], (strain - noise)[:, inner])

    def log_measure(self, stage: str, measure: SubtractionMeasure) -> None:
        """Log what a measure says of the windows of all processes."""
        if measure.power is None:
            return
        measure.power = self.trainer.strategy.reduce(measure.power, reduce_op="sum")
        for name, value in measure.figures().items():
            shown = name == "noise_power_removed_fraction"
            self.log(f"{stage}/{name}", value, prog_bar=shown, sync_dist=True)
