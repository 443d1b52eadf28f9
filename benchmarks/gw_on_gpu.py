"""GWFlow on a GPU as its user has it: trained by a Trainer, then the weighed posterior of one event.

Training: batches of 256 events of 8 s at 8192 Hz in three interferometers, simulated while it trains, in
bfloat16 but for the flow; batches a second and the wait for data of the last epoch, as EpochTimer has them.
Posterior: the time from the strain on the GPU to 10,000 samples with importance weights against the exact
likelihood, without writing files; the network need not be trained for that.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from lightning.pytorch import Trainer

from benchmarks.gw_training import preset_parts
from benchmarks.result_page import command_line, write_page
from lightning_itwin.callbacks import EpochTimer
from lightning_itwin.records import EpochRecord, find_runs

GOALS = {"folded": 8.0, "folded_lean": 40.0, "svd": 60.0}
SAMPLES, LATENCY_GOAL_MS, WAIT_GOAL_PERCENT = 10_000, 100.0, 5.0
EVENTS_A_BATCH = 256
FLOWS: dict[str, dict[str, int]] = {
    "D": {},  # as the preset has it
    "L": {"hidden_features": 1024, "num_blocks": 5, "num_flow_steps": 30},
}


def made(kind: str, batches: int, flow: dict[str, int] = FLOWS["D"]) -> tuple[Any, Any]:
    """Make model and datamodule of the preset gw with another embedding."""
    return preset_parts(
        "gw",
        {
            "model.init_args.embedding.kind": kind,
            "data.init_args.events.train_events": batches * EVENTS_A_BATCH,
            "data.init_args.events.val_events": EVENTS_A_BATCH,
            **{f"model.init_args.flow.{name}": value for name, value in flow.items()},
        },
    )


def quiet_trainer(folder: str | None = None, **settings: Any) -> Trainer:
    return Trainer(
        default_root_dir=folder,
        precision="bf16-mixed",
        accelerator="gpu",
        devices=1,
        logger=False,
        limit_val_batches=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **settings,
    )


def train(kind: str, batches: int, epochs: int) -> list[EpochRecord]:
    model, data = made(kind, batches)
    torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        trainer = quiet_trainer(folder, max_epochs=epochs, callbacks=[EpochTimer()])
        trainer.fit(model, datamodule=data)
        (run,) = find_runs(Path(folder))
        return sorted((row for row in run.of(EpochRecord) if row.stage == "train"), key=lambda row: row.epoch)


def posterior_ms(flow: dict[str, int], rounds: int) -> tuple[float, float]:
    """Time the samples of one event, and their weights; medians in ms."""
    model, data = made("svd", 1, flow)
    data.setup("predict")
    quiet_trainer(max_epochs=1, limit_train_batches=2).fit(model, datamodule=data)
    model.eval().cuda()
    inputs = data.transfer_batch_to_device(next(iter(data.test_dataloader())), torch.device("cuda"), 0)
    batch = data.finish(inputs)
    drawing, weighing = [], []
    for number in range(rounds + 3):
        event = number % len(batch.strain)
        torch.cuda.synchronize()
        begun_s = time.perf_counter()
        samples, log_prob = model._network.draw(batch.strain[event : event + 1], SAMPLES)
        proposed = model._posterior(samples[0], log_prob[0])
        drawn_s = time.perf_counter()
        model._weigh(proposed, batch.strain[event], batch.psd_index[event])
        torch.cuda.synchronize()
        drawing.append(1e3 * (drawn_s - begun_s))
        weighing.append(1e3 * (time.perf_counter() - drawn_s))
    return statistics.median(drawing[3:]), statistics.median(weighing[3:])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--kinds", nargs="*", choices=GOALS, default=list(GOALS), help="embeddings (default: all)"
    )
    parser.add_argument(
        "--flows", nargs="*", choices=FLOWS, default=list(FLOWS), help="of the posteriors (default: all)"
    )
    parser.add_argument("--batches", type=int, default=150, help="an epoch (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=2, help="the last one counts (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=10, help="posteriors (default: %(default)s)")
    options = parser.parse_args()
    command = command_line()
    if not torch.cuda.is_available():
        print("gw_on_gpu needs a CUDA GPU, and torch sees none here; nothing was written.", file=sys.stderr)
        return 2
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_float32_matmul_precision("high")
    lines = [
        "| embedding | batches/s | over the reference's 1 | goal | wait for data | of an epoch | memory |",
        "|---|---|---|---|---|---|---|",
    ]
    told = []
    for kind in options.kinds:
        last = train(kind, options.batches, options.epochs)[-1]
        rate, wait = last.steps / last.time_s, 100 * (last.data_wait_s or 0.0) / last.time_s
        memory_gib = torch.cuda.max_memory_allocated() / 2**30
        print(f"{kind}: {rate:.1f} batches/s, wait {wait:.1f} %", flush=True)
        lines.append(
            f"| {kind} | **{rate:.1f}** | {rate:.1f} x | {GOALS[kind]:g} | {wait:.1f} % "
            f"| {last.time_s:.1f} s | {memory_gib:.1f} GiB |"
        )
        told.append(
            f"{kind}: {rate / GOALS[kind]:.2f} of its goal, wait {wait:.1f} % (goal {WAIT_GOAL_PERCENT:g})"
        )
    lines += [
        "",
        f"One event, {SAMPLES} weighed samples:",
        "",
        "| flow | samples and densities | weights by the likelihood | together | goal |",
        "|---|---|---|---|---|",
    ]
    for name in options.flows:
        draw_ms, weigh_ms = posterior_ms(FLOWS[name], options.rounds)
        both_ms = draw_ms + weigh_ms
        print(f"one event, {name}: {draw_ms:.1f} + {weigh_ms:.1f} ms", flush=True)
        lines.append(
            f"| {name} | {draw_ms:.1f} ms | {weigh_ms:.1f} ms | **{both_ms:.1f} ms** "
            f"| {LATENCY_GOAL_MS:g} ms |"
        )
        told.append(f"one event, flow {name}: {both_ms:.1f} ms, ratio {LATENCY_GOAL_MS / both_ms:.2f}")
    lines += ["", *(f"- {line}" for line in told)]
    write_page("gw_on_gpu", "GWFlow on a GPU", command, lines, torch.cuda.get_device_name())
    return 0


if __name__ == "__main__":
    sys.exit(main())
