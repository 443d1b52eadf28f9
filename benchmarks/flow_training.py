"""A training step of spline flows, forward and backward: nflows against the fast path on one thread."""

from __future__ import annotations

import argparse
import copy
import functools
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.flow_sizes import FEATURES, SIZES, interleaved, ratio, rough_flow, shown
from benchmarks.result_page import write_page
from lightning_itwin.flows import fast_training

GOAL = 1.5


def step(
    flow: Any, log_prob: Callable[..., torch.Tensor], theta: torch.Tensor, context: torch.Tensor
) -> None:
    flow.zero_grad()
    log_prob(theta, context).mean().neg().backward()


def gradient(
    flow: Any, log_prob: Callable[..., torch.Tensor], theta: torch.Tensor, context: torch.Tensor
) -> torch.Tensor:
    step(flow, log_prob, theta, context)
    return torch.cat([parameter.grad.double().flatten() for parameter in flow.parameters()])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["S", "M"], help="(default: S M)")
    parser.add_argument("--batch", type=int, default=256, help="(default: 256)")
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds (default: 15)")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="torch.triangular_solve")
    torch.set_num_threads(1)
    rows, first = [], 0.0
    for name in options.sizes:
        flow = rough_flow(SIZES[name]).train()
        fast = fast_training(flow)
        theta, context = torch.randn(options.batch, FEATURES), torch.randn(options.batch, SIZES[name].context)
        works = {
            "nflows": functools.partial(step, flow, flow.log_prob, theta, context),
            "ours": functools.partial(step, flow, fast.log_prob, theta, context),
        }
        times = interleaved(works, options.rounds)
        exact = copy.deepcopy(flow).double()
        truth = gradient(exact, exact.log_prob, theta.double(), context.double())
        of_nflows = gradient(flow, flow.log_prob, theta, context)
        of_ours = gradient(flow, fast.log_prob, theta, context)
        doubled = gradient(exact, fast_training(exact).log_prob, theta.double(), context.double())
        distances = (of_ours - of_nflows, of_nflows - truth, of_ours - truth, doubled - truth)
        us = [float(torch.tensor(times[key]).median()) / options.batch * 1e6 for key in ("nflows", "ours")]
        cells = " | ".join(f"{float(each.norm() / truth.norm()):.1e}" for each in distances)
        rows.append(
            f"| {name} | {us[0]:.0f} | {us[1]:.0f} | **{shown(times['nflows'], times['ours'])}** | {cells} |"
        )
        first = first or ratio(times["nflows"], times["ours"])[0]
    lines = [
        f"Processor time of a thread in us a sample, batch of {options.batch}, float32, log-density "
        f"and its gradient in all parameters; the ratio is the median of {options.rounds} interleaved rounds "
        "(lowest-highest). Gradients of all parameters together, relative distances; "
        "truth is nflows in float64.",
        "",
        "| size | nflows, us | ours, us | ratio | ours to nflows | nflows to truth | ours to truth "
        "| both in float64 |",
        "|---|---|---|---|---|---|---|---|",
        *rows,
    ]
    command = (
        f"python benchmarks/flow_training.py --sizes {' '.join(options.sizes)} --batch {options.batch} "
        f"--rounds {options.rounds}"
    )
    write_page("flow_training", "Training spline flows", command, lines)
    print(f"{options.sizes[0]}: {first:.2f} x nflows (goal {GOAL:g})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
