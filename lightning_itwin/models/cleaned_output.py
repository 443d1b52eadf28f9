"""What models that subtract share in ``predict``: the cleaned strain, its vetoes and its report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lightning.pytorch import LightningModule

from lightning_itwin.models.logged_figures import log_figures, log_texts
from lightning_itwin.models.weights_digest import weights_digest

if TYPE_CHECKING:
    from lightning_itwin.subtraction.outputs.outputs import SubtractionOutputs


class CleanedOutput(LightningModule):
    """The first and the last hook of ``predict``; ``predict_step`` adds to ``_outputs`` where there are any.

    Nothing is written of a datamodule that has no channels of a common time.
    """

    folder: str | None = None
    _outputs: SubtractionOutputs | None = None

    @property
    def title(self) -> str:
        """What the report says that the model does."""
        return f"{type(self).__name__}: coherent noise"

    @property
    def told(self) -> Mapping[str, str]:
        """What the report says of the model beside, by name."""
        return {}

    @property
    def ranking(self) -> list[tuple[str, float]]:
        """Witnesses and their share in what is known of the noise, the best first."""
        return []

    @property
    def output_folder(self) -> Path:
        """Where ``predict`` writes."""
        return Path(self.folder or Path(self.trainer.log_dir or self.trainer.default_root_dir) / "cleaned")

    def on_predict_start(self) -> None:
        datamodule = getattr(self.trainer, "datamodule", None)
        if datamodule is None or not hasattr(datamodule, "aligned"):
            return
        # Reports need packages that a training does not.
        from lightning_itwin.subtraction.outputs.outputs import SubtractionOutputs

        self._outputs = SubtractionOutputs.open(
            self.output_folder,
            datamodule,
            model=self.title,
            key=weights_digest(self),
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )

    def on_predict_end(self) -> None:
        outputs, self._outputs = self._outputs, None
        if outputs is None:
            return
        outputs.close()
        self.trainer.strategy.barrier("CleanedOutput.closed")
        if self.trainer.is_global_zero:
            figures = outputs.finish(ranking=self.ranking, facts=dict(self.told))
            log_figures(self.trainer.loggers, figures, self.global_step)
            log_texts(self.trainer.loggers, outputs.texts, self.global_step)
        self.trainer.strategy.barrier("CleanedOutput.written")
