"""The flow sizes that the benchmarks of flows measure, away from their initialisation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lightning_itwin.flows import neural_spline_flow

FEATURES = 14


@dataclass(frozen=True, kw_only=True)
class Size:
    """A size of flow and what is drawn from it."""

    hidden: int
    blocks: int
    steps: int
    context: int
    events: int
    samples: int  # an event, on one core


# L is DINGO's example network with 5 of its 30 steps on a CPU, with all on a GPU
SIZES = {
    "S": Size(hidden=128, blocks=2, steps=8, context=64, events=4, samples=2000),
    "M": Size(hidden=256, blocks=2, steps=15, context=128, events=4, samples=1000),
    "D": Size(hidden=512, blocks=3, steps=20, context=128, events=2, samples=1024),
    "L": Size(hidden=1024, blocks=5, steps=5, context=128, events=2, samples=1024),
}


def rough_flow(size: Size, steps: int | None = None, seed: int = 0) -> Any:
    """Build a flow whose weights are random, of a trained flow's size; in evaluation mode."""
    torch.manual_seed(seed)
    flow = neural_spline_flow(FEATURES, size.context, size.hidden, size.blocks, steps or size.steps)
    with torch.no_grad():
        for parameter in flow.parameters():
            if parameter.ndim == 2:
                parameter.copy_(torch.randn_like(parameter) / parameter.shape[1] ** 0.5)
            else:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return flow.eval()


def interleaved(works: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Take the processor time in s of every work, one after the other, for a number of rounds."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            begun_s = time.process_time()
            work()
            if number:  # the first round warms up
                times[name].append(time.process_time() - begun_s)
    return times


def ratio(of: Sequence[float], over: Sequence[float]) -> tuple[float, float, float]:
    """Give the median, the lowest and the highest ratio of two works over rounds."""
    ratios = torch.tensor([one / other for one, other in zip(of, over)], dtype=torch.float64)
    return float(ratios.quantile(0.5)), float(ratios.min()), float(ratios.max())


def shown(of: Sequence[float], over: Sequence[float]) -> str:
    """Show a ratio with its spread."""
    return "{:.2f} ({:.2f}-{:.2f})".format(*ratio(of, over))
