"""What GlitchFlow writes in ``predict``: the strain without witnessed glitches, and a list of vetoes."""

# B batch, T samples of a window, E events of a window

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from lightning_itwin.models.glitch_scores import veto_probability
from lightning_itwin.models.glitch_testing import GlitchTesting
from lightning_itwin.models.logged_figures import log_figures, log_texts
from lightning_itwin.models.weights_digest import weights_digest
from lightning_itwin.strain.glitch_batch import GlitchBatch

if TYPE_CHECKING:
    from lightning_itwin.subtraction.outputs.outputs import SubtractionOutputs

_EDGE = 4  # part of a window, at each end, that counts only where no other window has it


class GlitchOutputs(GlitchTesting):
    """The hooks of ``predict`` of ``GlitchFlow``."""

    sample_rate_hz: float
    explained: Tensor
    _outputs: SubtractionOutputs | None = None

    @property
    def output_folder(self) -> Path:
        """Where ``predict`` writes."""
        if self.veto.folder is not None:
            return Path(self.veto.folder)
        return Path(self.trainer.log_dir or self.trainer.default_root_dir) / "cleaned"

    def on_predict_start(self) -> None:
        datamodule = getattr(self.trainer, "datamodule", None)
        if datamodule is None or not hasattr(datamodule, "aligned"):
            return
        # Reports need packages that a training does not.
        from lightning_itwin.subtraction.outputs.outputs import SubtractionOutputs

        self._outputs = SubtractionOutputs.open(
            self.output_folder,
            datamodule,
            model="GlitchFlow: the mean of glitches that witnesses have seen",
            key=weights_digest(self),
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )

    def predict_step(self, batch: GlitchBatch, batch_idx: int) -> tuple[Tensor, Tensor]:
        """Predict the glitches of windows, and add them to what ``predict`` writes.

        Returns:
            The mean in the strain's own units, float64 (B, T), and the veto probability of each window, (B,).
        """
        batch = GlitchBatch(*batch)
        whitened, physical = self._predict(batch.witnesses)
        strain = physical.double() * self.response.strain_scale
        events = self.events(whitened)
        snr = self.sample_events_of(whitened, events, self.veto.num_samples).square().sum(dim=-1).sqrt()
        probability = veto_probability(snr, self.veto.snr) * (events.snr > 0)
        if self._outputs is not None:
            edge = batch.strain.shape[-1] // _EDGE
            self._outputs.add(batch.start, strain, edge=edge)
            inner = (events.centre >= edge) & (events.centre < batch.strain.shape[-1] - edge)
            listed = inner & (probability >= self.veto.probability)
            middle_s = batch.gps_s[:, None] + events.centre.double() / self.sample_rate_hz
            half_s = self.settings.event_s / 4
            self._outputs.add_vetoes(
                (middle_s - half_s)[listed], (middle_s + half_s)[listed], probability[listed]
            )
        whole = veto_probability(snr.square().sum(dim=2).sqrt(), self.veto.snr)
        return strain, whole * (events.snr > 0).any(dim=1)

    def on_predict_end(self) -> None:
        outputs, self._outputs = self._outputs, None
        if outputs is None:
            return
        outputs.close()
        self.trainer.strategy.barrier("GlitchFlow.predict")
        if self.trainer.is_global_zero:
            names = outputs.data.names[1:]
            explained = sorted(zip(names, self.explained.tolist()), key=lambda one: -one[1])
            figures = outputs.finish(ranking=[one for one in explained if one[1] > 0])
            log_figures(self.trainer.loggers, figures, self.global_step)
            log_texts(self.trainer.loggers, outputs.texts, self.global_step)
        self.trainer.strategy.barrier("GlitchFlow.predict.written")
