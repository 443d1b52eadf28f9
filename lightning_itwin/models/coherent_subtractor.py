"""CoherentSubtractor: what witnesses know of the noise in a strain, in closed form."""

# B batch, W witnesses, T samples of a window, F features, K taps, N frequencies

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from lightning_itwin.models.logged_figures import log_figures
from lightning_itwin.models.subtraction_measure import SubtractionMeasure
from lightning_itwin.models.weights_digest import weights_digest
from lightning_itwin.strain.strain_batch import StrainBatch
from lightning_itwin.subtraction.features import Feature, FeatureLibrary, WitnessFacts
from lightning_itwin.subtraction.fitting import Data, Fit, FitSettings, fit
from lightning_itwin.subtraction.noise_filter import NoiseFilter
from lightning_itwin.subtraction.safety import safe_noise

if TYPE_CHECKING:
    from lightning_itwin.subtraction.outputs.outputs import SubtractionOutputs

_SEGMENTS_A_BLOCK = 64
_FIT = FitSettings()


class CoherentSubtractor(LightningModule):
    """Predicts the noise in a detector's strain from its witness channels, in closed form.

    ``noise(t) = sum_f (h_f * x_f)(t)`` with features x of the witnesses: a fast witness w, products of it
    with a slow one, fringes of a slow one, and saturations of one that sees glitches. The sums of cross
    spectra that the responses h follow from are made in ``setup``, in two passes over the training part,
    added up over all processes; batches of an epoch of training change nothing then.

    Witnesses that carry the strain itself are found and left out. Where the strain of a window would
    become louder, nothing is subtracted.

    Logged metrics: ``val/asd_ratio_in_band`` (mean over the band of the ASD after subtraction over the
    ASD before), ``val/noise_power_removed_fraction`` (of the whitened power in the band),
    ``val/raw_range_mpc`` and ``val/clean_range_mpc`` (of binary neutron stars); the same under ``test/``.

    Args:
        num_witnesses: witness channels W.
        sample_rate_hz: sample rate.
        band_hz: lower and upper edge of the band in which noise is looked for.
        fitting: which features, and how they are chosen.
        safe: whether a window's own strain decides where nothing is subtracted.
        folder: where ``predict`` writes; ``cleaned`` in the folder of the logs if not given.

    Raises:
        ValueError: a value is outside its range, or differs from the datamodule's.

    Reference:
        Vajente et al. 2020, arXiv:1911.09083: bilinear couplings; Was et al. 2021, arXiv:2011.03539:
        scattered light; the features are chosen as ``lightning_itwin.subtraction`` says.

    >>> CoherentSubtractor(num_witnesses=3)(torch.zeros(2, 3, 4096)).shape
    torch.Size([2, 4096])
    """

    unit: Tensor

    def __init__(
        self,
        num_witnesses: int = 10,
        sample_rate_hz: float = 1024.0,
        band_hz: tuple[float, float] = (10.0, 450.0),
        fitting: FitSettings = _FIT,
        safe: bool = True,
        folder: str | None = None,
    ) -> None:
        super().__init__()
        if num_witnesses < 1 or not 0 < band_hz[0] < band_hz[1] < sample_rate_hz / 2:
            raise ValueError(
                "num_witnesses must be at least 1 and band_hz rise between 0 and half of sample_rate_hz, not "
                f"{num_witnesses}, {list(band_hz)} and {sample_rate_hz}."
            )
        fitting = FitSettings.of(fitting)
        self.save_hyperparameters(
            {
                "_class_path": "lightning_itwin.models.CoherentSubtractor",  # for LightningCLI
                "num_witnesses": num_witnesses,
                "sample_rate_hz": sample_rate_hz,
                "band_hz": list(band_hz),
                "fitting": asdict(fitting),
                "safe": safe,
            }
        )
        self.automatic_optimization = False
        self.num_witnesses, self.sample_rate_hz = num_witnesses, sample_rate_hz
        self.band_hz, self.fitting, self.safe = (band_hz[0], band_hz[1]), fitting, safe
        self.folder = folder
        self.taps = nn.Parameter(torch.zeros(0, 1))
        self.register_buffer("unit", torch.ones((), dtype=torch.float64))
        self._facts: dict[str, Any] = {}
        self._filter: NoiseFilter | None = None
        self._measure = SubtractionMeasure(sample_rate_hz, self.band_hz)
        self._outputs: SubtractionOutputs | None = None

    @property
    def is_fitted(self) -> bool:
        """Whether there is a response, found by ``fit`` or read from a checkpoint."""
        return bool(self._facts)

    @property
    def unsafe_channels(self) -> list[str]:
        """Witnesses that carry the strain itself, and were left out."""
        return list(self._facts.get("unsafe", []))

    @property
    def ranking(self) -> list[tuple[str, float]]:
        """Witnesses by their share of the evidence, the best first."""
        return [(name, share) for name, share in self._facts.get("ranking", [])]

    def setup(self, stage: str) -> None:
        datamodule = getattr(self.trainer, "datamodule", None)
        for name in ("num_witnesses", "sample_rate_hz", "band_hz"):
            mine = getattr(self, name)
            given = getattr(datamodule, name, mine)
            if tuple(np.atleast_1d(given)) != tuple(np.atleast_1d(mine)):
                raise ValueError(
                    f"CoherentSubtractor has {name}={mine}, but {type(datamodule).__name__} has {given}. "
                    f"Give the model what the data have: {name}={given}."
                )
        if getattr(datamodule, "whiten", False):
            raise ValueError("CoherentSubtractor takes raw windows: give the datamodule whiten=False.")
        if stage == "fit" and self.trainer.ckpt_path is None:
            self._fit(datamodule)

    def forward(self, witnesses: Tensor) -> Tensor:
        """Predict the noise, in units of the strain; within about 1 s of an end it is known less well.

        Args:
            witnesses: as recorded, (B, W, T).

        Returns:
            Predicted noise, (B, T).
        """
        if witnesses.ndim != 3 or witnesses.shape[1] != self.num_witnesses:
            raise ValueError(
                f"CoherentSubtractor takes (batch, {self.num_witnesses} witnesses, time), not a tensor of "
                f"shape {tuple(witnesses.shape)}."
            )
        if not self.is_fitted:
            return torch.zeros_like(witnesses[:, 0])
        rows = [self.noise_filter(one) for one in witnesses.detach().cpu().double().numpy()]
        return torch.from_numpy(np.stack(rows)).to(witnesses)

    def training_step(self, batch: StrainBatch, batch_idx: int) -> None:
        # All was found before the first batch. Lightning keeps a checkpoint only once a step was counted.
        optimizer = self.optimizers()
        optimizer.step()  # type: ignore[union-attr]  # there is one

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([self.taps], lr=0.0)

    def on_validation_epoch_start(self) -> None:
        self._measure.reset()

    def validation_step(self, batch: StrainBatch, batch_idx: int) -> None:
        self._look(batch)

    def on_validation_epoch_end(self) -> None:
        self._log_measure("val")

    def on_test_epoch_start(self) -> None:
        self._measure.reset()

    def test_step(self, batch: StrainBatch, batch_idx: int) -> None:
        self._look(batch)

    def on_test_epoch_end(self) -> None:
        self._log_measure("test")

    def on_predict_start(self) -> None:
        datamodule = getattr(self.trainer, "datamodule", None)
        if datamodule is None or not hasattr(datamodule, "aligned"):
            return
        # Reports need packages that a training does not.
        from lightning_itwin.subtraction.outputs.outputs import SubtractionOutputs

        folder = self.folder or Path(self.trainer.log_dir or self.trainer.default_root_dir) / "cleaned"
        self._outputs = SubtractionOutputs.open(
            folder,
            datamodule,
            model="CoherentSubtractor: coherent noise, in closed form",
            key=weights_digest(self),
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )

    def predict_step(self, batch: StrainBatch, batch_idx: int) -> Tensor:
        """Predict the noise that is safe to subtract, float64 (B, T), in units of the strain."""
        batch = StrainBatch(*batch)
        noise = self._safe_noise(batch)
        if self._outputs is not None:
            self._outputs.add(batch.start, noise, edge=self._edge(noise.shape[1]))
        return noise

    def on_predict_end(self) -> None:
        outputs, self._outputs = self._outputs, None
        if outputs is None:
            return
        outputs.close()
        self.trainer.strategy.barrier("CoherentSubtractor.predict")
        if self.trainer.is_global_zero:
            named = ", ".join(self.unsafe_channels) or "none"
            figures = outputs.finish(ranking=self.ranking, facts={"unsafe channels, left out": named})
            log_figures(self.trainer.loggers, figures, self.global_step)
        self.trainer.strategy.barrier("CoherentSubtractor.predict.written")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["coherent_subtractor"] = json.dumps(self._facts)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._facts = json.loads(checkpoint["coherent_subtractor"])
        self._filter = None
        # The number of features is known now.
        self.taps = nn.Parameter(torch.zeros_like(checkpoint["state_dict"]["taps"], device=self.device))

    @property
    def noise_filter(self) -> NoiseFilter:
        """What predicts the noise, of arrays."""
        if not self.is_fitted:
            raise RuntimeError("CoherentSubtractor has no response yet: fit it, or load a checkpoint.")
        if self._filter is None:
            library = FeatureLibrary(
                [WitnessFacts(**one) for one in self._facts["witnesses"]],
                self.sample_rate_hz,
                self.fitting.level,
                self.fitting.wavelengths,
            )
            self._filter = NoiseFilter(
                library=library,
                features=[Feature(**one) for one in self._facts["features"]],
                taps=(self.taps.detach().double() * self.unit).cpu().numpy(),
            )
        return self._filter

    def set_fit(self, found: Fit) -> None:
        """Take over a fit that was made elsewhere.

        Args:
            found: of channels in this model's order and at its sample rate.
        """
        taps = torch.from_numpy(found.filter.taps.copy())
        unit = taps.abs().max() if taps.numel() else torch.ones((), dtype=torch.float64)
        self.unit.copy_(unit)
        self.taps = nn.Parameter((taps / unit).float().to(self.device))
        self._filter = None
        self._facts = {
            "witnesses": [asdict(one) for one in found.filter.library.facts],
            "features": [asdict(one) for one in found.filter.features],
            "ranking": found.ranking,
            "unsafe": found.unsafe,
        }

    def _fit(self, datamodule: Any) -> None:
        missing = [
            name for name in ("aligned", "stretches", "read", "blocks") if not hasattr(datamodule, name)
        ]
        if missing:
            raise ValueError(
                "CoherentSubtractor sums over the training part of a datamodule such as VirgoDataModule; "
                f"{type(datamodule).__name__} lacks {', '.join(missing)}. Give such a one, or "
                "a fit by set_fit()."
            )
        half = round(self.fitting.segment_s * self.sample_rate_hz / 2)
        data = Data(
            names=datamodule.aligned.names,
            sample_rate_hz=self.sample_rate_hz,
            band_hz=self.band_hz,
            stretches=datamodule.stretches("train"),
            read=datamodule.read,
            blocks=datamodule.blocks("train", 2 * half, half, _SEGMENTS_A_BLOCK),
            reduce=self._summed,
        )
        self.set_fit(fit(data, self.fitting))

    def _summed(self, series: np.ndarray) -> np.ndarray:
        """Add a series up over processes."""
        if self.trainer.world_size == 1:
            return series
        given = torch.from_numpy(series).to(self.trainer.strategy.root_device)
        total = self.trainer.strategy.reduce(given, reduce_op="sum")
        return np.asarray(total.cpu().numpy()) if isinstance(total, Tensor) else series

    def _edge(self, samples: int) -> int:
        reach = self.noise_filter.reach if self.is_fitted else 0
        return min(reach, samples // 4)

    def _safe_noise(self, batch: StrainBatch) -> Tensor:
        noise = self.forward(batch.witnesses.double())
        if not self.safe or not self.is_fitted:
            return noise
        strain = batch.strain.detach().cpu().double().numpy()
        pairs: Sequence[tuple[np.ndarray, np.ndarray]] = list(zip(noise.cpu().numpy(), strain))
        safe = [safe_noise(one, other, self.sample_rate_hz, self.band_hz)[0] for one, other in pairs]
        return torch.from_numpy(np.stack(safe)).to(noise)

    def _look(self, batch: StrainBatch) -> None:
        batch = StrainBatch(*batch)
        noise = self._safe_noise(batch)
        edge = self._edge(noise.shape[1])
        inner = slice(edge, noise.shape[1] - edge)
        strain = batch.strain.double()
        self._measure.update(strain[:, inner], (strain - noise)[:, inner])

    def _log_measure(self, stage: str) -> None:
        if self._measure.power is None:
            return
        self._measure.power = self.trainer.strategy.reduce(self._measure.power, reduce_op="sum")
        for name, value in self._measure.figures().items():
            self.log(f"{stage}/{name}", value, sync_dist=True)
