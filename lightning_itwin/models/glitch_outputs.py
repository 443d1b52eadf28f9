"""What GlitchFlow writes in ``predict``: the strain without witnessed glitches, and a list of vetoes."""

# B batch, T samples of a window, E events of a window

from __future__ import annotations

from torch import Tensor

from lightning_itwin.models.cleaned_output import CleanedOutput
from lightning_itwin.models.glitch_scores import veto_probability
from lightning_itwin.models.glitch_testing import GlitchTesting
from lightning_itwin.strain.glitch_batch import GlitchBatch

_EDGE = 4  # part of a window, at each end, that counts only where no other window has it


class GlitchOutputs(CleanedOutput, GlitchTesting):
    """What ``GlitchFlow`` predicts of a window, and what it says of itself in the report."""

    sample_rate_hz: float
    explained: Tensor

    @property
    def title(self) -> str:
        return "GlitchFlow: the mean of glitches that witnesses have seen"

    @property
    def ranking(self) -> list[tuple[str, float]]:
        datamodule = getattr(self.trainer, "datamodule", None)
        if datamodule is None:
            return []
        explained = zip(datamodule.aligned.names[1:], self.explained.tolist())
        return sorted((one for one in explained if one[1] > 0), key=lambda one: -one[1])

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
