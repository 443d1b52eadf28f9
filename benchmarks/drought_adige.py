"""The nowcast on EURAC's public sample, on cells and days never seen, beside what is simple.

The preset drought_adige trains on blocks of cells and the first 60 of 90 days; here it is trained from
several seeds, and scored on the other blocks in the last 30 days. Soil moisture is wflow_sbm's, weather is
CERRA's.

Beside it, on the same cells and days: persistence and climatology (of the domain; of the cell, which knows
what the nowcast does not, the cell's past soil moisture), and linear regression on the same maps and
weather, of the day alone and with means over 3, 7, 15 and 30 days. Its ridge is the best of several on the
very cells and days of the test, in its favour. Each is given a normal distribution with the deviation of
its residuals in training. Settings of the network were chosen on days 46 to 60; no day of the test was used
for that.
"""

# n cells, D days, X inputs, S maps

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.result_page import command_line, write_page
from lightning_itwin.cli import ItwinCLI
from lightning_itwin.datamodules.hydro.splits import split_cells
from lightning_itwin.metrics import (
    KlingGuptaEfficiency,
    NashSutcliffeEfficiency,
    crps_normal,
)

WHERE = (
    "EURAC's sample is archive/cwl/workflows/surrogate/demo.zarr of "
    "https://github.com/interTwin-eu/HyDroForM (Apache 2.0); give its folder with --path."
)
SPIN_UP_DAYS = 15  # the preset's warm-up: wflow_sbm starts on the first day
MEANS_DAYS = (3, 7, 15, 30)
RIDGES = (1e-6, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How good a forecast is.

    Args:
        rmse: root mean square error, m3 m-3.
        nse: Nash-Sutcliffe efficiency over all cells and days.
        nse_of_cells: its median over the cells, each by itself.
        kge: Kling-Gupta efficiency over all cells and days.
        crps: mean, m3 m-3.
        coverage: share within the central 80 % interval.
    """

    rmse: float
    nse: float
    nse_of_cells: float
    kge: float
    crps: float
    coverage: float


def score(mean: Tensor, deviation: Tensor, target: Tensor) -> Scores:
    """Score normal distributions, all (n, D)."""
    deviation = deviation.expand_as(mean)

    def efficiency(kind: Any, outputs: int) -> Tensor:
        metric = kind(num_outputs=outputs)
        pair = (mean, target) if outputs == 1 else (mean.T, target.T)
        metric.update(*(value.reshape(-1, outputs) for value in pair))
        return metric.compute()

    inside = (target - mean).abs() <= 1.2815515655 * deviation
    return Scores(
        rmse=float((mean - target).square().mean().sqrt()),
        nse=float(efficiency(NashSutcliffeEfficiency, 1)),
        nse_of_cells=float(efficiency(NashSutcliffeEfficiency, len(mean)).median()),
        kge=float(efficiency(KlingGuptaEfficiency, 1)),
        crps=float(crps_normal(mean, deviation, target).mean()),
        coverage=float(inside.double().mean()),
    )


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The sample in numpy, in the parts of the split.

    Args:
        inputs: (cells, days, X), precipitation as log(1 + x).
        maps: (cells, S).
        target: (cells, days).
        train, test: numbers of cells.
        train_days, test_days: of the days that count.
    """

    inputs: np.ndarray
    maps: np.ndarray
    target: np.ndarray
    train: np.ndarray
    test: np.ndarray
    train_days: slice
    test_days: slice

    @classmethod
    def of(cls, data: Any) -> Sample:
        """Read what a data module of the preset reads, with its split."""
        grid = data.grid
        values = data.source.read(np.arange(grid.series), 0, grid.axis.size).astype(np.float64)
        spans = data.periods.spans(grid.axis)
        cells = [
            split_cells(grid, split, data.interval_value, data.block_split, data.seed)
            for split in ("train", "test")
        ]
        inputs = values[:, :, :-1].copy()
        inputs[..., 0] = np.log1p(inputs[..., 0])
        return cls(
            inputs=inputs,
            maps=data.source.statics.astype(np.float64),
            target=values[:, :, -1],
            train=cells[0],
            test=cells[1],
            train_days=slice(SPIN_UP_DAYS, spans["train"][1]),
            test_days=slice(*spans["test"]),
        )

    @property
    def truth(self) -> Tensor:
        """What came in the test, (n, D)."""
        return torch.from_numpy(self.target[self.test, self.test_days])


def simple_forecasts(sample: Sample) -> dict[str, Scores]:
    """Score persistence and climatology."""
    known = sample.target[sample.train, sample.train_days]
    own = sample.target[sample.test, sample.train_days]
    shape = sample.truth.shape
    half = known.shape[1] // 2
    of_cell = np.sqrt(np.square(known - known.mean(axis=1, keepdims=True)).mean())
    moved = np.sqrt(np.square(known[:, half:] - known[:, half - 1 : half]).mean())

    def scored(mean: np.ndarray, deviation: float) -> Scores:
        wide = torch.from_numpy(np.broadcast_to(mean, shape).copy())
        return score(wide, torch.tensor(deviation, dtype=torch.float64), sample.truth)

    return {
        "climatology of the domain": scored(np.array(known.mean()), float(known.std())),
        "persistence of the cell's last value": scored(own[:, -1:], float(moved)),
        "climatology of the cell": scored(own.mean(axis=1, keepdims=True), float(of_cell)),
    }


def features(sample: Sample, means: bool) -> np.ndarray:
    """Give maps, weather of the day and its means over the days before, (cells, days, features)."""
    days = sample.inputs.shape[1]
    parts = [sample.inputs]
    total = np.pad(sample.inputs.cumsum(axis=1), ((0, 0), (1, 0), (0, 0)))
    for length in MEANS_DAYS if means else ():
        begin = np.maximum(np.arange(days) + 1 - length, 0)
        count = (np.arange(days) + 1 - begin)[:, None]
        parts.append((total[:, 1:] - total[:, begin]) / count)
    parts.append(np.repeat(sample.maps[:, None], days, axis=1))
    return np.concatenate(parts, axis=-1)


def regression(sample: Sample, means: bool) -> tuple[Scores, float]:
    """Score the linear regression with the ridge that suits the test best, and give the ridge."""
    every = features(sample, means)
    width = every.shape[-1]
    known = every[sample.train, sample.train_days].reshape(-1, width)
    centre, spread = known.mean(axis=0), known.std(axis=0) + 1e-12
    known = (known - centre) / spread
    target = sample.target[sample.train, sample.train_days].ravel()
    new = (every[sample.test, sample.test_days] - centre) / spread
    found = []
    for ridge in RIDGES:
        gram = known.T @ known / len(known) + ridge * np.eye(width)
        weight = np.linalg.solve(gram, known.T @ (target - target.mean()) / len(known))
        residual = target - target.mean() - known @ weight
        deviation = torch.tensor(residual.std(), dtype=torch.float64)
        mean = torch.from_numpy(new @ weight + target.mean())
        found.append((score(mean, deviation, sample.truth), ridge))
    return min(found, key=lambda pair: pair[0].rmse)


def train(path: Path, seed: int, folder: Path, epochs: int | None) -> Any:
    """Train the preset from a seed."""
    args = ["--config", "drought_adige", "--data.init_args.path", str(path), "--seed_everything", str(seed)]
    args += ["--trainer.accelerator", "cpu", "--trainer.devices", "1", "--trainer.logger", "false"]
    args += ["--trainer.enable_progress_bar", "false", "--trainer.enable_checkpointing", "false"]
    args += ["--trainer.enable_model_summary", "false", "--trainer.default_root_dir", str(folder)]
    if epochs is not None:
        args += ["--trainer.max_epochs", str(epochs)]
    cli = ItwinCLI(args=args, run=False)
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    return cli


@torch.no_grad()
def nowcast(cli: Any, sample: Sample) -> tuple[Tensor, Tensor]:
    """Give mean and deviation on the test's cells and days, (n, D) in m3 m-3, by the test dataloader."""
    model, data = cli.model.eval(), cli.datamodule
    row = {int(cell): place for place, cell in enumerate(sample.test)}
    first = sample.test_days.start
    mean = torch.full(sample.truth.shape, torch.nan, dtype=torch.float64)
    deviation = mean.clone()
    centre, scale = data.target_scale
    steps = torch.arange(data.warmup, data.seq_length)
    lower, middle, upper = (nearest(model.levels, level) for level in (0.1587, 0.5, 0.8413))
    for batch in data.test_dataloader():
        quantiles = model(batch, steps)[:, :, 0].double()
        rows = torch.tensor([row[int(series)] for series in batch.series]).unsqueeze(1)
        days = batch.start.unsqueeze(1) + steps - first
        mean[rows, days] = centre + scale * quantiles[..., middle]
        # of a normal distribution two quantiles tell the deviation
        apart = NORMAL.icdf(torch.tensor([model.levels[lower], model.levels[upper]])).double()
        width = quantiles[..., upper] - quantiles[..., lower]
        deviation[rows, days] = scale * width / (apart[1] - apart[0])
    return mean, deviation


NORMAL = torch.distributions.Normal(0.0, 1.0)


def nearest(levels: list[float], level: float) -> int:
    """Give the place of the level nearest to one."""
    return min(range(len(levels)), key=lambda place: abs(levels[place] - level))


def row_of(name: str, one: Scores) -> str:
    return (
        f"| {name} | {one.rmse:.4f} | {one.nse:.3f} | {one.nse_of_cells:.2f} | {one.kge:.3f} | "
        f"{one.crps:.4f} | {one.coverage:.2f} |"
    )


def median_of(found: list[Scores]) -> Scores:
    return Scores(
        **{name: float(np.median([getattr(one, name) for one in found])) for name in vars(found[0])}
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--path", default="data/wflow_adige_demo.zarr", help="the sample's folder")
    parser.add_argument("--seeds", type=int, default=3, help="trainings")
    parser.add_argument("--epochs", type=int, help="instead of the preset's")
    options = parser.parse_args()
    path = Path(options.path)
    if not path.exists():
        sys.exit(f"error: there is no {path}, seen from {Path.cwd()}. {WHERE}")
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    found: list[Scores] = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            cli = train(path, seed, Path(folder), options.epochs)
            sample = Sample.of(cli.datamodule)
            found.append(score(*nowcast(cli, sample), sample.truth))
            print(f"seed {seed}: {found[-1]}", flush=True)
    simple = simple_forecasts(sample)
    day, day_ridge = regression(sample, means=False)
    long, long_ridge = regression(sample, means=True)
    best = min((day, long), key=lambda one: one.crps)
    ours = median_of(found)
    lines = [
        f"Trained on {len(sample.train)} cells and the first {sample.train_days.stop} days (of which the "
        f"first {SPIN_UP_DAYS}, when wflow_sbm starts, are not scored); tested on {len(sample.test)} other "
        f"cells and the {sample.truth.shape[1]} days after. RMSE and CRPS in m3 m-3; the test's standard "
        f"deviation is {float(sample.truth.std()):.4f}.",
        "",
        "| | RMSE | NSE | NSE, median cell | KGE | CRPS | 80 % coverage |",
        "|---|---|---|---|---|---|---|",
        *(row_of(name, one) for name, one in simple.items()),
        row_of(f"linear regression, the day (ridge {day_ridge:g})", day),
        row_of(f"linear regression, with means (ridge {long_ridge:g})", long),
        row_of(f"nowcast, median of {len(found)} seeds", ours),
        *(row_of(f"nowcast, seed {seed}", one) for seed, one in enumerate(found)),
        "",
        "Persistence and climatology of the cell know the cell's own soil moisture of the first 60 days; the "
        "regressions and the nowcast do not. One winter of 90 days is little data.",
        "",
        f"CRPS of the nowcast {ours.crps:.4f}, of the better regression {best.crps:.4f}: "
        f"{best.crps / ours.crps:.2f} times smaller.",
    ]
    command = command_line().replace(str(options.path), "data/wflow_adige_demo.zarr")
    write_page("drought_adige", "The nowcast on EURAC's sample", command, lines, "one thread")
    return 0 if ours.crps < best.crps else 1


if __name__ == "__main__":
    sys.exit(main())
