"""How much of the skill that can be had DroughtForecaster reaches, on simulated weather that is new to it.

The preset ``drought`` is trained on one core, then forecasts on the same terrain under other weather seeds.
Of the simulator's state and generator the ideal ensemble is drawn (the oracle): its CRPS skill against the
day-of-year climatology of each cell is what can be had, and the share is the forecast's skill over it. The
forecasts have quantiles, scored exactly with a quantile function that is linear between them; ensembles have
the fair CRPS. Coverage and Brier skill are of the calibrated forecasts; the driest decile is that of the
state at issue.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.result_page import command_line, write_page
from lightning_itwin.cli import ItwinCLI
from lightning_itwin.datamodules import GriddedHydroDataModule
from lightning_itwin.datamodules.hydro import ForecastOrigins, SplitPeriods
from lightning_itwin.hydrology import AlpsSimulator
from lightning_itwin.hydrology.alps_oracle import oracle
from lightning_itwin.metrics import crps_ensemble, crps_piecewise_linear
from lightning_itwin.models import DroughtForecaster
from lightning_itwin.models.drought_heads import quantiles_at

HISTORY_DAYS = 365  # that every forecast sees
CENTRES, HALF_WINDOW_DAYS = 73, 10
CLIMATE_LEVELS = np.linspace(0.005, 0.995, 100)
GOALS = {1: 0.97, 3: 0.97, 7: 0.97, 14: 0.95, 30: 0.90, 45: 0.90, 60: 0.90}
COVERAGE = (0.78, 0.82)


def train(arguments: argparse.Namespace, folder: Path) -> tuple[Path, float]:
    """Train the preset; give its checkpoint and the processor time in s, data included."""
    begun = time.process_time()
    options = ["--trainer.enable_progress_bar", "false", "--trainer.logger", "false"]
    options += ["--trainer.accelerator", "cpu", "--trainer.devices", "1"]
    options += ["--trainer.default_root_dir", str(folder), "--data.init_args.data_dir", str(folder)]
    options += arguments.set
    cli = ItwinCLI(["fit", "--config", arguments.preset, *options])
    spent = time.process_time() - begun
    return Path(
        cli.trainer.checkpoint_callback.last_model_path or cli.trainer.checkpoint_callback.best_model_path
    ), spent


class DailyClimatology:
    """Quantiles that anomalies of a cell had within 10 days of a day of the year, in the years of training.

    Args:
        datamodule: of the training's statistics.
        simulator: of the training.
        realizations: whose years are taken.
    """

    def __init__(self, datamodule: Any, simulator: AlpsSimulator, realizations: int) -> None:
        cells = torch.arange(simulator.rows * simulator.columns)
        count = min(realizations, simulator.realizations)
        pooled, fraction = [], None
        for number in range(count):
            run = simulator.run([number])
            fraction = torch.from_numpy(run.year_fraction).float()
            moisture = run.soil_moisture[0].reshape(len(run.time), -1).T
            values = torch.from_numpy(np.ascontiguousarray(moisture))
            pooled.append(datamodule.climatology.anomaly(values, cells, fraction).float())
        assert fraction is not None
        anomaly = torch.stack(pooled, 1)  # (cells, histories, days)
        self.table = torch.empty(len(cells), CENTRES, len(CLIMATE_LEVELS))
        for centre in range(CENTRES):
            near = ((fraction - centre / CENTRES + 0.5) % 1 - 0.5).abs() <= HALF_WINDOW_DAYS / 365.25
            some = anomaly[:, :, near].flatten(1).numpy()
            self.table[:, centre] = torch.from_numpy(np.quantile(some, CLIMATE_LEVELS, axis=1).T).float()

    def __call__(self, cells: Tensor, year_fraction: Tensor) -> Tensor:
        """Give quantiles for cells (B,) on days (B, L): (B, L, 100)."""
        centre = (year_fraction * CENTRES).round().long() % CENTRES
        return self.table[cells.unsqueeze(-1), centre]


def evaluate(
    model: Any, checkpoint: Path, seed: int, arguments: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """Score forecasts under one weather seed: sums per lead by name."""
    trained = torch.load(checkpoint, map_location="cpu", weights_only=True)
    simulator = dataclasses.replace(
        arguments.simulator, weather_seed=seed, realizations=arguments.realizations, years=arguments.years
    )
    datamodule = GriddedHydroDataModule(
        simulator=simulator,
        data_dir=str(folder),
        periods=SplitPeriods(train=0.0, calibration=0.0, val=0.0, test=1.0),
        batch=512,
        seq_length=model.conditions.seq_length,
        warmup=model.conditions.warmup,
        leads=model.leads,
        context=bool(model.conditions.context_names),
        forecasts=ForecastOrigins(every=arguments.every, realizations=None),
    )
    datamodule.load_state_dict(trained["GriddedHydroDataModule"])
    datamodule.setup()
    loader = datamodule.predict_dataloader()
    leads, levels = torch.tensor(model.leads), model.levels
    cells, days = datamodule.grid.cells, len(datamodule.grid.times)
    last = model.conditions.seq_length - 1
    median = min(range(len(levels)), key=lambda at: abs(levels[at] - 0.5))
    low, high = (min(range(len(levels)), key=lambda at: abs(levels[at] - end)) for end in (0.1, 0.9))
    rows: dict[str, list[Tensor]] = {}
    for batch in loader:
        origin = batch.start + last
        keep = (origin >= HISTORY_DAYS) & (origin + int(leads[-1]) < days)
        if not bool(keep.any()):
            continue
        batch = type(batch)(*(None if part is None else part[keep] for part in batch))
        raw = model(batch, torch.tensor([last]))[:, 0]
        forecast = model.forecast(batch)
        target, valid = batch.target[:, last + leads], batch.year_fraction[:, last + leads]
        thresholds = batch.thresholds[:, last + leads]
        climate = arguments.climatology(batch.series % cells, valid)
        known = datamodule.reference_forecasts
        persistence = quantiles_at(
            known.damped_persistence(
                batch.target[:, last], batch.series % cells, batch.year_fraction[:, last]
            ),
            known.levels,
            levels,
        )
        dry = (target < thresholds[..., 0]).float()
        found = {
            "series": batch.series,
            "origin": origin[keep],
            "state": batch.target[:, last],
            "target": target,
            "threshold": thresholds[..., 0],
            "crps": crps_piecewise_linear(forecast.quantiles, target, levels),
            "crps_raw": crps_piecewise_linear(raw, target, levels),
            "crps_climatology": crps_piecewise_linear(climate, target, CLIMATE_LEVELS.tolist()),
            "crps_persistence": crps_piecewise_linear(persistence, target, levels),
            "held": (
                (target >= forecast.quantiles[..., low]) & (target <= forecast.quantiles[..., high])
            ).float(),
            "held_raw": ((target >= raw[..., low]) & (target <= raw[..., high])).float(),
            "brier": (forecast.probability_below[..., 0] - dry).square(),
            "brier_climatology": (0.2 - dry).square(),
            "error": (forecast.quantiles[..., median] - target).square(),
        }
        for name, values in found.items():
            rows.setdefault(name, []).append(values)
    scores = {name: torch.cat(parts) for name, parts in rows.items()}
    return _with_oracle(scores, datamodule, simulator, model.leads, arguments)


def _with_oracle(
    scores: dict[str, Tensor], datamodule: Any, simulator: AlpsSimulator, leads: list[int], arguments: Any
) -> dict[str, Any]:
    """Add the oracle's scores on every few days of issue, and sum up."""
    cells = datamodule.grid.cells
    origins = scores["origin"].unique()
    chosen = origins[:: arguments.oracle_every]
    sums = {name: torch.zeros(len(leads), dtype=torch.float64) for name in ("crps", "brier", "count")}
    place = torch.arange(cells)
    with_oracle = torch.isin(scores["origin"], chosen)
    for number in range(simulator.realizations):
        run = simulator.run([number])
        fraction = torch.from_numpy(run.year_fraction).float()
        for origin in chosen.tolist():
            members = oracle(run, [origin], leads, arguments.members, seed=1)[0]  # (L, M, C)
            valid = fraction[origin + torch.tensor(leads)]
            ensemble = datamodule.climatology.anomaly(
                torch.from_numpy(members).permute(2, 0, 1),
                place,
                valid[:, None].expand(-1, arguments.members),
            ).float()
            here = (scores["origin"] == origin) & (scores["series"] // cells == number)
            target, threshold = scores["target"][here], scores["threshold"][here]
            order = scores["series"][here] % cells
            ensemble = ensemble[order]
            sums["crps"] += crps_ensemble(ensemble, target, fair=True).double().sum(0)
            below = (ensemble < threshold.unsqueeze(-1)).float().mean(-1)
            came = (target < threshold).float()
            noise = below * (1 - below) / (arguments.members - 1)
            sums["brier"] += ((below - came).square() - noise).double().sum(0)
            sums["count"] += len(target)
    mean = {name: values[with_oracle].double().mean(0) for name, values in scores.items() if values.ndim == 2}
    best = {name: sums[name] / sums["count"] for name in ("crps", "brier")}
    driest = scores["state"] <= torch.quantile(scores["state"][:: max(1, len(scores["state"]) // 10**6)], 0.1)
    skill = {
        name: 1 - mean[name] / mean["crps_climatology"] for name in ("crps", "crps_raw", "crps_persistence")
    }
    can = 1 - best["crps"] / mean["crps_climatology"]
    brier = [1 - value / mean["brier_climatology"] for value in (best["brier"], mean["brier"])]
    return {
        "oracle": can,
        "persistence": skill["crps_persistence"],
        "forecast": skill["crps"],
        "share": skill["crps"] / can,
        "share raw": skill["crps_raw"] / can,
        "share of persistence": skill["crps_persistence"] / can,
        "coverage raw": scores["held_raw"].double().mean(0),
        "coverage": scores["held"].double().mean(0),
        "coverage raw, driest": scores["held_raw"][driest].double().mean(0),
        "coverage, driest": scores["held"][driest].double().mean(0),
        "BSS(P20) oracle": brier[0],
        "BSS(P20)": brier[1],
    }


def table(leads: list[int], results: list[dict[str, Tensor]]) -> list[str]:
    """Give the medians over seeds, and the spread of shares and coverage."""
    lines = ["| | " + " | ".join(f"{lead} d" for lead in leads) + " |", "|---" * (len(leads) + 1) + "|"]
    for name in results[0]:
        values = torch.stack([result[name] for result in results])
        middle = values.median(0).values
        lines.append(f"| {name} | " + " | ".join(f"{float(value):.3f}" for value in middle) + " |")
        if len(results) > 1 and (name == "share" or name.startswith("coverage")):
            ends = zip(values.min(0).values, values.max(0).values)
            told = " | ".join(f"{float(low):.3f} to {float(high):.3f}" for low, high in ends)
            lines.append(f"| {name}, range of seeds | {told} |")
    return lines


def verdict(leads: list[int], results: list[dict[str, Tensor]]) -> str:
    """Say the shares, and whether the goals are reached."""
    share = torch.stack([result["share"] for result in results]).median(0).values
    told = ", ".join(f"{lead} d {float(value):.3f}" for lead, value in zip(leads, share))
    short = [lead for lead, value in zip(leads, share) if float(value) < GOALS.get(lead, 0)]
    outside = []
    for name in ("coverage", "coverage, driest"):
        values = torch.stack([result[name] for result in results]).median(0).values
        outside += [
            f"{name} at {lead} d"
            for lead, value in zip(leads, values)
            if not COVERAGE[0] <= float(value) <= COVERAGE[1]
        ]
    missed = [f"share at {lead} d" for lead in short] + outside
    return f"Shares of the CRPS skill that can be had: {told}. " + (
        f"Missed: {', '.join(missed)}." if missed else "All goals are reached, coverage too."
    )


def main() -> None:
    """Train, forecast under each seed, write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="drought", help="preset or YAML file that is trained")
    parser.add_argument("--checkpoint", type=Path, help="a trained one; nothing is trained then")
    parser.add_argument("--trained-in", type=float, metavar="MINUTES", help="what it took, where it is known")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[201, 202, 203], help="weather seeds of the test"
    )
    parser.add_argument("--realizations", type=int, default=16, help="histories of weather a seed")
    parser.add_argument("--years", type=int, default=6, help="of each history")
    parser.add_argument("--every", type=int, default=15, help="days from one forecast to the next")
    parser.add_argument(
        "--oracle-every", type=int, default=2, help="of how many days of issue one has the oracle"
    )
    parser.add_argument("--members", type=int, default=50, help="of the oracle's ensemble")
    parser.add_argument(
        "--set", nargs=argparse.REMAINDER, default=[], help="more options of the training, at the end"
    )
    parser.add_argument("--out", default="drought_skill", help="name of the page")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if arguments.checkpoint:
            checkpoint, spent = arguments.checkpoint, 0.0
        else:
            checkpoint, spent = train(arguments, folder)
        lines, results = [], []
        with torch.no_grad():
            model = DroughtForecaster.load_from_checkpoint(
                checkpoint, map_location="cpu", weights_only=True
            ).eval()
            arguments.simulator = _simulator_of(arguments.preset)
            bare = GriddedHydroDataModule(
                simulator=dataclasses.replace(arguments.simulator, realizations=1),
                data_dir=place,
                leads=model.leads,
                context=bool(model.conditions.context_names),
            )
            bare.load_state_dict(torch.load(checkpoint, weights_only=True)["GriddedHydroDataModule"])
            bare.setup()
            bare.ensure_statistics()
            arguments.climatology = DailyClimatology(bare, arguments.simulator, realizations=16)
            for seed in arguments.seeds:
                results.append(evaluate(model, checkpoint, seed, arguments, folder))
                shares = " ".join(f"{float(value):.3f}" for value in results[-1]["share"])
                print(f"seed {seed}: {shares}", flush=True)
    minutes = arguments.trained_in if arguments.checkpoint else spent / 60
    took = f"{minutes:.1f} minutes of one core" if minutes else "a time that is not known"
    lines = [
        f"Preset {arguments.preset}, trained in {took}, simulation included. Test: weather seeds "
        f"{', '.join(map(str, arguments.seeds))}, "
        f"{arguments.realizations} histories of {arguments.years} years each, a forecast every "
        f"{arguments.every} days; one in {arguments.oracle_every} beside {arguments.members} members of the "
        "oracle. Medians over the seeds; CRPS skill against the climatology of cell and day of the year.",
        "",
        *table(model.leads, results),
        "",
        verdict(model.leads, results),
    ]
    write_page(
        Path(arguments.out) if arguments.out.endswith(".md") else arguments.out,
        "Skill of drought forecasts",
        command_line(),
        lines,
        note="one thread",
    )


def _simulator_of(preset: str) -> AlpsSimulator:
    """Read the simulator out of a preset."""
    import yaml

    from lightning_itwin import presets

    path = presets.resolve(["--config", preset])[-1]
    settings = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    return AlpsSimulator(**settings["data"]["init_args"]["simulator"])


if __name__ == "__main__":
    main()
