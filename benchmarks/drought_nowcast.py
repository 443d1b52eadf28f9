"""Time to the predecessor's surrogate error: hython by its recipe, and DroughtForecaster's nowcast.

Soil moisture of the day from weather up to it, on the same simulated cells, days and statistics. hython
trains its CudaLSTM for some epochs by its own recipe and trainer (last day of each window, RMSE, Adam 1e-3,
batch 256); its best validation error is what the other has to reach, at the same windows of a year that
neither trains on. Processor time of one thread; both take turns, seed by seed; set-up and validation are
not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import statistics
import sys
import tempfile
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import hython_peer
from benchmarks.result_page import write_page
from lightning_itwin.datamodules.hydro import GriddedHydroDataModule, HydroVariables, SplitPeriods
from lightning_itwin.hydrology import AlpsSimulator
from lightning_itwin.models import DroughtForecaster

STATICS = ["elevation", "wilting_point", "field_capacity", "root_depth"]
FIRST_YEAR = 1990
EVALUATE_EVERY_DAYS = 33
THRESHOLDS = (0.40, 0.30, 0.25, 0.20, 0.175, 0.15, 0.14, 0.13, 0.12, 0.11)
GOAL = 10.0


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Validation error over processor time.

    Args:
        seconds: of training, at each validation.
        errors: root mean square in standard deviations of the target.
    """

    seconds: list[float]
    errors: list[float]

    def best(self) -> tuple[float, float]:
        """Give the smallest error and when it was there first."""
        at = min(range(len(self.errors)), key=lambda place: self.errors[place])
        return self.errors[at], self.seconds[at]

    def reached(self, error: float) -> float | None:
        """Give when an error was reached first, None for never."""
        return next((second for second, found in zip(self.seconds, self.errors) if found <= error), None)


def datamodule(path: Path, options: argparse.Namespace, **others: Any) -> GriddedHydroDataModule:
    """Give our data module, with hython's inputs and statistics."""
    last = FIRST_YEAR + options.years - 1
    settings: dict[str, Any] = {
        "path": str(path),
        "variables": HydroVariables(statics=STATICS, logarithms=[]),
        "periods": SplitPeriods(
            train=[str(FIRST_YEAR), str(last - 2)], calibration=0, val=[str(last), str(last)], test=0
        ),
        "leads": [0],
        "anomaly": False,
    }
    return GriddedHydroDataModule(**{**settings, **others})


class TrainingClock(pl.Callback):
    """Validates every so many steps and stops at an error; the processor time of that is left out.

    Args:
        batches: of validation; the last day of a window counts.
        every: steps.
        wanted: the error to stop at.
    """

    def __init__(self, batches: list[Any], every: int, wanted: float) -> None:
        self.batches, self.every, self.wanted = batches, every, wanted
        self.seconds: list[float] = []
        self.errors: list[float] = []
        self.spent_s = self.since_s = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.since_s = time.process_time()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        if trainer.global_step % self.every:
            return
        self.spent_s += time.process_time() - self.since_s
        self.seconds.append(self.spent_s)
        self.errors.append(our_error(pl_module, self.batches))
        trainer.should_stop = self.errors[-1] <= self.wanted
        self.since_s = time.process_time()


@torch.no_grad()
def our_error(model: DroughtForecaster, batches: list[Any]) -> float:
    """Give the error on the last day of windows, in standard deviations."""
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    for batch in batches:
        last = batch.dynamic.shape[1] - 1
        found = model(batch, torch.tensor([last]))[:, 0, 0]
        median = found[:, found.shape[1] // 2]
        total += float((median - batch.target[:, last]).square().sum())
        count += len(median)
    model.train(was_training)
    return (total / count) ** 0.5


def train_ours(
    path: Path, batches: list[Any], wanted: float, seed: int, options: argparse.Namespace
) -> Curve:
    """Train the nowcast until it has an error."""
    pl.seed_everything(seed, verbose=False)
    data = datamodule(
        path,
        options,
        batch=options.our_batch,
        seq_length=options.our_days,
        warmup=options.our_warmup,
        samples_per_epoch=options.our_batch * options.our_steps,
        seed=seed,
    )
    model = DroughtForecaster(
        mode="nowcast",
        hidden_size=options.our_hidden,
        learning_rate=options.our_learning_rate,
    )
    clock = TrainingClock(batches, options.our_every, wanted)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=options.our_steps,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
    )
    trainer.fit(model, datamodule=data)
    return Curve(seconds=clock.seconds, errors=clock.errors)


