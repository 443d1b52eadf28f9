"""What the measuring callbacks cost a training: time, memory, and what the profiler says of itself.

Two workloads on one process of one thread: a small convnet with steps of 20 ms and more, and a narrow MLP of
60 layers (linear, layer norm, GELU, Adam), which has 10,000 operators a step and is the worst case for a
profiler. Each round trains each set of callbacks once, in turning order; a ratio is taken within a round, and
what stands in the table is its median over rounds with the smallest and largest. Time is from the first
callback's on_train_start to the last one's on_train_end, so it includes starting and stopping the meters.

What the profiler really costs is read within a training, where a machine that drifts does no harm: the time
of the first steps, which hold its window, above that many ordinary steps, less the same of a training
without it.

Run from the repository, on a machine that does nothing else: python benchmarks/callback_cost.py
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from result_page import command_line, write_page
from torch import Tensor, nn

from lightning_itwin.callbacks import CarbonTracker, CommunicationProfiler, GPUMonitor
from lightning_itwin.callbacks.run_records import RunRecords
from lightning_itwin.meters.communication_meter import CommunicationMeter
from lightning_itwin.records import CommunicationRecord, Run

SETS: dict[str, Callable[[], list[Callback]]] = {
    "none": list,
    "profiler": lambda: [CommunicationProfiler()],
    "all three": lambda: [GPUMonitor(), CommunicationProfiler(), CarbonTracker(country_iso_code="DEU")],
}
# measured on other days and machines with itwinai 0.4.2, profiler on, in CPU time
ITWINAI = {"convnet": "3.8 to 4.7 x", "60-layer MLP": "31 x"}
BEGIN = 30  # steps, the profiler's window among them
GOAL = {"convnet": 1.01, "60-layer MLP": 1.02}


class Workload(LightningModule):
    """A network on the same random batch again and again, so that only the step itself takes time."""

    def __init__(self, name: str, batch: int) -> None:
        super().__init__()
        if name == "convnet":
            self.x = torch.randn(batch, 3, 32, 32)
            self.net = nn.Sequential(
                *(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU()),
                *(nn.Conv2d(32, 64, 3, padding=1, stride=2), nn.ReLU()),
                *(nn.Conv2d(64, 64, 3, padding=1, stride=2), nn.ReLU()),
                *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)),
            )
        else:
            self.x = torch.randn(batch, 64)
            layers = (nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64), nn.GELU()) for _ in range(60))
            self.net = nn.Sequential(*layers)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.net(self.x + batch.mean()).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-4)

    def train_dataloader(self) -> torch.utils.data.DataLoader:
        return torch.utils.data.DataLoader(torch.randn(10**5, 1), batch_size=1)


class Stopwatch(Callback):
    """Reads the clocks at both ends of the training; one before all other callbacks, one behind."""

    def __init__(self) -> None:
        self.started = self.ended = (0.0, 0.0)
        self.batches_s: list[float] = []

    def on_train_start(self, *_: Any) -> None:
        self.started = time.perf_counter(), time.process_time()

    def on_train_batch_start(self, *_: Any) -> None:
        self.batches_s.append(time.perf_counter())

    def begin_s(self) -> float:
        """Give by how much the first steps took longer than ordinary ones."""
        steps_s = [after - before for before, after in itertools.pairwise(self.batches_s)]
        ordinary_s = statistics.median(steps_s[BEGIN : 4 * BEGIN])
        return self.batches_s[BEGIN] - self.started[0] - BEGIN * ordinary_s

    def on_train_end(self, *_: Any) -> None:
        self.ended = time.perf_counter(), time.process_time()


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training."""

    wall_s: float
    cpu_s: float
    begin_s: float
    weights: Tensor
    cost_percent: float | None
    cost_s: float | None
    analysis_ms: float


def train(name: str, batch: int, steps: int, callbacks: list[Callback]) -> Training:
    torch.manual_seed(0)
    module = Workload(name, batch)
    first, last = Stopwatch(), Stopwatch()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        trainer = Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=1,
            limit_train_batches=steps,
            callbacks=[first, *callbacks, last],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        RunRecords.place(trainer, Path(folder) / "records")
        ANALYSES_MS.clear()
        trainer.fit(module)
        found = (Path(folder) / "records").exists() and Run.read(Path(folder) / "records")
        windows = found.of(CommunicationRecord) if found else ()
    return Training(
        wall_s=last.ended[0] - first.started[0],
        cpu_s=last.ended[1] - first.started[1],
        begin_s=first.begin_s() if steps > 4 * BEGIN else 0.0,
        weights=torch.cat([parameter.detach().flatten() for parameter in module.parameters()]),
        cost_percent=windows[-1].cost_percent if windows else None,
        cost_s=sum(window.cost_s for window in windows) if windows else None,
        analysis_ms=sum(ANALYSES_MS),
    )


ANALYSES_MS: list[float] = []


def time_analyses() -> None:
    """Time what the profiler does when a stretch has ended: stop, read, analyse."""

    def timed(end: Callable[..., None]) -> Callable[..., None]:
        def call(*args: Any) -> None:
            start = time.perf_counter()
            end(*args)
            ANALYSES_MS.append(1e3 * (time.perf_counter() - start))

        return call

    for name in ("end", "end_operators"):
        setattr(CommunicationMeter, name, timed(getattr(CommunicationMeter, name)))


def rss_mib(options: argparse.Namespace, name: str, which: str, steps: int) -> float:
    """Train in a process of its own and give the memory that it holds at the end."""
    order = json.dumps({"name": name, "batch": batch_of(options, name), "set": which, "steps": steps})
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "--order", order],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
    )
    return float(done.stdout.strip().splitlines()[-1])


