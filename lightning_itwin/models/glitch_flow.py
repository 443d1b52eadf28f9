"""GlitchFlow: generates a detector's glitches from the auxiliary channels that witness them."""

# B batch, W witnesses, T samples of a window, E events of a window, N samples of an event, S samples drawn

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, TypeVar

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from lightning_itwin.models.glitch_events import cut_events
from lightning_itwin.models.glitch_generator import GlitchGenerator
from lightning_itwin.models.glitch_outputs import GlitchOutputs
from lightning_itwin.models.glitch_response import GlitchResponse, ResponseSettings
from lightning_itwin.models.glitch_settings import GeneratorSettings, VetoSettings
from lightning_itwin.models.glitch_sums import fit_response
from lightning_itwin.models.warmup_cosine import warmup_cosine
from lightning_itwin.strain.glitch_batch import GlitchBatch

_WARMUP_STEPS = 100
_FEWEST_EVENTS = 8
_STRETCH = 8  # windows' lengths that belong to one half
_RESPONSE, _GENERATOR, _VETO = ResponseSettings(), GeneratorSettings(), VetoSettings()

_Settings = TypeVar("_Settings")


class GlitchFlow(GlitchOutputs):
    """Glitches of the whitened strain, given witness channels: their mean, samples, and a veto.

    The mean is that of a saturation before a linear path, solved in closed form from sums over the training
    windows before the first step; it is exactly 0 where every witness is quiet. What it leaves of an event
    is a distribution that a flow learns by flow matching. Without witnesses, glitches are drawn between those
    that were seen.

    Logged metrics: ``train/loss``; ``val/mismatch_median``,
    ``val/residual_snr_below_5_fraction`` and ``val/unwitnessed_altered_median``, where the truth is known;
    under ``test/`` all of ``WindowScores.summary``, ``test/two_sample_auc`` of conditional samples,
    ``test/population_two_sample_auc``, ``test/best_match_median`` of true events with any of the training,
    ``test/population_best_match_median`` of drawn ones, ``test/coverage_80_percent`` and the veto's
    efficiency.

    Args:
        num_witnesses: witness channels W.
        sample_rate_hz: sample rate.
        response: the mean.
        generator: the distributions.
        veto: what becomes of samples.
        learning_rate: highest learning rate of AdamW; it rises over 100 steps and falls as a cosine.

    Raises:
        ValueError: a value is outside its range, or differs from the datamodule's.

    Reference:
        Lipman et al. 2023, arXiv:2210.02747: flow matching; Narendra and Gallman 1966,
        doi:10.1109/TAC.1966.1098387: a nonlinearity before a linear system, solved by alternation.

    >>> GlitchFlow(num_witnesses=3)(torch.zeros(2, 3, 2048)).shape
    torch.Size([2, 2048])
    """

    prepared: Tensor
    noisy_target: Tensor
    explained: Tensor

    def __init__(
        self,
        num_witnesses: int = 10,
        sample_rate_hz: float = 1024.0,
        response: ResponseSettings = _RESPONSE,
        generator: GeneratorSettings = _GENERATOR,
        veto: VetoSettings = _VETO,
        learning_rate: float = 1e-3,
    ) -> None:
        super().__init__()
        if num_witnesses < 1 or sample_rate_hz < 64:
            raise ValueError(
                f"num_witnesses must be at least 1 and sample_rate_hz at least 64, not {num_witnesses} and "
                f"{sample_rate_hz}."
            )
        # A checkpoint holds plain values only, and gives them back here; the veto is asked for anew.
        response = _made(ResponseSettings, response)
        generator = _made(GeneratorSettings, generator)
        self.save_hyperparameters(
            {
                "_class_path": "lightning_itwin.models.glitch_flow.GlitchFlow",  # for LightningCLI
                "num_witnesses": num_witnesses,
                "sample_rate_hz": sample_rate_hz,
                "response": asdict(response),
                "generator": asdict(generator),
                "learning_rate": learning_rate,
            }
        )
        self.num_witnesses, self.sample_rate_hz = num_witnesses, sample_rate_hz
        self.settings, self.veto, self.learning_rate = generator, veto, learning_rate
        self.folder = veto.folder
        self.event_samples = 2 * round(generator.event_s * sample_rate_hz / 2)
        self.response = GlitchResponse(sample_rate_hz, response)
        self.generator = GlitchGenerator(self.event_samples, generator)
        self.register_buffer("prepared", torch.zeros((), dtype=torch.bool))
        self.register_buffer("noisy_target", torch.zeros((), dtype=torch.bool))
        self.register_buffer("explained", torch.zeros(num_witnesses))
        self._means = self._targets = torch.zeros(0, self.event_samples)

    def setup(self, stage: str) -> None:
        datamodule = getattr(self.trainer, "datamodule", None)
        for name in ("num_witnesses", "sample_rate_hz"):
            given = getattr(datamodule, name, getattr(self, name))
            if given != getattr(self, name):
                raise ValueError(
                    f"GlitchFlow has {name}={getattr(self, name)}, but {type(datamodule).__name__} has "
                    f"{given}. Give the model what the data have: {name}={given}."
                )
        taps = getattr(datamodule, "whitening_taps", None) if stage == "fit" else None
        if taps is not None and not self.prepared:
            self.set_whitening(torch.as_tensor(taps))

    def set_whitening(self, taps: Tensor) -> None:
        """Set the filter that whitens the strain, before a fit; without, the strain counts as white.

        Args:
            taps: impulse response, odd length, zero lag in the middle.
        """
        scale = 1 / taps.double().abs().max()
        self.response.strain_scale.copy_(scale)
        self.response.whitening = (taps.double() * scale).to(self.response.kernel)

    def on_train_start(self) -> None:
        if not self.prepared:
            self.explained = fit_response(
                self.response,
                lambda: (
                    (batch.witnesses, batch.strain, self._half(batch)) for batch in self._training_windows()
                ),
                self.num_witnesses,
                lambda sums: self.trainer.strategy.reduce(sums.to(self.device), reduce_op="sum").cpu(),
                self._gather,
            ).to(self.explained)
        self._collect()
        if not self.prepared:
            self.generator.prepare(self._means, self._targets, bool(self.noisy_target))
            self.prepared.fill_(True)

    def training_step(self, batch: GlitchBatch, batch_idx: int) -> Tensor:
        rows = torch.randint(len(self._means), (self.settings.events_per_step,), device=self.device)
        loss = self.generator.loss(self._means[rows], self._targets[rows])
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = torch.optim.AdamW(self.generator.parameters(), lr=self.learning_rate, weight_decay=1e-2)
        return warmup_cosine(optimizer, self.trainer.estimated_stepping_batches, _WARMUP_STEPS)

    @staticmethod
    def _half(batch: GlitchBatch) -> Tensor:
        # By long stretches of time: windows overlap.
        return batch.start // (_STRETCH * batch.strain.shape[-1]) % 2

    def _target(self, batch: GlitchBatch) -> Tensor:
        known = bool(torch.isfinite(batch.glitch).all())
        if self.settings.target == "glitch" and not known:
            raise ValueError(
                "The data do not tell the true glitches; train with generator.target=strain, or auto."
            )
        return batch.glitch if known and self.settings.target != "strain" else batch.strain

    def _training_windows(self) -> Iterator[GlitchBatch]:
        # A loader of its own: the Trainer's may wait in the middle of an epoch.
        datamodule = getattr(self.trainer, "datamodule", None)
        loader: Any = self.trainer.train_dataloader if datamodule is None else datamodule.train_dataloader()
        for batch in loader:
            yield self.trainer.strategy.batch_to_device(GlitchBatch(*batch), self.device)

    @torch.no_grad()
    def _collect(self) -> None:
        """Cut the events of all training windows out, those of all processes for each of them."""
        means, targets = [], []
        half, noisy = self.event_samples // 2, False
        for batch in self._training_windows():
            mean = self(batch.witnesses)
            target = self._target(batch)
            noisy |= target is batch.strain
            events = self.events(mean)
            whole = (events.centre >= half) & (events.centre <= mean.shape[1] - half)
            there = (events.snr > 0) & whole
            means.append(cut_events(mean, events.centre, self.event_samples)[there])
            targets.append(cut_events(target.float(), events.centre, self.event_samples)[there])
        self._means, self._targets = self._gather(torch.cat(means)), self._gather(torch.cat(targets))
        self.noisy_target.fill_(noisy)
        if len(self._means) < _FEWEST_EVENTS:
            raise ValueError(
                f"Only {len(self._means)} glitches of the training windows follow from the witnesses, and at "
                f"least {_FEWEST_EVENTS} are needed: train on more data, or give channels that see glitches."
            )


def _made(kind: type[_Settings], given: _Settings | dict[str, Any]) -> _Settings:
    return kind(**given) if isinstance(given, dict) else given
