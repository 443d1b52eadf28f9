"""Settings of GlitchFlow beside those of its response: the distributions, and what becomes of samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class GeneratorSettings:
    """The generative part.

    Args:
        event_s: length of an event.
        events: events of a window, at most; louder ones first.
        lowest_snr: of the predicted mean, below which nothing counts as an event.
        residual_components: singular vectors that span what the mean leaves of events.
        width: of the network of the velocity.
        blocks: of that network.
        events_per_step: events of a training step; those of all windows seen are drawn with replacement.
        steps: steps of the sampler, two evaluations each.
        target: ``glitch`` learns from the truth, where batches know it; ``strain`` from the strain, whose
            noise is then taken off the spread; ``auto`` takes the truth where there is one.
        components: complex singular vectors that span the envelopes of glitches without witnesses.
        neighbours: glitches between which a new one lies, without witnesses.
        neighbour_spread: how far it may lie from one of them, in units of how far the others do; None: so far
            that it matches those that were seen as well as these match each other.

    Raises:
        ValueError: a value is outside its range.
    """

    event_s: float = 1.0
    events: int = 3
    lowest_snr: float = 1.0
    residual_components: int = 64
    width: int = 128
    blocks: int = 3
    events_per_step: int = 256
    steps: int = 4
    target: Literal["auto", "glitch", "strain"] = "auto"
    components: int = 32
    neighbours: int = 6
    neighbour_spread: float | None = None

    def __post_init__(self) -> None:
        sizes = {
            name: getattr(self, name)
            for name in (
                *("events", "residual_components", "width", "blocks", "events_per_step", "steps"),
                *("components", "neighbours"),
            )
        }
        if min(sizes.values()) < 1:
            raise ValueError(f"Each of these must be at least 1: {sizes}.")
        spread = 1.0 if self.neighbour_spread is None else self.neighbour_spread
        if min(self.event_s, self.lowest_snr, spread) <= 0:
            raise ValueError(
                "event_s, lowest_snr and neighbour_spread must be > 0, not "
                f"{self.event_s}, {self.lowest_snr} and {self.neighbour_spread}."
            )
        if self.target not in ("auto", "glitch", "strain"):
            raise ValueError(f"target must be 'auto', 'glitch' or 'strain', not {self.target!r}.")


@dataclass(frozen=True, kw_only=True)
class VetoSettings:
    """What becomes of samples.

    Args:
        num_samples: samples of a window, for spread and veto.
        snr: a window is to be vetoed if its glitch is at least that loud.
        probability: from which on ``predict`` lists a veto.
        folder: where ``predict`` writes; None: ``cleaned`` in the run's log folder.

    Raises:
        ValueError: a value is outside its range.
    """

    num_samples: int = 16
    snr: float = 5.0
    probability: float = 0.05
    folder: str | None = None

    def __post_init__(self) -> None:
        if self.num_samples < 2 or self.snr <= 0 or not 0 < self.probability < 1:
            raise ValueError(
                "num_samples must be at least 2, snr > 0 and probability between 0 and 1, not "
                f"{self.num_samples}, {self.snr} and {self.probability}."
            )
