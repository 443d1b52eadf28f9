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
import math
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from result_page import command_line, write_page
from scipy import stats

TRIALS = 28
SHARE = 0.40
SHARES = (0.1, 0.2, 0.3, SHARE)
PUBLISHED_PERCENT = 74
DRAWS = 20_000


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study whose budget is spent.

    Args:
        seed: of the search.
        policy: what searched, with the settings that are not its own.
        epochs: of all rows that were begun when a row ended, in order of time.
        seconds: the same, of training.
        best: lowest objective until then.
        values: objective of every whole training but the baseline.
        baseline: objective of the baseline.
        failed: rows that gave no value.
        winners, baselines: objectives of the winner and of the baseline with other seeds.
    """

    seed: int
    policy: str
    epochs: list[int]
    seconds: list[float]
    best: list[float]
    values: list[float]
    baseline: float
    failed: int
    winners: list[float]
    baselines: list[float]

    def best_within(self, epochs: float) -> float:
        """Give the lowest objective of the rows that had ended by then."""
        return min((best for at, best in zip(self.epochs, self.best) if at <= epochs), default=math.inf)

    def cost_of(self, loss: float) -> tuple[int, float] | None:
        """Give epochs and seconds of all rows together when one had reached a loss; None for never."""
        costs = zip(self.epochs, self.seconds, self.best)
        return next(((epochs, seconds) for epochs, seconds, best in costs if best <= loss), None)

    @property
    def epoch_s(self) -> float:
        """Mean time of an epoch."""
        return self.seconds[-1] / self.epochs[-1]


@dataclass(frozen=True, kw_only=True)
class Gain:
    """By how many percent the winner's repeats lie below the baseline's, with 95 % limits."""

    percent: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.percent:.1f} % ({self.low:.1f} to {self.high:.1f} %)"


def run_study(folder: Path, seed: int, max_epochs: int, how: list[str], parallel: int) -> None:
    """Run a study, or what is left of it."""
    if (folder / "report.html").exists():
        return
    command = [sys.executable, "-m", "lightning_itwin.hpo", "--config", "drought", "--output", str(folder)]
    command += ["--seed", str(seed), "--max-epochs", str(max_epochs), "--parallel-trials", str(parallel)]
    subprocess.run([*command, *how], check=True)


def read_study(folder: Path) -> Study | None:
    """Read a study; None where its budget is not spent."""
    if not (folder / "trials.csv").exists():
        return None
    plan = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    rows = list(csv.DictReader((folder / "trials.csv").open(encoding="utf-8")))
    if any(row["state"] in ("running", "waiting") for row in rows):
        return None
    ended = sorted((row for row in rows if row["ended"]), key=lambda row: row["ended"])
    values = [float(row["value"]) if row["value"] else math.inf for row in ended]
    begun = [[row for row in rows if row["started"] and row["started"] < end["ended"]] for end in ended]
    repeats: dict[str, list[float]] = {"baseline": [], "trial": []}
    for path in sorted(folder.glob("repeats/*/result.json")):
        value = json.loads(path.read_text(encoding="utf-8"))["value"]
        repeats[path.parent.name.partition("-")[0]] += [] if value is None else [value]
    settings = ", ".join(f"{key} {value}" for key, value in plan["policy_settings"].items())
    whole = [row for row in rows if row["state"] == "complete"]
    return Study(
        seed=int(plan["seed"]),
        policy=f"{plan['policy']}, {settings or 'its own settings'}",
        epochs=[sum(int(row["epochs"] or 0) for row in some) for some in begun],
        seconds=[sum(float(row["wall_s"] or 0) for row in some) for some in begun],
        best=np.minimum.accumulate(values).tolist(),
        values=[float(row["value"]) for row in whole if row["configuration"] != "0"],
        baseline=min(float(row["value"]) for row in whole if row["configuration"] == "0"),
        failed=sum(row["state"] in ("failed", "lost", "diverged") for row in rows),
        winners=repeats["trial"],
        baselines=repeats["baseline"],
    )


def gain(winners: list[float], baselines: list[float]) -> Gain | None:
    """Compare the mean losses of repeats; None where a side has less than two.

    The interval is Welch's, of the logarithm of the ratio of the means.
    """
    if min(len(winners), len(baselines)) < 2:
        return None
    ratio = statistics.fmean(winners) / statistics.fmean(baselines)
    shares = [
        statistics.variance(one) / statistics.fmean(one) ** 2 / len(one) for one in (winners, baselines)
    ]
    freedom = sum(shares) ** 2 / sum(
        share**2 / (len(one) - 1) for share, one in zip(shares, (winners, baselines))
    )
    width = stats.t.ppf(0.975, freedom) * math.sqrt(sum(shares))
    low, middle, high = (100 * (1 - ratio * math.exp(step)) for step in (width, 0.0, -width))
    return Gain(percent=middle, low=low, high=high)


def best_of(pooled: list[float], trials: int, generator: np.random.Generator) -> np.ndarray:
    """Draw the best of so many random trainings, many times."""
    return generator.choice(pooled, (DRAWS, max(1, trials))).min(axis=1)


def report(ours: list[Study], random: list[Study], max_epochs: int) -> list[str]:
    """Give the lines of the page.

    Args:
        ours: studies of the default policy.
        random: unpruned random studies.
        max_epochs: of a whole training.
    """
    whole = TRIALS * max_epochs
    generator = np.random.default_rng(0)
    pooled = [value for study in random for value in study.values]
    low, middle, high = np.percentile(best_of(pooled, TRIALS, generator), [10, 50, 90])
    strongest = min(study.best[-1] for study in random)
    lines = [
        f"{TRIALS} unpruned random trainings of {max_epochs} epochs cost {whole} epochs. The default policy "
        f"({ours[0].policy}) had {SHARE:.0%} of them, {int(SHARE * whole)}, the baseline's {max_epochs} "
        "included. Loss: lowest val/loss of a training's epochs.",
        "",
        "Random studies: "
        + ", ".join(f"seed {study.seed}: {study.best[-1]:.4f}" for study in random)
        + f". Best of {TRIALS} drawn from all {len(pooled)} random trainings: median {middle:.4f}, 80 % "
        f"between {low:.4f} and {high:.4f}. A study of the default policy begins with the configurations of "
        "the random study of its seed.",
        "",
        "| epochs | " + " | ".join(f"seed {study.seed}" for study in ours) + " | random, median |",
        "|---|" + "---|" * (len(ours) + 1),
    ]
    for share in (*SHARES, 1.0):
        drawn = np.median(best_of(pooled, int(share * TRIALS), generator))
        own = [f"{study.best_within(share * whole):.4f}" if share <= SHARE else "" for study in ours]
        lines.append(f"| {int(share * whole)} ({share:.0%}) | {' | '.join(own)} | {drawn:.4f} |")
    lines += [
        "",
        f"| seed | loss | best-of-{TRIALS} draws that are no better | epochs (and time) to their median | "
        "to the best random study | winner with other seeds, below the baseline (95 %) |",
        "|---|---|---|---|---|---|",
    ]
    draws = best_of(pooled, TRIALS, generator)
    gains: list[Gain | None] = []
    usual_s = statistics.fmean(study.epoch_s for study in random) * whole
    for study in ours:
        reached = study.best_within(SHARE * whole)
        gains.append(gain(study.winners, study.baselines))
        cells = [
            str(study.seed),
            f"{reached:.4f}",
            f"{np.mean(draws >= reached):.0%}",
            *(_share(study.cost_of(loss), whole, usual_s) for loss in (middle, strongest)),
            str(gains[-1] or "not repeated"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    dearer = statistics.fmean(study.epoch_s for study in ours) * whole / usual_s
    failed = sum(study.failed for study in (*ours, *random))
    lines += [
        "",
        f"Failed trials: {failed}. An epoch took {dearer:.1f} times as long as in the random studies (other "
        "work ran beside them)"
        + (": wide networks, small batches and long windows do better here." if dearer > 1 else "."),
        "",
        *_verdict(ours, [one for one in gains if one], middle, strongest, whole),
    ]
    return lines


def _verdict(ours: list[Study], gains: list[Gain], middle: float, strongest: float, whole: int) -> list[str]:
    bests = [study.best_within(SHARE * whole) for study in ours]
    lines = []
    if gains:
        means = [one.percent for one in gains]
        lines.append(
            f"Winner with other seeds: {statistics.median(means):.1f} % below the baseline (median of "
            f"{len(means)} searches, {min(means):.1f} to {max(means):.1f} %; limits of all intervals "
            f"{min(one.low for one in gains):.1f} to {max(one.high for one in gains):.1f} %). The published "
            f"study of this surrogate, on its own data: {PUBLISHED_PERCENT} %."
        )
    passed = sum(best <= middle for best in bests)
    needed = [cost[0] if (cost := study.cost_of(middle)) else math.inf for study in ours]
    usual = statistics.median(needed)
    when = "not reached" if math.isinf(usual) else f"after {usual / whole:.0%} of the epochs"
    reached = sum(best <= strongest for best in bests)
    lines.append(
        f"With {SHARE:.0%} of the epochs: loss {statistics.median(bests):.4f} (median of {len(bests)}), "
        f"random {middle:.4f} with all; no higher in {passed} of {len(bests)}, and no higher than the best "
        f"random study ({strongest:.4f}) in {reached}. Same loss: {when} (goal: {SHARE:.0%})."
    )
    return lines


def _share(cost: tuple[int, float] | None, whole: int, usual_s: float) -> str:
    return f"{cost[0]}: {cost[0] / whole:.0%} ({cost[1] / usual_s:.0%})" if cost else "not reached"


def main() -> None:
    """Run or read the studies, print and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("data/drought_study"), help="of all studies")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of the default policy")
    parser.add_argument("--random-seeds", type=int, nargs="+", default=[1, 2], help="of the random studies")
    parser.add_argument("--max-epochs", type=int, default=12, help="of a whole training (default: 12)")
    parser.add_argument("--parallel-trials", type=int, default=2, help="at once (default: 2)")
    parser.add_argument("--read", action="store_true", help="run nothing, leave out what is not finished")
    options = parser.parse_args()
    whole = TRIALS * options.max_epochs
    studies = {
        "random": (options.random_seeds, ["--policy", "random", "--trials", str(TRIALS), "--repeats", "0"]),
        "default": (options.seeds, ["--epochs", str(int(SHARE * whole)), "--trials", str(whole)]),
    }
    found: dict[str, list[Study]] = {}
    left_out: list[str] = []
    for kind, (seeds, how) in studies.items():
        folders = [(options.folder / f"{kind}_{seed}", seed) for seed in seeds]
        for folder, seed in folders if not options.read else ():
            run_study(folder, seed, options.max_epochs, how, options.parallel_trials)
        found[kind] = [study for folder, _ in folders if (study := read_study(folder)) is not None]
        read = {study.seed for study in found[kind]}
        left_out += [f"{kind} {seed}" for seed in seeds if seed not in read]
        if not found[kind]:
            parser.error(f"no {kind} study is finished below {options.folder}; run without --read")
    lines = report(found["default"], found["random"], options.max_epochs)
    if left_out:
        lines += ["", f"Not finished, and left out: {', '.join(left_out)}."]
    write_page("drought_study", "The drought study", command_line(), lines)


if __name__ == "__main__":
    main()