def hython_data(simulator: AlpsSimulator, folder: Path, options: argparse.Namespace) -> tuple[Any, Any, Any]:
    """Give hython's configuration, its data set of training and that of validation."""
    last = FIRST_YEAR + options.years - 1
    hython_peer.write_cube(simulator.run(), STATICS, folder)
    recipe = hython_peer.Recipe(epochs=options.epochs)
    # its windows end in the last year, and begin before it
    begins = int(np.searchsorted(simulator.time, np.datetime64(f"{last}-01-01"))) - recipe.seq_length + 1
    valid = (str(simulator.time[begins]), f"{last}-12-31")
    made = hython_peer.config(folder, STATICS, (f"{FIRST_YEAR}-01-01", f"{last - 2}-12-31"), valid, recipe)
    with contextlib.redirect_stdout(io.StringIO()):
        return made, *hython_peer.datasets(made)


def hython_validation(dataset: Any, batches: list[Any]) -> tuple[list[int], float]:
    """Find the windows of our validation in hython's, and give the largest difference of their values."""
    span = dataset.time_size - dataset.seq_len
    begin = min(int(batch.start.min()) for batch in batches)
    places, worst = [], 0.0
    for batch in batches:
        for row, (series, start) in enumerate(zip(batch.series.tolist(), batch.start.tolist())):
            if start - begin >= span:  # hython leaves the last window out
                continue
            places.append(series * span + start - begin)
            if len(places) % 50 == 1:
                window = dataset[places[-1]]
                inputs = (batch.dynamic[row] - window["xd"][:, [0, 2, 1]]).abs().max()
                target = (batch.target[row] - window["y"][:, 0]).abs().max()
                worst = max(worst, float(inputs), float(target))
    return places, worst


def train_hython(
    made: Any, train: Any, valid: Any, places: list[int], seed: int, options: argparse.Namespace
) -> Curve:
    """Train hython's model by its trainer, and validate after each epoch."""
    from hython.models import CudaLSTM
    from hython.sampler import SamplerBuilder
    from hython.trainer import RNNTrainerHPC
    from hython.utils import set_seed

    set_seed(seed)
    sampler = SamplerBuilder(
        {}, train, sampling="random", sampling_kwargs={"num_samples": options.epoch_windows}
    ).get_sampler()
    loader = torch.utils.data.DataLoader(train, batch_size=made.batch, sampler=sampler, drop_last=True)
    chosen = torch.utils.data.Subset(valid, places)
    validation = torch.utils.data.DataLoader(chosen, batch_size=made.batch)
    model = CudaLSTM(made)
    trainer = RNNTrainerHPC(made)
    trainer.init_trainer(model)
    spent_s = 0.0
    seconds, errors = [], []
    for epoch in range(options.epochs):
        begun_s = time.process_time()
        model.train()
        trainer.epoch_step(model, loader, "cpu", opt=trainer.optimizer)
        spent_s += time.process_time() - begun_s
        model.eval()
        with torch.no_grad():
            loss, metric = trainer.epoch_step(model, validation, "cpu", opt=None)
        trainer.lr_scheduler.step(loss)
        seconds.append(spent_s)
        errors.append(float(metric[hython_peer.TARGET]["MSEMetric"]) ** 0.5)
        print(f"hython, seed {seed}, epoch {epoch}: {spent_s:.0f} s, {errors[-1]:.4f}", flush=True)
    return Curve(seconds=seconds, errors=errors)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hython", metavar="FOLDER", help=f"its source, at {hython_peer.COMMIT}")
    parser.add_argument("--side", type=int, default=20, help="rows and columns of the grid")
    parser.add_argument(
        "--years", type=int, default=6, help="of data: the last validates, the one before rests"
    )
    parser.add_argument("--seeds", type=int, default=3, help="how often both train")
    parser.add_argument("--epochs", type=int, default=20, help="of hython's recipe")
    parser.add_argument("--epoch_windows", type=int, default=20_000, help="windows of hython's epoch")
    parser.add_argument("--our_days", type=int, default=240, help="days of our windows")
    parser.add_argument("--our_warmup", type=int, default=100, help="their first days, which do not count")
    parser.add_argument("--our_batch", type=int, default=32, help="windows of our batch")
    parser.add_argument("--our_hidden", type=int, default=32, help="size of our recurrent layer")
    parser.add_argument("--our_learning_rate", type=float, default=1e-2, help="highest")
    parser.add_argument("--our_steps", type=int, default=1200, help="that our schedule is for")
    parser.add_argument("--our_every", type=int, default=25, help="steps from one validation to the next")
    parser.add_argument("--runs", help="file of the seeds that are done; a stopped benchmark goes on")
    parser.add_argument("--wanted", type=float, default=0.0, help="error to stop at, without --hython")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    source = hython_peer.folder(options.hython)
    with tempfile.TemporaryDirectory() as name:
        return measure(Path(name), source is not None, options)


