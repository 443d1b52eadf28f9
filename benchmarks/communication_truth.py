"""How right CommunicationProfiler's exposed communication is, held against a truth that it does not know.

A module whose layers sleep known times forward and backward, with real gradients in between, is trained by
the real Trainer on two processes with Gloo, once with each strategy. Communication is delayed by a known time
a step, so that nothing up to half of the step is exposed. The truth is an interleaved comparison: every
second step has its communication switched off, and by the wall clock alone

    truth = (time of a step with communication - time of a step without) / time of a step with communication

which the profiler's exposed communication of the same steps has to equal. Five ways to delay:

- ddp: the communication hook sleeps before it launches the first bucket;
- ddp, late: the hooks' futures are done late, while backward goes on;
- deepspeed, horovod: the first collective, or synchronize, of a step sleeps;
- --link-mbit (root): nothing sleeps, the loopback of a private network namespace is slow (tc tbf);
- stragglers: rank 1 computes longer, and rank 0 waits for it.

Further down, device time lines made by hand, whose exposed share is known exactly.

Run from the repository: python benchmarks/communication_truth.py
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from result_page import command_line, write_page
from torch import Tensor, nn

from lightning_itwin.callbacks import CommunicationProfiler
from lightning_itwin.callbacks.run_records import RunRecords
from lightning_itwin.launch.local import LocalLauncher
from lightning_itwin.launch.world import World
from lightning_itwin.meters.communication import read_device
from lightning_itwin.meters.trace_events import from_columns
from lightning_itwin.records import CommunicationRecord, Run

LAYERS, WIDTH = 6, 192
FORWARD_S, BACKWARD_S = 0.002, 0.004  # of each layer
WARMUP, WINDOW = 4, 40  # steps, every second one with communication
STEPS = WARMUP + WINDOW
STARTERS = {"horovod": "horovodrun"}  # all others: torchrun
# what DeepSpeed calls; Lightning's own all_gather, by which ranks compare notes, stays on
COLLECTIVES = (
    *("all_reduce", "reduce", "all_gather_into_tensor", "all_gather_single"),
    *("reduce_scatter_tensor", "reduce_scatter_single"),
)


# ---------------------------------------------------------------- the module, and the switch of its link
class Work(torch.autograd.Function):
    """Sleeps known times forward and backward, as a stand-in for computation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        time.sleep(FORWARD_S)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        time.sleep(BACKWARD_S)
        return gradient


