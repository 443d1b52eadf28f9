"""GWFlow: posteriors of a compact binary's parameters from the strain of a network of detectors."""

# B batch, D detectors, T samples, P parameters, N posterior samples, E events

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional

from lightning_itwin.cuda_graph import RecordedAdamW
from lightning_itwin.models.gw_calibration import CalibrationTest
from lightning_itwin.models.gw_embedding import EmbeddingSettings
from lightning_itwin.models.gw_estimator import GWEstimator
from lightning_itwin.models.gw_posteriors import PosteriorWriter, turned_to
from lightning_itwin.models.gw_settings import FlowSettings, PosteriorSettings, ReferenceFrame
from lightning_itwin.models.logged_figures import log_figures
from lightning_itwin.models.warmup_cosine import warmup_cosine
from lightning_itwin.models.weights_digest import digest, weights_digest


class Batch(NamedTuple):
    """What the model reads of a batch; a datamodule's own tuple has the same fields in the same order.

    Args:
        strain: whitened, (B, D, T) float32.
        theta: the prior's free parameters, NaN where nobody knows them, (B, P) float64.
        psd_index: set of PSDs of each event, (B,) int64.
    """

    strain: Tensor
    theta: Tensor
    psd_index: Tensor


_EMBEDDING = EmbeddingSettings()
_FLOW = FlowSettings()
_POSTERIORS = PosteriorSettings()