def measure(folder: Path, with_hython: bool, options: argparse.Namespace) -> int:
    simulator = AlpsSimulator(
        years=options.years, rows=options.side, columns=options.side, first_year=FIRST_YEAR
    )
    path = folder / "alps.zarr"
    simulator.write(path)
    recipe = hython_peer.Recipe()
    validation = datamodule(
        path,
        options,
        seq_length=recipe.seq_length,
        warmup=recipe.seq_length - 1,
        evaluate_every=EVALUATE_EVERY_DAYS,
        batch=500,
    )
    validation.setup("validate")
    batches = list(validation.val_dataloader())
    scale = validation.target_scale[1] if validation.target_scale else 1.0
    theirs: list[Curve] = []
    ours: list[Curve] = []
    notes = []
    if with_hython:
        made, train, valid = hython_data(simulator, folder, options)
        places, difference = hython_validation(valid, batches)
        notes = [
            "",
            f"The values of the same windows differ by {difference:.1e} standard deviations at most.",
        ]
    if with_hython and options.runs and Path(options.runs).exists():
        for line in Path(options.runs).read_text(encoding="utf-8").splitlines():
            one, other = json.loads(line)
            theirs.append(Curve(**one))
            ours.append(Curve(**other))
    for seed in range(len(ours), options.seeds):
        wanted = options.wanted
        if with_hython:
            theirs.append(train_hython(made, train, valid, places, seed, options))
            wanted = theirs[-1].best()[0]
        ours.append(train_ours(path, batches, wanted, seed, options))
        error, second = ours[-1].best()
        print(f"ours, seed {seed}: {second:.1f} s, {error:.4f}", flush=True)
        if with_hython and options.runs:
            with Path(options.runs).open("a", encoding="utf-8") as file:
                file.write(json.dumps([asdict(theirs[-1]), asdict(ours[-1])]) + "\n")
    return report(theirs, ours, scale, notes, options)


def report(
    theirs: list[Curve], ours: list[Curve], scale: float, notes: list[str], options: argparse.Namespace
) -> int:
    lines = [
        f"{options.side**2} cells, {options.years - 2} years of training; error is the root mean square of "
        f"soil moisture in the year {FIRST_YEAR + options.years - 1}, in standard deviations of {scale:.4f} "
        "m3 m-3, on the last day of windows of 120 days.",
        f"hython: H 64, {options.epochs} epochs of {options.epoch_windows:,} windows of 120 days, the best "
        f"epoch. Ours: H {options.our_hidden}, windows of {options.our_days} days, all after day "
        f"{options.our_warmup} count, batch {options.our_batch}, learning rate {options.our_learning_rate:g} "
        f"over {options.our_steps} steps.",
        "",
    ]
    if not theirs:
        lines += ["| seed | ours: error | s of processor |", "|---|---|---|"]
        for seed, curve in enumerate(ours):
            error, second = curve.best()
            lines.append(f"| {seed} | {error:.4f} | {second:.1f} |")
        lines += ["", hython_peer.HOW_TO_GET_IT]
        print("\n".join(lines))
        return 0
    lines += [
        "| seed | hython's best error | there after, s | ours there after, s | ratio |",
        "|---|---|---|---|---|",
    ]
    ratios = []
    for seed, (one, other) in enumerate(zip(theirs, ours)):
        error, second = one.best()
        reached = other.reached(error)
        if reached is None:
            lines.append(f"| {seed} | {error:.4f} | {second:.0f} | never ({other.best()[0]:.4f}) | - |")
            ratios.append(0.0)
            continue
        ratios.append(second / reached)
        lines.append(f"| {seed} | {error:.4f} | {second:.0f} | {reached:.1f} | {ratios[-1]:.0f} |")
    lines += [
        "",
        "Time to other errors, medians over the seeds:",
        "",
        "| error | hython, s | ours, s | ratio |",
    ]
    lines += ["|---|---|---|---|"]
    for threshold in THRESHOLDS:
        one = [curve.reached(threshold) for curve in theirs]
        other = [curve.reached(threshold) for curve in ours]
        if None in one or None in other:
            continue
        slow, fast = statistics.median(one), statistics.median(other)  # type: ignore[type-var]
        lines.append(f"| {threshold} | {slow:.1f} | {fast:.1f} | {slow / fast:.0f} |")  # type: ignore[operator]
    lines += notes
    median = statistics.median(ratios)
    lines += [
        "",
        f"The predecessor's error {median:.0f} times faster (median; {min(ratios):.0f} to {max(ratios):.0f}; "
        "goal 10).",
    ]
    command = hython_peer.command(options.hython).replace(options.runs or "\0", "RUNS")
    write_page("drought_nowcast", "Time to the predecessor's surrogate error", command, lines, "one thread")
    return 0 if median >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
