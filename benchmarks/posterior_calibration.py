"""Proof that flow, importance sampling, evidence and calibration are right, where everything is known.

A linear-Gaussian problem: 14 parameters with a standard normal prior, 64 data, ``d = A theta + noise``. Its
posterior and its evidence have a closed form. A flow is trained on simulations for less than a minute; then
200 events are drawn, sampled, weighed against the exact likelihood, and tested. Two controls that are wrong
on purpose, a posterior moved by 0.3 of its width and one that is 10 % too narrow, have to fail.
"""

# E events, N samples, P parameters, M data

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.result_page import command_line, write_page
from lightning_itwin.flows import accelerate, fast_training, neural_spline_flow
from lightning_itwin.inference import importance_weights, ranks, statistic_ranks, tarp, uniformity

PARAMETERS, DATA = 14, 64
CONTROLS = {"moved by 0.3 widths": {"shift": 0.3}, "10 % too narrow": {"width": 0.9}}
GOALS = {"efficiency": 0.8, "evidence error": 0.02, "p": 0.01}


class LinearGaussian:
    """``d = A theta + n`` with standard normal theta and n; the singular values of A run from 1 to 4."""

    def __init__(self, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        left, _ = torch.linalg.qr(torch.randn(DATA, PARAMETERS, generator=generator, dtype=torch.float64))
        right, _ = torch.linalg.qr(
            torch.randn(PARAMETERS, PARAMETERS, generator=generator, dtype=torch.float64)
        )
        scales = torch.logspace(0, math.log10(4), PARAMETERS, dtype=torch.float64)
        self.response_MP = left @ torch.diag(scales) @ right
        self.precision_PP = torch.eye(PARAMETERS, dtype=torch.float64) + self.response_MP.T @ self.response_MP
        self.covariance_PP = torch.linalg.inv(self.precision_PP)

    def simulate(self, num: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw parameters (num, P) and data (num, M), float64."""
        theta = torch.randn(num, PARAMETERS, generator=generator, dtype=torch.float64)
        noise = torch.randn(num, DATA, generator=generator, dtype=torch.float64)
        return theta, theta @ self.response_MP.T + noise

    def log_target(self, theta_ENP: Tensor, data_EM: Tensor) -> Tensor:
        """Give log likelihood plus log prior, (E, N)."""
        residual = data_EM[:, None] - theta_ENP @ self.response_MP.T
        constant = 0.5 * (DATA + PARAMETERS) * math.log(2 * math.pi)
        return -0.5 * (residual.square().sum(-1) + theta_ENP.square().sum(-1)) - constant

    def log_evidence(self, data_EM: Tensor) -> Tensor:
        """Give the exact log evidence, (E,)."""
        covariance = torch.eye(DATA, dtype=torch.float64) + self.response_MP @ self.response_MP.T
        zero = torch.zeros(DATA, dtype=torch.float64)
        return torch.distributions.MultivariateNormal(zero, covariance).log_prob(data_EM)

    def posterior_mean(self, data_EM: Tensor) -> Tensor:
        """Give the mean of the exact posterior, (E, P)."""
        return data_EM @ self.response_MP @ self.covariance_PP


@dataclass(frozen=True, kw_only=True)
class Training:
    """What trains: less than a minute on one core with the defaults."""

    hidden_features: int = 64
    num_blocks: int = 1
    num_flow_steps: int = 5
    num_bins: int = 6
    steps: int = 900
    batch: int = 512
    learning_rate: float = 3e-3


def train(problem: LinearGaussian, training: Training, seed: int = 0) -> Any:
    """Train a flow on fresh simulations; its context are the data."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    flow = neural_spline_flow(
        PARAMETERS,
        DATA,
        training.hidden_features,
        training.num_blocks,
        training.num_flow_steps,
        num_bins=training.num_bins,
        activation="gelu",
    )
    fast = fast_training(flow)
    optimizer = torch.optim.Adam(flow.parameters(), lr=training.learning_rate)
    for step in range(training.steps):
        rate = min(1.0, (step + 1) / 20) * 0.5 * (1 + math.cos(math.pi * step / training.steps))
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * rate
        theta, data = problem.simulate(training.batch, generator)
        loss = -fast.log_prob(theta.float(), data.float()).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
        optimizer.step()
    return flow.eval()


@dataclass(frozen=True, kw_only=True)
class Events:
    """Events with their truths, a flow's samples of them, and the densities of both."""

    truths_EP: np.ndarray
    data_EM: np.ndarray
    samples_ENP: np.ndarray
    log_prob_EN: np.ndarray
    log_prob_of_truths_E: np.ndarray
    log_target_EN: np.ndarray
    log_evidence_E: np.ndarray


def draw_events(
    problem: LinearGaussian, flow: Any, events: int, samples: int, seed: int = 99, **accelerate_as: Any
) -> Events:
    """Simulate events and sample them with the accelerated flow."""
    theta, data = problem.simulate(events, torch.Generator().manual_seed(seed))
    torch.manual_seed(seed)
    fast = accelerate(flow, **accelerate_as)
    drawn, log_prob = fast.sample_and_log_prob(samples, data.float())
    return Events(
        truths_EP=theta.numpy(),
        data_EM=data.numpy(),
        samples_ENP=drawn.double().numpy(),
        log_prob_EN=log_prob.double().numpy(),
        log_prob_of_truths_E=fast.log_prob(theta.float(), data.float()).double().numpy(),
        log_target_EN=problem.log_target(drawn.double(), data).numpy(),
        log_evidence_E=problem.log_evidence(data).numpy(),
    )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The numbers of the proof.

    Attributes:
        efficiency: median over events of effective over drawn samples.
        lowest_efficiency: that of the worst event.
        evidence_error: root mean square over events of log evidence minus truth.
        evidence_bias: its mean.
        p_values: of tests that a calibrated posterior passes, by name.
    """

    efficiency: float
    lowest_efficiency: float
    evidence_error: float
    evidence_bias: float
    p_values: dict[str, float]

    @property
    def reached(self) -> bool:
        return (
            self.efficiency >= GOALS["efficiency"]
            and self.evidence_error <= GOALS["evidence error"]
            and min(self.p_values.values()) > GOALS["p"]
        )


def calibration_tests(events: Events, weights_EN: np.ndarray | None = None) -> dict[str, float]:
    """Give p of the P-P plot, of TARP and of the ranks of the density."""
    samples, truths = events.samples_ENP, events.truths_EP
    density = statistic_ranks(events.log_prob_EN, events.log_prob_of_truths_E, weights_EN)
    return {
        "P-P, all parameters": uniformity(ranks(samples, truths, weights_EN)).combined,
        "TARP": tarp(samples, truths, weights_EN).p_value,
        "rank of the density": uniformity(density).combined,
    }


def judge(events: Events) -> Verdict:
    """Weigh the samples of every event and test them, as they are and weighted."""
    weighed = [importance_weights(*row) for row in zip(events.log_target_EN, events.log_prob_EN)]
    errors = np.array([found.log_evidence for found in weighed]) - events.log_evidence_E
    efficiencies = np.array([found.efficiency for found in weighed])
    weights_EN = np.stack([found.normalised for found in weighed])
    p_values = calibration_tests(events)
    p_values |= {f"{name}, weighted": p for name, p in calibration_tests(events, weights_EN).items()}
    return Verdict(
        efficiency=float(np.median(efficiencies)),
        lowest_efficiency=float(efficiencies.min()),
        evidence_error=float(np.sqrt(np.mean(np.square(errors)))),
        evidence_bias=float(errors.mean()),
        p_values=p_values,
    )


def spoilt(events: Events, flow: Any, shift: float = 0.0, width: float = 1.0) -> Events:
    """Move every posterior by a share of its width, or change the width.

    The samples stay and the truths go the other way, which is the same for every rank.
    """
    centre_EP, deviation_EP = events.samples_ENP.mean(axis=1), events.samples_ENP.std(axis=1)
    truths_EP = centre_EP + (events.truths_EP - shift * deviation_EP - centre_EP) / width
    with torch.no_grad():
        density_E = flow.log_prob(
            torch.from_numpy(truths_EP).float(), torch.from_numpy(events.data_EM).float()
        )
    return dataclasses.replace(events, truths_EP=truths_EP, log_prob_of_truths_E=density_E.double().numpy())


def lines_of(verdict: Verdict, controls: dict[str, dict[str, float]], seconds: dict[str, float]) -> list[str]:
    lines = [
        "| | found | goal |",
        "|---|---|---|",
        f"| efficiency, median (lowest) | {verdict.efficiency:.3f} ({verdict.lowest_efficiency:.3f}) "
        "| >= 0.8 |",
        f"| error of log evidence, rms (mean) | {verdict.evidence_error:.4f} ({verdict.evidence_bias:+.4f}) "
        "| <= 0.02 |",
    ]
    lines += [f"| p, {name} | {p:.3f} | > 0.01 |" for name, p in verdict.p_values.items()]
    for control, p_values in controls.items():
        lines += [f"| p, {name}; {control} | {p:.1e} | |" for name, p in p_values.items()]
    lines += ["", "Every control has to fail in at least one of its tests, with p < 0.01."]
    lines += ["", "; ".join(f"{name} {value:.1f} s" for name, value in seconds.items())]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=Training.steps, help="steps of the training")
    parser.add_argument("--events", type=int, default=200, help="events that are tested")
    parser.add_argument("--samples", type=int, default=4000, help="samples an event")
    parser.add_argument("--seed", type=int, default=0, help="of the training and the events")
    parser.add_argument("--bfloat16", action="store_true", help="sample with products in bfloat16, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    problem, clock = LinearGaussian(), {}
    begun_s = time.monotonic()
    flow = train(problem, Training(steps=options.steps), options.seed)
    clock["training"] = time.monotonic() - begun_s
    begun_s = time.monotonic()
    events = draw_events(problem, flow, options.events, options.samples, seed=99 + options.seed)
    clock["sampling"] = time.monotonic() - begun_s
    begun_s = time.monotonic()
    verdict = judge(events)
    controls = {name: calibration_tests(spoilt(events, flow, **wrong)) for name, wrong in CONTROLS.items()}
    clock["tests"] = time.monotonic() - begun_s
    lines = lines_of(verdict, controls, clock)
    if options.bfloat16:
        rough = judge(draw_events(problem, flow, options.events, options.samples, 99, dtype="bfloat16"))
        lines += [
            "",
            f"With products in bfloat16: efficiency {rough.efficiency:.3f}, error of log evidence "
            f"{rough.evidence_error:.4f} ({rough.evidence_bias:+.4f}), lowest p "
            f"{min(rough.p_values.values()):.3f}.",
        ]
    caught = all(min(p_values.values()) < GOALS["p"] for p_values in controls.values())
    lines += [
        "",
        f"Efficiency {verdict.efficiency:.3f} of goal 0.8, evidence error {verdict.evidence_error:.4f} of "
        f"goal 0.02, lowest p {min(verdict.p_values.values()):.3f} of goal 0.01, controls "
        f"{'caught' if caught else 'NOT caught'}.",
    ]
    write_page(
        "posterior_calibration",
        "Calibration where the posterior is known",
        command_line(),
        lines,
        "one thread",
    )
    return 0 if verdict.reached and caught else 1


if __name__ == "__main__":
    sys.exit(main())
