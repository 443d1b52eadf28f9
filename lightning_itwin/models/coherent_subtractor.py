"""CoherentSubtractor: what witnesses know of the noise in a strain: a closed form, refined by gradient."""

# B batch, W witnesses, R rows, T samples of a window, F features, K taps

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from lightning_itwin.models.deep_clean import DeepCleanNetwork
from lightning_itwin.models.subtraction_measure import SubtractionMeasure
from lightning_itwin.models.subtraction_module import SubtractionModule
from lightning_itwin.models.subtraction_network import RefinementSettings, SubtractionNetwork
from lightning_itwin.models.warmup_cosine import warmup_cosine
from lightning_itwin.strain.strain_batch import StrainBatch
from lightning_itwin.subtraction.features import Feature, FeatureLibrary, WitnessFacts
from lightning_itwin.subtraction.fitting import Data, Fit, FitSettings, fit
from lightning_itwin.subtraction.noise_filter import NoiseFilter

Method = Literal["linear", "bilinear", "closed_form", "refined", "deep_clean"]
_SEGMENTS_A_BLOCK = 64
_LOOK_S = 256.0
_WARMUP_STEPS = 10
_FIT, _REFINEMENT = FitSettings(), RefinementSettings()


class CoherentSubtractor(SubtractionModule):
    """Predicts the noise in a detector's strain from its witness channels.

    ``noise(t) = sum_f (h_f * x_f)(t)`` with features x of the witnesses: a fast witness w, products of it
    with a slow one, fringes of a slow one, and saturations of one that sees glitches. The sums of cross
    spectra that the responses h follow from are made in ``setup``, in two passes over the training part,
    added up over all processes. Training then refines this closed form by gradient, as
    :class:`~lightning_itwin.models.subtraction_network.SubtractionNetwork` says. After each validation the
    refined network replaces what was best until then, the closed form at first, if it explains the
    validation part better by more than a standard error; only what is best is ever used.

    Witnesses that carry the strain itself are found and left out. Where the strain of a window would
    become louder, nothing is subtracted.

    Logged metrics: ``train/loss`` and ``val/loss`` (mean logarithm of the whitened power that is left; of
    ``deep_clean`` the mean ratio of ASDs); ``val/asd_ratio_in_band`` (mean over the band of the ASD after
    subtraction over the ASD before), ``val/noise_power_removed_fraction`` (of the whitened power in the
    band), ``val/raw_range_mpc`` and ``val/clean_range_mpc`` (of binary neutron stars); the last four under
    ``test/`` also.

    Args:
        num_witnesses: witness channels W.
        sample_rate_hz: sample rate.
        band_hz: lower and upper edge of the band in which noise is looked for.
        method: ``refined``; ``closed_form`` without refinement; or published baselines: the ``linear`` and
            the ``bilinear`` Wiener filter, and ``deep_clean``, an autoencoder.
        fitting: which features, and how they are chosen.
        refinement: what is refined.
        learning_rate: highest learning rate of Adam; it rises over 10 steps and falls as a cosine to 0 at
            the last step of the training.
        safe: whether a window's own strain decides where nothing is subtracted.
        folder: where ``predict`` writes; ``cleaned`` in the folder of the logs if not given.

    Raises:
        ValueError: a value is outside its range, or differs from the datamodule's.

    Reference:
        Vajente et al. 2020, arXiv:1911.09083: bilinear couplings; Was et al. 2021, arXiv:2011.03539:
        scattered light; Ormiston et al. 2020, arXiv:2005.06534: DeepClean; the features are chosen as
        ``lightning_itwin.subtraction`` says.

    >>> CoherentSubtractor(num_witnesses=3)(torch.zeros(2, 3, 4096)).shape
    torch.Size([2, 4096])
    """

    unit: Tensor
    refined: Tensor

    def __init__(
        self,
        num_witnesses: int = 10,
        sample_rate_hz: float = 1024.0,
        band_hz: tuple[float, float] = (10.0, 450.0),
        method: Method = "refined",
        fitting: FitSettings = _FIT,
        refinement: RefinementSettings = _REFINEMENT,
        learning_rate: float = 0.03,
        safe: bool = True,
        folder: str | None = None,
    ) -> None:
        super().__init__(num_witnesses, sample_rate_hz, band_hz, safe, folder)
        if method not in get_args(Method):
            raise ValueError(f"method must be one of {', '.join(get_args(Method))}, not {method!r}.")
        if learning_rate <= 0:
            raise ValueError(f"learning_rate must be above 0, not {learning_rate}.")
        fitting = FitSettings.of(fitting)
        if isinstance(refinement, Mapping):
            refinement = RefinementSettings(**refinement)
        self.save_hyperparameters(
            {
                "_class_path": "lightning_itwin.models.CoherentSubtractor",  # for LightningCLI
                "num_witnesses": num_witnesses,
                "sample_rate_hz": sample_rate_hz,
                "band_hz": list(band_hz),
                "method": method,
                "fitting": asdict(fitting),
                "refinement": asdict(refinement),
                "learning_rate": learning_rate,
                "safe": safe,
            }
        )
        self.method, self.refinement, self.learning_rate = method, refinement, learning_rate
        self.fitting = replace(fitting, level=method) if method in ("linear", "bilinear") else fitting
        self.taps = nn.Parameter(torch.zeros(0, 1))
        self.register_buffer("unit", torch.ones((), dtype=torch.float64))
        self.register_buffer("refined", torch.zeros((), dtype=torch.bool))
        self.network: SubtractionNetwork | DeepCleanNetwork | None = None
        self.best: SubtractionNetwork | DeepCleanNetwork | None = None
        self.automatic_optimization = method in ("refined", "deep_clean")
        self._facts: dict[str, Any] = {}
        self._filter: NoiseFilter | None = None
        self._candidate = SubtractionMeasure(sample_rate_hz, self.band_hz)
        self._losses = torch.zeros(4, dtype=torch.float64)
        if method == "deep_clean":
            self._set_network(DeepCleanNetwork(num_witnesses, sample_rate_hz, self.band_hz))

    @property
    def is_fitted(self) -> bool:
        """Whether there is a response, found by ``fit`` or read from a checkpoint."""
        return bool(self._facts) or bool(self.refined)

    @property
    def unsafe_channels(self) -> list[str]:
        """Witnesses that carry the strain itself, and were left out."""
        return list(self._facts.get("unsafe", []))

    @property
    def ranking(self) -> list[tuple[str, float]]:
        """Witnesses by their share of the evidence, the best first."""
        return [(name, share) for name, share in self._facts.get("ranking", [])]

    @property
    def told(self) -> Mapping[str, str]:
        """What the report of ``predict`` says of the model, by name."""
        facts = {"method": self.method.replace("_", " ")}
        if self.method == "refined":
            facts["refined by gradient"] = "yes" if self.refined else "no: validation did not improve"
        if self.method != "deep_clean":
            facts["unsafe channels, left out"] = ", ".join(self.unsafe_channels) or "none"
        return facts

    @property
    def reach(self) -> int:
        """Samples on each side that a predicted sample depends on, at most."""
        if self.refined and self.best is not None:
            return self.best.reach
        return self.noise_filter.reach if self._facts else 0

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit" and self.trainer.ckpt_path is None:
            self._fit(getattr(self.trainer, "datamodule", None))

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
        if self.refined and self.best is not None:
            return self._predicted(self.best, witnesses).to(witnesses)
        if not self._facts:
            return torch.zeros_like(witnesses[:, 0])
        rows = [self.noise_filter(one) for one in witnesses.detach().cpu().double().numpy()]
        return torch.from_numpy(np.stack(rows)).to(witnesses)

    def training_step(self, batch: StrainBatch, batch_idx: int) -> Tensor | None:
        if self.network is None:
            # All was found before the first batch. Lightning keeps a checkpoint only once a step was counted.
            self.optimizers().step()  # type: ignore[union-attr]  # there is one
            return None
        batch = StrainBatch(*batch)
        strain = (batch.strain.double() / self.network.unit).float()
        noise = self.network(self._rows(self.network, batch.witnesses))
        loss = self.network.losses(strain, noise).mean()
        self.log("train/loss", loss, prog_bar=True)
        return loss + self.network.penalty()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        if self.network is None:
            return torch.optim.SGD([self.taps], lr=0.0)
        optimizer = torch.optim.Adam(self.network.groups(self.learning_rate), betas=(0.9, 0.99))
        return warmup_cosine(optimizer, self.trainer.estimated_stepping_batches, _WARMUP_STEPS)

    def on_validation_epoch_start(self) -> None:
        self._measure.reset()
        self._candidate.reset()
        self._losses = torch.zeros(4, dtype=torch.float64, device=self.device)

    def validation_step(self, batch: StrainBatch, batch_idx: int) -> None:
        batch = StrainBatch(*batch)
        noise = self(batch.witnesses.double())
        self.measure(self._measure, batch, self.safe_noise(batch, noise))
        if self.network is None:
            return
        new = self._predicted(self.network, batch.witnesses)
        if self.trainer.state.fn == "fit":
            self.measure(self._candidate, batch, self.safe_noise(batch, new))
        unit = self.network.unit
        scaled = batch.strain.double() / unit
        before, after = (self.network.losses(scaled, one.double() / unit) for one in (noise, new))
        gain = (before - after).double()
        sums = torch.stack([gain.sum(), gain.square().sum(), before.double().sum()])
        self._losses[:3] += sums
        self._losses[3] += gain.numel()

    def on_validation_epoch_end(self) -> None:
        measure = self._measure
        if self.network is not None:
            total = self.trainer.strategy.reduce(self._losses, reduce_op="sum")
            gain, square, before, count = total.tolist()
            error = max(square / count - (gain / count) ** 2, 0.0) ** 0.5 / count**0.5
            better = self.trainer.state.fn == "fit" and not self.trainer.sanity_checking
            if better and gain / count > error:
                self._take_over()
                measure = self._candidate
                before -= gain
            self.log("val/loss", before / count, prog_bar=True, sync_dist=True)
        self.log_measure("val", measure)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["coherent_subtractor"] = json.dumps(self._facts)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._facts = json.loads(checkpoint["coherent_subtractor"])
        # The number of features is known now, so that there is room for what is loaded next.
        self.taps = nn.Parameter(torch.zeros_like(checkpoint["state_dict"]["taps"], device=self.device))
        self._filter = None
        if self.method == "refined" and self._facts:
            self._refine()
        self._filter = None

    @property
    def noise_filter(self) -> NoiseFilter:
        """The closed form, which predicts the noise of arrays."""
        if not self._facts:
            raise RuntimeError("CoherentSubtractor has no response yet: fit it, or load a checkpoint.")
        if self._filter is None:
            library = FeatureLibrary(
                [WitnessFacts(**one) for one in self._facts["witnesses"]],
                self.sample_rate_hz,
                self.fitting.level,
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
        stretches = datamodule.stretches("train")
        if self.method != "deep_clean":
            data = Data(
                names=datamodule.aligned.names,
                sample_rate_hz=self.sample_rate_hz,
                band_hz=self.band_hz,
                stretches=stretches,
                read=datamodule.read,
                blocks=datamodule.blocks("train", 2 * half, half, _SEGMENTS_A_BLOCK),
                reduce=self._summed,
            )
            self.set_fit(fit(data, self.fitting))
        if self.method == "refined":
            self._refine()
        if self.network is not None and self.best is not None:
            # All processes look at the same stretch.
            begin, end = max(stretches.tolist(), key=lambda stretch: stretch[1] - stretch[0])
            values = datamodule.read(begin, min(end, begin + round(_LOOK_S * self.sample_rate_hz)))
            samples = int((stretches[:, 1] - stretches[:, 0]).sum())
            self.network.look_at(values, samples, self.band_hz)
            self.best.load_state_dict(self.network.state_dict())

    def _refine(self) -> None:
        """Make the network that begins as the closed form, if this found anything."""
        if not self.noise_filter.features:
            self.automatic_optimization = False
            return
        self._set_network(SubtractionNetwork(self.noise_filter, self.refinement))

    def _set_network(self, network: SubtractionNetwork | DeepCleanNetwork) -> None:
        self.network = network.to(self.device)
        self.best = copy.deepcopy(self.network).double().requires_grad_(False)
        self.taps.requires_grad_(False)

    def _take_over(self) -> None:
        """Let what was trained until now predict from now on."""
        if self.network is not None and self.best is not None:
            self.best.load_state_dict(self.network.state_dict())
            self.refined.fill_(True)

    def _rows(self, network: SubtractionNetwork | DeepCleanNetwork, witnesses: Tensor) -> Tensor:
        """Give what a network reads, (B, R, T), in its precision."""
        rows = [network.inputs(one) for one in witnesses.detach().cpu().double().numpy()]
        like = next(network.parameters())
        return torch.from_numpy(np.stack(rows)).to(like)

    def _predicted(self, network: SubtractionNetwork | DeepCleanNetwork, witnesses: Tensor) -> Tensor:
        """Predict the noise in units of the strain, float64 (B, T)."""
        was_training = network.training
        network.eval()
        with torch.no_grad():
            noise = network(self._rows(network, witnesses)).double() * network.unit
        network.train(was_training)
        return noise

    def _summed(self, series: np.ndarray) -> np.ndarray:
        """Add a series up over processes."""
        if self.trainer.world_size == 1:
            return series
        given = torch.from_numpy(series).to(self.trainer.strategy.root_device)
        total = self.trainer.strategy.reduce(given, reduce_op="sum")
        return np.asarray(total.cpu().numpy()) if isinstance(total, Tensor) else series
