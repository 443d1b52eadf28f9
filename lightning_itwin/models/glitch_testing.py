"""What GlitchFlow measures in validation and test."""

# B batch, T samples of a window, E events of a window, N samples of an event, S samples drawn

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lightning_itwin.metrics.two_sample import area_under_roc, two_sample_auc
from lightning_itwin.models.glitch_events import cut_events
from lightning_itwin.models.glitch_sampling import GlitchSampling
from lightning_itwin.models.glitch_scores import WindowScores, veto_probability
from lightning_itwin.models.logged_figures import log_figures
from lightning_itwin.optional import available
from lightning_itwin.strain.glitch_batch import GlitchBatch

_FEWEST_FOR_AUC = 40
_COVERED = 16  # leading directions of what the mean leaves
_DRAWN = 3  # events in a figure


class GlitchTesting(GlitchSampling):
    """The hooks of validation and test of ``GlitchFlow``; they measure where the truth is known."""

    sample_rate_hz: float

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
        if self.trainer.is_global_zero and self.trainer.loggers and available("matplotlib"):
            log_figures(self.trainer.loggers, self._figures(scores), self.global_step)

    def _begin(self) -> None:
        self._rows: list[WindowScores] = []
        self._events_seen: list[tuple[Tensor, Tensor, Tensor]] = []
        self._shown: list[tuple[Tensor, Tensor]] = []

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
        if sum(len(one) for one, _ in self._shown) < _DRAWN:
            self._shown.append((truth[counts].cpu(), first[:, counts].cpu()))

    def _joined(self) -> WindowScores | None:
        rows = torch.cat([one.rows() for one in self._rows]) if self._rows else torch.zeros(0, 7)
        joined = self._gather(rows.to(self.device))
        return WindowScores.of_rows(joined.cpu()) if len(joined) else None

    def _figures(self, scores: WindowScores) -> dict[str, Any]:
        """Draw generated glitches beside true ones, and the veto, by tag."""
        from lightning_itwin.subtraction.report import figures, generated_figures
        from lightning_itwin.subtraction.report.evidence import VetoCurve

        found = {}
        dead, caught = (one.numpy() for one in scores.veto_curve(self.veto.snr))
        threshold = scores.veto.sort(descending=True).values.numpy()
        curve = VetoCurve(
            threshold=threshold, dead_time=dead[1:], efficiency={"glitches with a witness": caught[1:]}
        )
        found["test/veto"] = figures.veto_figure(curve)
        truth = torch.cat([one for one, _ in self._shown])[:_DRAWN]
        samples = torch.cat([one for _, one in self._shown], dim=1)[:, :_DRAWN]
        if len(truth):
            noise = torch.Generator().manual_seed(0)
            mock = self.sample_population(len(truth), self.veto.snr).cpu()
            kinds = {"true": truth, "from witnesses": samples[0], "without any": mock}
            found["test/samples"] = generated_figures.samples_figure(
                truth.numpy(), samples.numpy(), self.sample_rate_hz
            )
            columns = {name: self._with_noise(one, noise).numpy() for name, one in kinds.items()}
            found["test/scans"] = generated_figures.generated_scans_figure(columns, self.sample_rate_hz)
        return found

    @staticmethod
    def _with_noise(events: Tensor, generator: torch.Generator) -> Tensor:
        """Add the detector's whitened noise: what is below it, nobody sees."""
        noise = torch.randn(events.shape, generator=generator, device=events.device)
        return events.float() + noise