class Sleeper(LightningModule):
    """Layers that sleep, with a real linear map in between."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(LAYERS))
        self.straggle_s = 0.0

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        x = batch
        for layer in self.layers:
            x = Work.apply(torch.tanh(layer(x)))
        if self.straggle_s and self.trainer.global_rank == 1:
            time.sleep(self.straggle_s)
        return x.square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-3)

    def train_dataloader(self) -> torch.utils.data.DataLoader:
        width = self.layers[0].in_features
        return torch.utils.data.DataLoader(torch.randn(2 * STEPS, width), batch_size=1)


class Link:
    """Communication that can be switched off, and delayed once a step."""

    def __init__(self, trainer: Trainer, late: bool) -> None:
        self.on, self.delay_s, self._late, self._trainer = True, 0.0, late, trainer
        self._delayed = False

    def new_step(self) -> None:
        self._delayed = False

    def sleep_once(self) -> None:
        if not self._delayed:
            self._delayed = True
            time.sleep(self.delay_s)

    def switch(self, on: bool) -> None:
        self.on = on
        if isinstance(self._trainer.strategy.model, nn.parallel.DistributedDataParallel):
            self._trainer.strategy.model.require_backward_grad_sync = on

    def attach(self) -> None:
        # Lightning tells all ranks in every step whether rank 0 was asked to end: that is communication too.
        tell = dist.broadcast
        dist.broadcast = lambda *args, **kwargs: tell(*args, **kwargs) if self.on else None
        if "horovod.torch" in sys.modules:
            self._attach_horovod(sys.modules["horovod.torch"])
        elif "deepspeed" in type(self._trainer.strategy).__name__.lower():
            self._attach_collectives()
        else:
            hook = self._late_hook if self._late else self._sleeping_hook
            self._trainer.strategy.model.register_comm_hook(None, hook)

    # PyTorch wants the hooks' annotations as classes or not at all.
    def _sleeping_hook(self, state, bucket):  # type: ignore[no-untyped-def]
        self.sleep_once()
        mean = dist.all_reduce(bucket.buffer(), async_op=True).get_future()
        return mean.then(lambda future: future.value()[0] / dist.get_world_size())

    def _late_hook(self, state, bucket):  # type: ignore[no-untyped-def]
        work = dist.all_reduce(bucket.buffer(), async_op=True)
        future: torch.futures.Future[Tensor] = torch.futures.Future()
        delay_s = self.delay_s

        def finish() -> None:
            work.wait()
            time.sleep(delay_s)
            future.set_result(bucket.buffer() / dist.get_world_size())

        threading.Thread(target=finish).start()
        return future

    def _attach_collectives(self) -> None:
        class Done:
            def wait(self, *_: Any) -> bool:
                return True

            is_completed = wait

        for name in COLLECTIVES:
            real = getattr(dist, name, None)
            if real is None:
                continue

            @functools.wraps(real)
            def call(*args: Any, _real: Any = real, **kwargs: Any) -> Any:
                if not self.on:
                    return Done()
                self.sleep_once()
                return _real(*args, **kwargs)

            setattr(dist, name, call)
            setattr(dist.distributed_c10d, name, call)  # DeepSpeed holds functions that look here

    def _attach_horovod(self, horovod: Any) -> None:
        launch, wait = horovod.allreduce_async_, horovod.synchronize
        horovod.allreduce_async_ = lambda *args, **kwargs: launch(*args, **kwargs) if self.on else None

        def synchronize(handle: int | None) -> Any:
            if handle is None:
                return None
            if self.on:  # the handle may be one of the step before
                self.sleep_once()
            return wait(handle)

        horovod.synchronize = synchronize


class Clock(Callback):
    """Times every step of the window, the profiler's own hooks left out: one before it, one behind it."""

    def __init__(self, begins: Clock | None = None) -> None:
        self.begins, self.now_s = begins, 0.0
        self.steps_s: list[float] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.steps_s = []

    def on_train_batch_end(self, *_: Any) -> None:
        self.now_s = time.perf_counter()
        if self.begins is not None:
            self.steps_s.append(self.now_s - self.begins.now_s)


class Levels(Callback):
    """One epoch a level; switches communication off in every second step of the window."""

    def __init__(self, order: dict[str, Any], clock: Clock) -> None:
        self._order, self._clock = order, clock
        self._rows: list[dict[str, float]] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._link = Link(trainer, self._order["late"])
        self._link.attach()
        pl_module.straggle_s = self._order["straggle_s"]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._link.delay_s = self._order["levels"][trainer.current_epoch]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self._link.new_step()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        position = batch_idx + 1 - WARMUP
        if self._order["alternate"]:
            self._link.switch(not (0 < position < WINDOW and position % 2))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        steps_s = self._clock.steps_s[WARMUP:]
        self._rows.append({"on_s": sum(steps_s[0::2]), "off_s": sum(steps_s[1::2])})

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        out = Path(self._order["out"]) / f"truth-{trainer.global_rank}.json"
        out.write_text(json.dumps(self._rows))


