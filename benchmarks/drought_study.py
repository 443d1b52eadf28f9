"""The drought study: how far below its baseline, and with how many of the epochs of unpruned random trials.

Runs the study that comes with the package by the real program: with the default policy on an epoch budget
of 40 % of what 28 unpruned trainings cost, for some seeds of the search, and 28 unpruned random trials for
others. A study that is finished is read, one that was interrupted goes on.

Run from the repository: python benchmarks/drought_study.py
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from result_page import command_line, write_page

TRIALS = 28
SHARE = 0.40
PUBLISHED_PERCENT = 74


@dataclass(frozen=True, kw_only=True)
class Study:
    """A finished study.

    Args:
        seed: of the search.
        policy: what searched.
        epochs: trained when each row had ended, cumulative, in order of time.
        best: lowest objective until then.
        values: objective of every whole training but the baseline.
        baseline: objective of the baseline.
        winners, baselines: objectives of the winner and of the baseline with other seeds.
    """

    seed: int
    policy: str
    epochs: list[int]
    best: list[float]
    values: list[float]
    baseline: float
    winners: list[float]
    baselines: list[float]

    def best_within(self, epochs: float) -> float:
        return min((best for at, best in zip(self.epochs, self.best) if at <= epochs), default=float("nan"))

    def epochs_to(self, loss: float) -> int | None:
        return next((at for at, best in zip(self.epochs, self.best) if best <= loss), None)


def run_study(folder: Path, seed: int, max_epochs: int, how: list[str], parallel: int) -> None:
    """Run a study, or what is left of it."""
    if (folder / "report.html").exists():
        return
    command = [sys.executable, "-m", "lightning_itwin.hpo", "--config", "drought", "--output", str(folder)]
    command += ["--seed", str(seed), "--max-epochs", str(max_epochs), "--parallel-trials", str(parallel)]
    subprocess.run([*command, *how], check=True)


def read_study(folder: Path) -> Study:
    plan = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    rows = list(csv.DictReader((folder / "trials.csv").open(encoding="utf-8")))
    ended = sorted((row for row in rows if row["ended"]), key=lambda row: row["ended"])
    values = [float(row["value"]) if row["value"] else float("inf") for row in ended]
    repeats = folder / "repeats.json"
    told = json.loads(repeats.read_text(encoding="utf-8")) if repeats.exists() else {}
    return Study(
        seed=int(plan["seed"]),
        policy=plan["policy"],
        epochs=np.cumsum([int(row["epochs"] or 0) for row in ended]).tolist(),
        best=np.minimum.accumulate(values).tolist(),
        values=[
            float(row["value"]) for row in rows if row["state"] == "complete" and row["configuration"] != "0"
        ],
        baseline=min(float(row["value"]) for row in rows if row["configuration"] == "0" and row["value"]),
        winners=told.get("winner", []),
        baselines=told.get("baseline", []),
    )


def improvement(study: Study, generator: np.random.Generator) -> tuple[float, float, float]:
    """Give by how many percent the winner's repeats lie below the baseline's: mean, and 95 % by bootstrap."""
    winners, baselines = np.array(study.winners), np.array(study.baselines)
    drawn = [
        100
        * (
            1
            - generator.choice(winners, len(winners)).mean()
            / generator.choice(baselines, len(baselines)).mean()
        )
        for _ in range(10_000)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return 100 * (1 - winners.mean() / baselines.mean()), float(low), float(high)


def main() -> None:
    """Run or read the studies, print and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("data/drought_study"), help="of all studies")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of the default policy")
    parser.add_argument("--random-seeds", type=int, nargs="+", default=[1, 2], help="of the random studies")
    parser.add_argument("--max-epochs", type=int, default=12, help="of a whole training (default: 12)")
    parser.add_argument("--parallel-trials", type=int, default=2, help="at once (default: 2)")
    options = parser.parse_args()
    whole = TRIALS * options.max_epochs
    budget = int(SHARE * whole)
    for seed in options.random_seeds:
        how = ["--policy", "random", "--trials", str(TRIALS), "--repeats", "0"]
        run_study(options.folder / f"random_{seed}", seed, options.max_epochs, how, options.parallel_trials)
    for seed in options.seeds:
        how = ["--epochs", str(budget), "--trials", str(whole)]
        run_study(options.folder / f"default_{seed}", seed, options.max_epochs, how, options.parallel_trials)
    random = [read_study(options.folder / f"random_{seed}") for seed in options.random_seeds]
    ours = [read_study(options.folder / f"default_{seed}") for seed in options.seeds]
    generator = np.random.default_rng(0)
    pooled = [value for study in random for value in study.values]
    best_of_28 = np.array([generator.choice(pooled, TRIALS).min() for _ in range(10_000)])
    low, middle, high = np.percentile(best_of_28, [10, 50, 90])
    lines = [
        f"Trainings of {options.max_epochs} epochs at most. {TRIALS} unpruned random trainings cost {whole} "
        f"epochs; the default policy ({ours[0].policy}) had {budget}, {SHARE:.0%} of them.",
        "",
        f"Best of {TRIALS} random trainings: "
        + ", ".join(f"{study.best[-1]:.4f} (seed {study.seed})" for study in random)
        + f"; of {TRIALS} drawn from all {len(pooled)}: median {middle:.4f}, 80 % between {low:.4f} and "
        f"{high:.4f}.",
        "",
        "| seed | best, default policy | baseline | random best-of-28 draws that are no better | epochs "
        "to the random median, share | winner over 3 other seeds, below the baseline (95 %) |",
        "|---|---|---|---|---|---|",
    ]
    for study in ours:
        reached = study.best_within(budget)
        passed = study.epochs_to(middle)
        share = "not reached" if passed is None else f"{passed} ({passed / whole:.0%})"
        mean, least, most = improvement(study, generator)
        lines.append(
            f"| {study.seed} | {reached:.4f} | {study.baseline:.3f} | {np.mean(best_of_28 >= reached):.0%} | "
            f"{share} | {mean:.1f} % ({least:.1f} to {most:.1f} %) |"
        )
    means = [improvement(study, generator)[0] for study in ours]
    bests = [study.best_within(budget) for study in ours]
    lines += [
        "",
        f"Below the baseline by {statistics.median(means):.1f} % (median of {len(ours)} searches, "
        f"{min(means):.1f} to {max(means):.1f} %); the published study of this surrogate: "
        f"{PUBLISHED_PERCENT} %.",
        f"With {SHARE:.0%} of the epochs: median best {statistics.median(bests):.4f}, random {middle:.4f} "
        "(goal: no higher).",
    ]
    write_page("drought_study", "The drought study", command_line(), lines)


if __name__ == "__main__":
    main()