class GWFlow(GWEstimator):
    """Neural posterior estimation: an embedding of the strain, and a conditional spline flow.

    ``q(theta | d) = N(T(z; c(d))) |dT / dz| |dz / dtheta|``, trained on ``-log q`` of simulated events.
    z(theta) are coordinates in which the prior is N(0, 1) (``GaussianCoordinates``), so that samples keep to
    its bounds; c is the embedding's context; of several sets of PSDs the event's own, in 24 bands, goes in.

    What the data are (detectors, duration, rate, band, PSDs, prior, waveform) is read off the datamodule when
    a training begins, and kept in the checkpoint. Other data are refused afterwards.

    Logged metrics: ``train/loss`` (on a GPU not on the progress bar, for which it would wait), ``val/loss``,
    ``test/loss``: -log q in nat, of the parameters in their own units; ``val/information_nat``: mean of log q
    over log prior, what the data tell; ``val/coverage_50`` and ``val/coverage_90``: share of true parameters
    inside the flow's own 50 % and 90 % regions, known without drawing a sample. ``test`` draws samples and
    adds P-P plot, coverage and ranks (``CalibrationTest``);
    ``predict`` writes posteriors with importance weights, event by event (``PosteriorWriter``).

    Args:
        embedding: kind and size of the embedding.
        flow: size of the flow.
        posteriors: what ``test`` and ``predict`` draw and write; not kept in a checkpoint.
        learning_rate: highest rate of AdamW; it rises over ``warmup_steps`` and falls as a cosine to 0 at the
            last step of the training.
        warmup_steps: steps of the rise.
        weight_decay: of AdamW.
        synthetic_phase: the flow learns all parameters but ``phase``, which is drawn from its exact
            conditional afterwards; for waveforms that turn as a whole with the phase.
        reference_frame: in which the flow learns sky position and time. ``"detectors"``: the time of arrival
            at the first one, and a sky whose pole lies along their longest baseline, where posteriors are
            simpler (``DetectorFrame``); samples come in the sky's own all the same.

    Raises:
        ValueError: a value is outside its range.
        ObservationDiffersError: the data differ from those of the training.
        MissingExtraError: nflows or bilby are not installed.

    Reference:
        Dax et al. 2021, arXiv:2106.12594: neural posterior estimation of compact binaries (DINGO); 2023,
        arXiv:2210.05686: importance weights and synthetic phase.
    """

    def __init__(
        self,
        embedding: EmbeddingSettings = _EMBEDDING,
        flow: FlowSettings = _FLOW,
        posteriors: PosteriorSettings = _POSTERIORS,
        learning_rate: float = 1e-3,
        warmup_steps: int = 200,
        weight_decay: float = 1e-4,
        synthetic_phase: bool = False,
        reference_frame: ReferenceFrame = "sky",
    ) -> None:
        if learning_rate <= 0 or weight_decay < 0:
            raise ValueError(
                "learning_rate must be above 0 and weight_decay at least 0, not "
                f"{learning_rate} and {weight_decay}."
            )
        if reference_frame not in get_args(ReferenceFrame):
            raise ValueError(f"reference_frame must be 'sky' or 'detectors', not {reference_frame!r}.")
        # A checkpoint holds plain values only, and gives them back here.
        embedding = _made(EmbeddingSettings, embedding)
        flow = _made(FlowSettings, flow)
        posteriors = _made(PosteriorSettings, posteriors)
        without = ("phase",) if synthetic_phase else ()
        super().__init__(embedding, flow, posteriors, without, reference_frame)
        # What becomes of posteriors is left out: it is asked for anew each time.
        self.save_hyperparameters(
            {
                "_class_path": "lightning_itwin.models.GWFlow",  # for LightningCLI
                "embedding": asdict(embedding),
                "flow": asdict(flow),
                "learning_rate": learning_rate,
                "warmup_steps": warmup_steps,
                "weight_decay": weight_decay,
                "synthetic_phase": synthetic_phase,
                "reference_frame": reference_frame,
            }
        )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = -self._network.log_prob(*batch).mean()
        # A bar that shows it waits for a GPU at every step.
        self.log("train/loss", loss, prog_bar=not loss.is_cuda)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        densities = self._network.densities(*batch)
        metrics = {
            "val/loss": -densities.log_prob,
            "val/information_nat": densities.information,
            "val/coverage_50": (densities.region < 0.5).double(),
            "val/coverage_90": (densities.region < 0.9).double(),
        }
        for name, values in metrics.items():
            self.log(
                name, values.mean().float(), prog_bar="loss" in name, sync_dist=True, batch_size=len(values)
            )

    def on_test_epoch_start(self) -> None:
        self._calibration = CalibrationTest(self._prior, self.names)
        self._left_to_weigh = self.posterior_settings.weighed_test_events

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        strain, theta, psd_index = batch
        samples, log_prob = self._network.draw(strain, self.posterior_settings.num_test_samples, psd_index)
        densities = self._network.densities(*batch)
        self.log("test/loss", -densities.log_prob.mean().float(), sync_dist=True, batch_size=len(strain))
        efficiencies = np.full(len(strain), np.nan)
        for event in range(min(len(strain), self._left_to_weigh)):
            proposed = self._posterior(samples[event], log_prob[event])
            efficiencies[event] = self._weigh(proposed, strain[event], psd_index[event]).efficiency
        self._left_to_weigh -= min(len(strain), self._left_to_weigh)
        truths = theta[:, self._network.columns_P]
        self._calibration.update(samples, log_prob, truths, densities.log_prob, efficiencies)

    def on_test_epoch_end(self) -> None:
        rows = self._of_all_ranks(self._calibration.rows())
        if not len(rows):
            return
        result = self._calibration.result(rows)
        self.log_dict(result.metrics(), rank_zero_only=True)
        folder = self._folder / "calibration"
        if self.trainer.is_global_zero:
            result.write_tables(folder)
            figures = result.figures()
            for name, figure in figures.items():
                figure.savefig(folder / f"{name}.png", dpi=110)
            tagged = {f"test/{name}": figure for name, figure in figures.items()}
            log_figures(self.trainer.loggers, tagged, self.global_step)

    def on_predict_start(self) -> None:
        settings = self.posterior_settings
        folder = Path(settings.folder) if settings.folder else self._folder / "posteriors"
        self._writer = PosteriorWriter(folder, settings)
        self._key = digest(weights_digest(self._network), asdict(settings))

    def predict_step(self, batch: Batch, batch_idx: int) -> list[str]:
        """Write the posteriors of a batch's events and print their tables.

        Returns:
            Paths of the bilby results.
        """
        strain, theta, psd_index = batch
        told = self._events_of(batch_idx, len(strain))
        paths = []
        for event, (label, gps_time_s) in enumerate(told):
            one = slice(event, event + 1)
            seen = digest(label, gps_time_s, strain[event].flatten(), int(psd_index[event]))
            key = digest(self._key, seen)
            paths.append(str(self._writer.path(label)))
            if self._writer.is_done(label, key):
                print(f"\n{label}: done before, {paths[-1]}\n{self._writer.summary(label)['table']}")
                continue
            self.check(strain[one])
            generator = torch.Generator(self.device).manual_seed(int(seen[:15], 16))
            samples, log_prob = self._network.draw(
                strain[one], self.posterior_settings.num_samples, psd_index[one], generator
            )
            posterior = replace(self._posterior(samples[0], log_prob[0]), label=label)
            if bool(torch.isfinite(theta[event]).all()):
                truth = dict(zip(self._prior.names, theta[event].tolist()))
                posterior = replace(posterior, truth=truth)
            if self.posterior_settings.importance:
                posterior = self._weigh(posterior, strain[event], psd_index[event])
            if gps_time_s is not None:
                posterior = turned_to(posterior, gps_time_s)
            figures = self._writer.write(posterior, key)
            tagged = {f"predict/{label}/{name}": figure for name, figure in figures.items()}
            log_figures(self.trainer.loggers, tagged, self.global_step)
            print(f"\n{label}: {paths[-1]}\n{self._writer.summary(label)['table']}", flush=True)
        return paths

    def configure_optimizers(self) -> OptimizerLRScheduler:
        hparams = self.hparams
        rates: dict[str, Any] = {"lr": hparams["learning_rate"], "weight_decay": hparams["weight_decay"]}
        # one launch for all parameters; a scaler of gradients in float16 knows no such optimizer
        fused = self.device.type == "cuda" and self.trainer.precision != "16-mixed"
        alone = self.trainer.world_size == 1  # nobody waits for the gradient of a parameter
        self._network.write_gradients_in_place(alone)
        optimizer: torch.optim.AdamW
        if fused and alone:
            optimizer = RecordedAdamW(self.parameters(), **rates)
        else:
            optimizer = torch.optim.AdamW(self.parameters(), **rates, fused=fused)
        return warmup_cosine(optimizer, self.trainer.estimated_stepping_batches, hparams["warmup_steps"])

    def _events_of(self, batch_idx: int, num_events: int) -> list[tuple[str, float | None]]:
        tell = getattr(getattr(self.trainer, "datamodule", None), "predict_events", None)
        if tell is not None:
            return list(tell(batch_idx))
        rank = f"{self.global_rank}_" if self.trainer.world_size > 1 else ""
        return [(f"event_{rank}{batch_idx}_{event}", None) for event in range(num_events)]

    @property
    def _folder(self) -> Path:
        # All ranks ask for it: the Trainer lets rank 0 tell it to the others.
        return Path(self.trainer.log_dir or self.trainer.default_root_dir)

    def _of_all_ranks(self, rows: np.ndarray) -> np.ndarray:
        if self.trainer.world_size == 1:
            return rows
        mine = torch.from_numpy(rows).to(self.device)
        sizes: Any = self.all_gather(torch.tensor(len(mine), device=self.device))
        missing = int(sizes.max()) - len(mine)
        padded: Any = self.all_gather(functional.pad(mine, (0, 0, 0, missing), value=torch.nan))
        gathered = padded.reshape(-1, rows.shape[1]).cpu().numpy()
        return gathered[np.isfinite(gathered[:, 0])]


def _made(kind: type[Any], given: Any) -> Any:
    return kind(**given) if isinstance(given, Mapping) else given
