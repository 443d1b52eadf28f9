"""Means and samples of glitches, given the witnesses."""

# B batch, W witnesses, T samples of a window, E events of a window, N samples of an event, S samples drawn

from __future__ import annotations

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from lightning_itwin.models.glitch_events import Events, add_events, cut_events, find_events
from lightning_itwin.models.glitch_generator import GlitchGenerator
from lightning_itwin.models.glitch_response import GlitchResponse
from lightning_itwin.models.glitch_settings import GeneratorSettings, VetoSettings


class GlitchSampling(LightningModule):
    """The part of ``GlitchFlow`` that predicts; its parts are set by the constructor there."""

    num_witnesses: int
    event_samples: int
    settings: GeneratorSettings
    veto: VetoSettings
    response: GlitchResponse
    generator: GlitchGenerator
    noisy_target: Tensor

    def forward(self, witnesses: Tensor) -> Tensor:
        """Predict the mean of the whitened glitch.

        Args:
            witnesses: conditioned witnesses, see ``GlitchBatch``, (B, W, T).

        Returns:
            (B, T); exactly 0 in windows in which every witness is quiet.
        """
        return self._predict(witnesses)[0]

    def physical(self, witnesses: Tensor) -> Tensor:
        """Predict the mean of the glitch in the strain's own units, float64 (B, T)."""
        return self._predict(witnesses)[1].double() * self.response.strain_scale

    @torch.no_grad()
    def sample(
        self,
        witnesses: Tensor,
        num_samples: int,
        steps: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw whitened glitches, given the witnesses.

        Args:
            witnesses: (B, W, T).
            num_samples: samples S of each window.
            steps: of the sampler; those of the settings if not given.
            generator: of the noise.

        Returns:
            (S, B, T).
        """
        mean = self(witnesses)
        events = self.events(mean)
        pieces = self.sample_events_of(mean, events, num_samples, steps, generator)
        pieces = pieces - cut_events(mean, events.centre, self.event_samples) * (events.snr > 0)[..., None]
        return add_events(mean.expand(num_samples, -1, -1), pieces, events.centre)

    def sample_population(
        self, count: int, lowest_snr: float = 0.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw whitened glitches without witnesses, for mock data.

        Args:
            count: how many.
            lowest_snr: quieter ones are drawn anew.
            generator: of the random numbers.

        Returns:
            (count, N); the loudest time is about in the middle.
        """
        return self.generator.population.sample(count, lowest_snr, generator)

    def events(self, mean: Tensor) -> Events:
        """Find the events of predicted glitches, (B, T)."""
        return find_events(mean, self.event_samples, self.settings.events, self.settings.lowest_snr)

    @torch.no_grad()
    def sample_events_of(
        self,
        mean: Tensor,
        events: Events,
        num_samples: int,
        steps: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw the events of windows, (S, B, E, N); 0 where there is none.

        Args:
            mean: predicted whitened glitches, (B, T).
            events: found in them.
            num_samples: samples S.
            steps: of the sampler.
            generator: of the noise.
        """
        pieces = cut_events(mean, events.centre, self.event_samples)
        there = events.snr > 0
        drawn = pieces.new_zeros(num_samples, *pieces.shape)
        rows = pieces[there]
        if len(rows):
            flat = rows.repeat(num_samples, 1)
            inner = self.generator.sample_residual(flat, steps or self.settings.steps, generator)
            inner = inner.view(num_samples, len(rows), -1)
            if self.noisy_target:
                # The spread of white noise of unit variance is in the samples; what is more is the glitch's.
                middle, variance = inner.mean(dim=0), inner.var(dim=0).clamp(min=1e-6)
                inner = middle + (inner - middle) * ((variance - 1).clamp(min=0) / variance).sqrt()
            drawn[:, there] = rows + inner @ self.generator.residual_basis
        return drawn

    def _predict(self, witnesses: Tensor) -> tuple[Tensor, Tensor]:
        if witnesses.ndim != 3 or witnesses.shape[1] != self.num_witnesses:
            raise ValueError(
                f"GlitchFlow takes (batch, {self.num_witnesses} witnesses, time), not a tensor of shape "
                f"{tuple(witnesses.shape)}."
            )
        return self.response(witnesses.float())

    def _gather(self, rows: Tensor) -> Tensor:
        """Join the rows of all processes' tensors, in the order of ranks."""
        if self.trainer.world_size == 1:
            return rows
        counts = torch.zeros(self.trainer.world_size, dtype=torch.long, device=self.device)
        counts[self.global_rank] = len(rows)
        counts = self.trainer.strategy.reduce(counts, reduce_op="sum")
        padded = rows.new_zeros(int(counts.max()), *rows.shape[1:]).to(self.device)
        padded[: len(rows)] = rows
        gathered = self.trainer.strategy.all_gather(padded)
        return torch.cat([one[:count] for one, count in zip(gathered, counts.tolist())]).to(rows.device)