def batch_of(options: argparse.Namespace, name: str) -> int:
    return options.conv_batch if name == "convnet" else 32


def measure(options: argparse.Namespace, name: str) -> tuple[list[str], list[str]]:
    steps = options.steps
    batch = batch_of(options, name)
    train(name, batch, 20, SETS["all three"]())  # caches, imports
    rounds: list[dict[str, Training]] = []
    for number in range(options.repeats):
        names = ["none", *options.sets]
        turned = names[number % len(names) :] + names[: number % len(names)]
        rounds.append({which: train(name, batch, steps, SETS[which]()) for which in turned})
        print(
            f"{name}, round {number}: "
            + ", ".join(f"{which} {rounds[-1][which].wall_s:.2f} s" for which in names),
            flush=True,
        )
    lines = []
    plain_s = statistics.median(done["none"].wall_s for done in rounds)
    for which in options.sets:
        walls = [done[which].wall_s / done["none"].wall_s for done in rounds]
        cpus = [done[which].cpu_s / done["none"].cpu_s for done in rounds]
        same = all(torch.equal(done[which].weights, done["none"].weights) for done in rounds)
        least = min(done[which].wall_s for done in rounds) / min(done["none"].wall_s for done in rounds)
        lines.append(
            f"| {name}, {1e3 * plain_s / steps:.1f} ms a step | {which} | {spread(walls, '.3f')} | "
            f"{GOAL[name]} | {least:.3f} | {spread(cpus, '.3f')} | {'yes' if same else 'NO'} | "
            f"{ITWINAI[name]} |"
        )
    return lines, [self_report(name, rounds, plain_s)] if "profiler" in options.sets else []


def self_report(name: str, rounds: list[dict[str, Training]], plain_s: float) -> str:
    said = statistics.median(done["profiler"].cost_percent or 0.0 for done in rounds)
    true_ms = [1e3 * (done["profiler"].begin_s - done["none"].begin_s) for done in rounds]
    true = statistics.median(true_ms) / 10 / plain_s
    analyses = [done["profiler"].analysis_ms for done in rounds]
    cost_ms = [1e3 * (done["profiler"].cost_s or 0.0) for done in rounds]
    return (
        f"| {name}, {plain_s:.1f} s | {spread(analyses, '.1f')} | {spread(cost_ms, '.1f')} | "
        f"{spread(true_ms, '.1f')} | {said:.2f} % | {true:.2f} % | {abs(said - true):.2f} |"
    )


def memory(options: argparse.Namespace) -> list[str]:
    lines = []
    few, many = options.memory_steps
    for name in options.workloads:
        for which in ("none", "all three"):
            small, large = (rss_mib(options, name, which, steps) for steps in (few, many))
            lines.append(
                f"| {name} | {which} | {small:.0f} MiB | {large:.0f} MiB | "
                f"{1024 * (large - small) / (many - few):+.1f} KiB |"
            )
            print(lines[-1], flush=True)
    return lines


def spread(values: list[float], form: str) -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=600, help="steps of a training (%(default)s)")
    parser.add_argument("--repeats", type=int, default=7, help="rounds (%(default)s)")
    parser.add_argument("--conv-batch", type=int, default=24, help="batch of the convnet (%(default)s)")
    parser.add_argument(
        "--memory-steps", type=int, nargs=2, default=(200, 1000), help="steps to compare (%(default)s)"
    )
    parser.add_argument("--workloads", nargs="+", default=list(GOAL), choices=GOAL, help="(all)")
    parser.add_argument("--sets", nargs="+", default=list(SETS)[1:], choices=list(SETS)[1:], help="(all)")
    parser.add_argument("--out", default="benchmarks/results/callback_cost.md", help="(%(default)s)")
    parser.add_argument("--order", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "codecarbon"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(1)
    if options.order:
        order = json.loads(options.order)
        train(order["name"], order["batch"], order["steps"], SETS[order["set"]]())
        print(rss_of_this_process_mib())
        return
    time_analyses()
    rows, reports = [], []
    for name in options.workloads:
        lines, said = measure(options, name)
        rows += lines
        reports += said
    report(options, rows, reports, memory(options))


def rss_of_this_process_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def report(options: argparse.Namespace, rows: list[str], reports: list[str], memory_rows: list[str]) -> None:
    few, many = options.memory_steps
    text = f"""Trainings of {options.steps} steps, {options.repeats} rounds; median (smallest to largest) of
the ratios within a round. Least over least: the quickest training with over the quickest without, since
whatever else a machine does only adds. The profiler measures its default window of 10 steps.

| workload | callbacks | wall time | goal | least over least | CPU time | same weights | itwinai's profiler |
|---|---|---|---|---|---|---|---|
{chr(10).join(rows)}

## What the profiler says of itself

Analysis is everything from the end of a stretch to its figures (goal: 100 ms a window of 10 steps; itwinai's
takes 1,600 ms).

| training | analysis (ms) | cost, own account (ms) | true (ms) | own account | true | off by, goal: 0.5 |
|---|---|---|---|---|---|---|
{chr(10).join(reports)}

## Memory

Resident memory at the end of trainings of different length; itwinai's profiler grows by 3.2 MB (convnet) to
18 MB (MLP) a step.

| workload | callbacks | {few} steps | {many} steps | growth a step |
|---|---|---|---|---|
{chr(10).join(memory_rows)}
"""
    write_page(Path(options.out), "What the callbacks cost", command_line(), [text], "one thread")


if __name__ == "__main__":
    main()