def train(order: dict[str, Any]) -> None:
    """Be one process of a world."""
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    begins = Clock()
    ends = Clock(begins)
    strategy: Any = order["strategy"]
    if strategy == "ddp":
        from lightning.pytorch.strategies import DDPStrategy

        strategy = DDPStrategy(bucket_cap_mb=2 * WIDTH * WIDTH * 4 / 2**20)
    trainer = Trainer(
        accelerator="cpu",
        devices=2,
        strategy=strategy,
        max_epochs=len(order["levels"]),
        limit_train_batches=STEPS,
        callbacks=[
            ends,
            CommunicationProfiler(
                window_steps=WINDOW, warmup_steps=WARMUP, every_n_epochs=1, max_overhead=1.0
            ),
            Levels(order, ends),
            begins,
        ],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    RunRecords.place(trainer, Path(order["out"]) / "records")
    trainer.fit(Sleeper(order["width"]))


# ---------------------------------------------------------------- the figures
@dataclass(frozen=True, kw_only=True)
class Figure:
    """One level of one case in percent of the step, mean over repeats and both ranks."""

    case: str
    level: str
    truth_percent: float
    measured_percent: float
    worst_error: float  # of a rank, in points
    hidden_percent: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the two ranks of one training left behind."""

    truth: list[list[dict[str, float]]]
    windows: list[CommunicationRecord]


def run_world(strategy: str, levels_s: list[float], **order: Any) -> Outcome | None:
    """Train once on two processes, one epoch a level."""
    settings = {"late": False, "straggle_s": 0.0, "width": WIDTH, "alternate": True, **order}
    for _ in range(2):  # PyTorch 2.13 may abort at the exit of a process while Gloo's threads end
        with tempfile.TemporaryDirectory() as folder:
            told = json.dumps(settings | {"strategy": strategy, "levels": levels_s, "out": folder})
            world = World(
                command=(str(Path(__file__).resolve()), "--order", told),
                workers=2,
                starter=STARTERS.get(strategy, "torchrun"),
                log=Path(folder) / "log",
                environment={"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
                timeout_s=300 + len(levels_s) * STEPS,
            )
            end = LocalLauncher().start(world).wait()
            if end.status == "ok":
                truth = [json.loads((Path(folder) / f"truth-{rank}.json").read_text()) for rank in (0, 1)]
                windows = Run.read(Path(folder) / "records").of(CommunicationRecord)
                return Outcome(truth=truth, windows=list(windows))
            print(f"{strategy}: {end.reason}\n{end.log_tail}", file=sys.stderr)
    return None


def measure(case: str, outcome: Outcome | None, levels_s: list[float], form: str) -> list[Figure]:
    figures = []
    for level_s in dict.fromkeys(levels_s) if outcome else ():
        epochs = [epoch for epoch, level in enumerate(levels_s) if level == level_s]
        truths, seen = [], []
        for rank in (0, 1):
            on, off = (
                sum(outcome.truth[rank][epoch][side] for epoch in epochs) for side in ("on_s", "off_s")
            )
            windows = [row for row in outcome.windows if row.rank == rank and row.epoch in epochs]
            truths.append(100 * (on - off) / on)
            seen.append(100 * sum(row.exposed_s for row in windows) / on)
        windows = [row for row in outcome.windows if row.epoch in epochs]
        figures.append(
            Figure(
                case=case,
                level=form.format(1e3 * level_s),
                truth_percent=statistics.fmean(truths),
                measured_percent=statistics.fmean(seen),
                worst_error=max(abs(a - b) for a, b in zip(truths, seen)),
                hidden_percent=100
                * sum(row.hidden_s for row in windows)
                / sum(row.wall_s for row in windows),
            )
        )
        show(figures[-1])
    return figures


def show(figure: Figure) -> None:
    print(
        f"{figure.case:28} {figure.level:>22}  truth {figure.truth_percent:5.1f} %  measured "
        f"{figure.measured_percent:5.1f} %  hidden {figure.hidden_percent:5.1f} %  worst error of a rank "
        f"{figure.worst_error:4.1f}",
        flush=True,
    )


def stragglers(strategy: str, skew_s: float, repeats: int) -> str:
    outcome = run_world(strategy, [0.0] * repeats, straggle_s=skew_s, alternate=False)
    if outcome is None:
        return f"| {strategy} | failed | | |"
    waits = {
        rank: statistics.fmean(
            1e3 * (row.wait_s or 0.0) / row.steps for row in outcome.windows if row.rank == rank
        )
        for rank in (0, 1)
    }
    print(f"stragglers, {strategy}: rank 1 late by {1e3 * skew_s:.0f} ms, waits {waits}", flush=True)
    error = 100 * abs(waits[0] - 1e3 * skew_s) / (1e3 * skew_s)
    return f"| {strategy} | {1e3 * skew_s:.0f} ms | {waits[0]:.1f} ms | {waits[1]:.1f} ms | {error:.1f} % |"


# name, start, end in ms on a device, of a window of 100 ms; then the truth
KERNEL, NCCL = "ampere_sgemm_128x64_tn", "ncclDevKernel_AllReduce_Sum_f32_RING_LL"
SYNTHETIC: dict[str, tuple[list[tuple[str, int, int]], float, float]] = {
    "all computation, no communication": ([(KERNEL, 0, 100)], 0, 100),
    "all computation, 30 % communication hidden": ([(KERNEL, 0, 100), (NCCL, 20, 50)], 0, 100),
    "the same, annotated by optimizer, DDP and NCCL": (
        [
            (KERNEL, 0, 100),
            (NCCL, 20, 50),
            ("c10d::nccl:all_reduce", 20, 50),
            ("Optimizer.step#Adam.step", 90, 100),
            ("DistributedDataParallel.forward", 0, 40),
            ("ProfilerStep#3", 0, 100),
        ],
        0,
        100,
    ),
    "fully exposed": ([(KERNEL, 0, 60), (NCCL, 60, 100)], 40, 60),
    "half overlapped": ([(KERNEL, 0, 60), (NCCL, 40, 80)], 20, 60),
    "nested: kernels within one collective": ([(NCCL, 0, 100), (KERNEL, 20, 40), (KERNEL, 50, 70)], 60, 40),
    "two collectives at once": ([(KERNEL, 0, 55), (NCCL, 50, 80), ("ncclKernel_AllGather", 60, 90)], 35, 55),
    "copies cover nothing": (
        [(KERNEL, 0, 60), (NCCL, 60, 80), ("Memcpy DtoH (Device -> Pinned)", 60, 80)],
        20,
        60,
    ),
}


def synthetic() -> tuple[list[str], float]:
    lines, worst = [], 0.0
    for case, (rows, exposed, computation) in SYNTHETIC.items():
        events = from_columns(
            (name, start * 10**6, end * 10**6, 0, True, not name.startswith((KERNEL, "nccl", "Mem")))
            for name, start, end in rows
        )
        reading = read_device(events, (0, 100 * 10**6))
        computed = 100 * reading.computation_s / reading.wall_s
        measured = reading.overhead_percent
        worst = max(worst, abs(measured - exposed), abs(computed - computation))
        lines.append(f"| {case} | {exposed} % | {measured:.1f} % | {computation} % | {computed:.1f} % |")
    return lines, worst


def slow_loopback(mbit: int) -> list[str]:
    """Give the command that runs what follows it behind a slow loopback, in a network namespace."""
    name = f"itwin{os.getpid()}"
    limit = f"tc qdisc add dev lo root tbf rate {mbit}mbit burst 256kb latency 400ms"
    for command in (f"ip netns add {name}", f"ip -n {name} link set lo up", f"ip netns exec {name} {limit}"):
        subprocess.run(command.split(), check=True)
    return ["ip", "netns", "exec", name]


def behind_slow_loopback(mbit: int, strategies: list[str], repeats: int) -> list[Figure]:
    """Run this script in the namespace, because the launcher starts its worlds where it stands."""
    prefix = slow_loopback(mbit)
    try:
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            subprocess.run(
                [
                    *(*prefix, sys.executable, str(Path(__file__).resolve()), "--inside", str(mbit)),
                    *("--strategies", ",".join(strategies), "--repeats", str(repeats), "--out", file.name),
                ],
                check=True,
            )
            return [Figure(**row) for row in json.loads(Path(file.name).read_text())]
    finally:
        subprocess.run(["ip", "netns", "del", prefix[-1]], check=False)


def figures_inside(mbit: int, strategies: list[str], repeats: int) -> list[Figure]:
    figures = []
    for strategy in strategies:
        # 1.6 MB of gradients a step
        outcome = run_world(strategy, [0.0] * repeats, width=256)
        figures += measure(f"{strategy}, slow link", outcome, [0.0] * repeats, f"{mbit} Mbit/s")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--strategies", default="ddp,deepspeed,horovod", help="(%(default)s)")
    parser.add_argument("--delays-ms", default="0,5,10,20,40", help="delay of a step (%(default)s)")
    parser.add_argument(
        "--repeats", type=int, default=3, help="windows and blocks of each level (%(default)s)"
    )
    parser.add_argument("--skew-ms", type=float, default=20.0, help="how late rank 1 is (%(default)s)")
    parser.add_argument("--link-mbit", default="", help="speeds of a slow loopback, as 800,1600 (root)")
    parser.add_argument("--out", default="benchmarks/results/communication_truth.md", help="(%(default)s)")
    parser.add_argument("--order", help=argparse.SUPPRESS)
    parser.add_argument("--inside", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.order:
        train(json.loads(options.order))
        return
    strategies = options.strategies.split(",")
    if "deepspeed_stage_3" in strategies:
        parser.error("deepspeed_stage_3 cannot train with its communication switched off, so it has no truth")
    if options.inside:
        rows = figures_inside(options.inside, strategies, options.repeats)
        Path(options.out).write_text(json.dumps([vars(row) for row in rows]))
        return
    levels_s = [float(ms) / 1e3 for ms in options.delays_ms.split(",")] * options.repeats
    figures = []
    for strategy in strategies:
        figures += measure(strategy, run_world(strategy, levels_s), levels_s, "{:.0f} ms")
        if strategy == "ddp":
            outcome = run_world(strategy, levels_s, late=True)
            figures += measure("ddp, late futures", outcome, levels_s, "{:.0f} ms a bucket")
    waits = [stragglers(strategy, options.skew_ms / 1e3, options.repeats) for strategy in strategies]
    for mbit in filter(None, options.link_mbit.split(",")):
        figures += behind_slow_loopback(int(mbit), strategies, options.repeats)
    report(options, figures, waits)


def report(options: argparse.Namespace, figures: list[Figure], waits: list[str]) -> None:
    lines, worst_synthetic = synthetic()
    errors = [abs(figure.truth_percent - figure.measured_percent) for figure in figures]
    text = f"""{options.repeats} windows of {WINDOW} steps a level, every second step without communication.
Truth: wall time of the steps with, less that of the steps without. Both columns in percent of a step with
communication, mean over the two ranks.

| strategy | delay | truth exposed | measured exposed | error (points) | of the worse rank | hidden |
|---|---|---|---|---|---|---|
{chr(10).join(map(row, figures))}

Mean error {statistics.fmean(errors or [0.0]):.1f} points, largest {max(errors, default=0.0):.1f} (goal: 3).
itwinai 0.4.2 reports 0 % or NaN on CPU: it counts device time alone.

## Stragglers

Rank 1 computes longer in every step; rank 0 waits for it.

| strategy | rank 1 late by | rank 0 waits, measured | rank 1 waits, measured | error |
|---|---|---|---|---|
{chr(10).join(waits)}

## Device time lines made by hand

| time line of 100 ms | truth exposed | measured | truth computation | measured |
|---|---|---|---|---|
{chr(10).join(lines)}

Largest error {worst_synthetic:.1f} points (goal: 1). itwinai 0.4.2 gives 60.0, 57.1, 48.0, 35.3 and 30.0 %
computation for time lines like the first three, whose truth is 100 %: it adds up rows of operators, kernels
and annotations.
"""
    write_page(
        Path(options.out),
        "Exposed communication against ground truth",
        command_line(),
        [text],
        "two processes of one thread each",
    )


def row(figure: Figure) -> str:
    error = figure.measured_percent - figure.truth_percent
    return (
        f"| {figure.case} | {figure.level} | {figure.truth_percent:.1f} % | "
        f"{figure.measured_percent:.1f} % | "
        f"{error:+.1f} | {figure.worst_error:.1f} | {figure.hidden_percent:.1f} % |"
    )


if __name__ == "__main__":
    main()
