"""What GlitchFlow measures in validation and test."""

# B batch, T samples of a window, E events of a window, N samples of an event, S samples drawn

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_itwin.metrics.two_sample import area_under_roc, two_sample_auc
from lightning_itwin.models.glitch_events import cut_events
from lightning_itwin.models.glitch_sampling import GlitchSampling
from lightning_itwin.models.glitch_scores import WindowScores, veto_probability
from lightning_itwin.strain.glitch_batch import GlitchBatch

_FEWEST_FOR_AUC = 40
_COVERED = 16  # leading directions of what the mean leaves


class GlitchTesting(GlitchSampling):
    """The hooks of validation and test of ``GlitchFlow``; they measure where the truth is known."""

    def on_validation_epoch_start(self) -> None:
        self._begin()

    def validation_step(self, batch: GlitchBatch, batch_idx: int) -> None:
        self._score(batch, generate=False)

    def on_validation_epoch_end(self) -> None:
        scores = self._joined()
        if scores is None:
            return
        summary = scores.summary(self.veto.snr)
        for name in ("mismatch_median", "residual_snr_below_5_fraction", "unwitnessed_altered_median"):
            if not math.isnan(summary[name]):
                self.log(f"val/{name}", summary[name], sync_dist=True, prog_bar=name == "mismatch_median")

    def on_test_epoch_start(self) -> None:
        self._begin()

    def test_step(self, batch: GlitchBatch, batch_idx: int) -> None:
        self._score(batch, generate=True)

    def on_test_epoch_end(self) -> None:
        scores = self._joined()
        if scores is None:
            return
        figures = scores.summary(self.veto.snr)
        loud = (scores.snr >= self.veto.snr).long()
        if 0 < int(loud.sum()) < len(loud):
            figures["veto_auc"] = area_under_roc(scores.veto, loud)
        figures["false_vetoes_at_95_percent_efficiency"] = scores.false_vetoes(self.veto.snr, 0.95)
        true, drawn, rank = (self._gather(torch.cat(rows)) for rows in zip(*self._events_seen))
        if len(true) >= _FEWEST_FOR_AUC:
            noise = torch.Generator(device=self.device).manual_seed(0)
            real = self._with_noise(true, noise)
            figures["two_sample_auc"] = two_sample_auc(real, self._with_noise(drawn, noise))
            mock = self.sample_population(len(true), self.veto.snr, noise)
            figures["population_two_sample_auc"] = two_sample_auc(real, self._with_noise(mock, noise))
            matches = (self.generator.population.best_match(one).median() for one in (true, mock))
            figures["best_match_median"], figures["population_best_match_median"] = map(float, matches)
            figures["coverage_80_percent"] = float(((rank > 0.1) & (rank < 0.9)).double().mean())
        for name, value in figures.items():
            if not math.isnan(value):
                self.log(f"test/{name}", value, sync_dist=True)

    def _begin(self) -> None:
        self._rows: list[WindowScores] = []
        self._events_seen: list[tuple[Tensor, Tensor, Tensor]] = []

    @torch.no_grad()
    def _score(self, batch: GlitchBatch, generate: bool) -> None:
        batch = GlitchBatch(*batch)
        known = torch.isfinite(batch.glitch).all(dim=1) & torch.isfinite(batch.other_glitch).all(dim=1)
        mean = self(batch.witnesses)
        events = self.events(mean)
        if not bool(known.all()):
            return
        pieces = self.sample_events_of(mean, events, self.veto.num_samples if generate else 2)
        snr = pieces.square().sum(dim=(2, 3)).sqrt()
        veto = veto_probability(snr, self.veto.snr)
        scores = WindowScores.of(mean, batch.glitch.float(), batch.other_glitch.float(), veto)
        self._rows.append(scores)
        if not generate:
            return
        half = self.event_samples // 2
        centre = events.centre[:, :1]
        first = pieces[:, :, 0]
        truth = cut_events(batch.glitch.float(), centre, self.event_samples)[:, 0]
        direction = cut_events(mean, centre, self.event_samples)[:, 0]
        basis = self.generator.residual_basis[:_COVERED]
        rank = ((first - direction) @ basis.T < (truth - direction) @ basis.T).double().mean(dim=0)
        counts = (scores.inner > 0) & (scores.snr >= self.veto.snr) & (events.snr[:, 0] > 0)
        counts &= (centre[:, 0] >= half) & (centre[:, 0] <= mean.shape[1] - half)
        self._events_seen.append((truth[counts], first[0][counts], rank[counts]))

    def _joined(self) -> WindowScores | None:
        rows = torch.cat([one.rows() for one in self._rows]) if self._rows else torch.zeros(0, 7)
        joined = self._gather(rows.to(self.device))
        return WindowScores.of_rows(joined.cpu()) if len(joined) else None

    @staticmethod
    def _with_noise(events: Tensor, generator: torch.Generator) -> Tensor:
        """Add the detector's whitened noise: what is below it, nobody sees."""
        noise = torch.randn(events.shape, generator=generator, device=events.device)
        return events.float() + noise
