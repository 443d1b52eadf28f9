"""Settings of GWFlow beside those of its embedding: the flow's size, and what becomes of posteriors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

ReferenceFrame = Literal["sky", "detectors"]


@dataclass(frozen=True, kw_only=True)
class FlowSettings:
    """Size of the flow; see ``lightning_itwin.flows.neural_spline_flow``.

    Args:
        hidden_features: width of the residual network in a coupling.
        num_blocks: its blocks.
        num_flow_steps: couplings.
        num_bins: bins of a spline.
        tail_bound: splines reach from minus this to this; the prior is N(0, 1) there.
        dropout: in the blocks.
    """

    hidden_features: int = 256
    num_blocks: int = 2
    num_flow_steps: int = 15
    num_bins: int = 8
    tail_bound: float = 5.0
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PosteriorSettings:
    """What ``test`` and ``predict`` draw and write.

    Args:
        num_samples: samples an event that ``predict`` draws.
        num_test_samples: samples an event that ``test`` draws.
        importance: weigh ``predict``'s samples by the real likelihood.
        weighed_test_events: events of each process whose samples ``test`` weighs too, for their efficiency.
        modes: azimuthal numbers of the waveform's modes, for a synthetic phase.
        file_format: of the bilby results.
        figures: draw a corner plot and a sky map of each event of ``predict``.
        folder: where ``predict`` writes; None: ``posteriors`` in the run's log folder. In a folder that is
            the same for the next run, a ``predict`` that was stopped goes on.
        published: values that stand beside the posterior of an event, by its name and the parameter's.

    Raises:
        ValueError: a value is outside its range.
    """

    num_samples: int = 10_000
    num_test_samples: int = 1_000
    importance: bool = True
    weighed_test_events: int = 0
    modes: tuple[int, ...] = (2,)
    file_format: Literal["hdf5", "json"] = "hdf5"
    figures: bool = True
    folder: str | None = None
    published: dict[str, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if min(self.num_samples, self.num_test_samples) < 1 or self.weighed_test_events < 0:
            raise ValueError(
                "num_samples and num_test_samples must be at least 1, weighed_test_events at least 0, not "
                f"{self.num_samples}, {self.num_test_samples} and {self.weighed_test_events}."
            )
        if self.file_format not in ("hdf5", "json"):
            raise ValueError(f"file_format must be 'hdf5' or 'json', not {self.file_format!r}.")
