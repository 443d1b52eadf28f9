"""How soon each policy comes near the best of many trainings, with trainings that are looked up or computed.

Two families: 1152 trainings that were really run (``table``), and curves by formula (``synthetic``). Settings
were chosen on the odd seeds of the table and on the formulas 100 to 109; the even seeds and the formulas from
500 on were not looked at before.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import optuna
from hpo_simulation import EPOCHS, Task, simulate, synthetic_task, table_task
from result_page import command_line, write_page

from lightning_itwin.hpo.policies import DEFAULT_POLICY, Policy, make_policy

GOAL_10, GOAL_1 = 363, 2149
FRESH = 500  # first formula of the confirmation


class RayASHA:
    """Ray Tune's default: random configurations, stopped by its asynchronous successive halving (factor 4).

    Its ``_Bracket.on_result``: at each rung (1, 4, 16) a trial goes on if it is in the best quarter of those
    that were there before; percentiles are interpolated.
    """

    def __init__(self, seed: int) -> None:
        self.random = make_policy("random", max_epochs=EPOCHS, seed=seed)
        self.rungs: list[tuple[int, dict[int, float]]] = [(16, {}), (4, {}), (1, {})]

    def ask(self, study, space):
        return self.random.ask(study, space)

    def should_stop(self, study: optuna.Study, trial: optuna.Trial) -> bool:
        reported = study.get_trials(deepcopy=False)[trial.number].intermediate_values
        epoch = max(reported)
        for rung, recorded in self.rungs:
            if epoch >= rung and trial.number not in recorded:
                poor = bool(recorded) and reported[epoch] > np.percentile(list(recorded.values()), 25)
                recorded[trial.number] = reported[epoch]
                return poor
        return False


def ours(name: str, **settings: float) -> Callable[[int], Policy]:
    return lambda seed: make_policy(name, max_epochs=EPOCHS, seed=seed, **settings)


POLICIES: dict[str, Callable[[int], Policy]] = {
    "freeze_thaw": ours("freeze_thaw"),
    "freeze_thaw, nothing finished early": ours("freeze_thaw", finish_share=0.0),
    "freeze_thaw, a third finished": ours("freeze_thaw", finish_share=1 / 3),
    "promotion": ours("promotion"),
    "promotion, first rung 1": ours("promotion", first_rung=1),
    "promotion, first rung 1, eta 4": ours("promotion", first_rung=1, eta=4),
    "promotion, half start at 1": ours("promotion", early_share=0.5),
    "hyperband": ours("hyperband"),
    "asha": ours("asha"),
    "tpe": ours("tpe"),
    "random": ours("random"),
    "random + ASHA of Ray": RayASHA,
}


@dataclass(frozen=True)
class Run:
    """One study: where its best seen fell, and how much processor time its policy took.

    Args:
        family: ``table`` or ``synthetic``.
        policy: of :data:`POLICIES`.
        seed: of the policy; for ``synthetic`` also of the formula.
        slots: trainings at once.
        budget: epochs over all trainings.
        falls: epochs spent and regret (best seen / best - 1) at each fall.
        time_s: processor time.
    """

    family: str
    policy: str
    seed: int
    slots: int
    budget: int
    falls: list[tuple[int, float]]
    time_s: float

    def regret(self, epochs: int) -> float:
        return max(0.0, min((regret for at, regret in self.falls if at <= epochs), default=math.inf))

    def epochs_to(self, within: float) -> float:
        return next((float(at) for at, regret in self.falls if regret <= within), math.inf)


def play(family: str, policy: str, seed: int, slots: int, budget: int, task: Task) -> Run:
    start = time.process_time()
    best_seen = simulate(POLICIES[policy](seed), task, name=f"s{seed}", slots=slots, budget=budget)
    regrets = best_seen / task.best - 1
    fell = np.flatnonzero(np.diff(regrets, prepend=np.inf) < 0)
    falls = [(int(at) + 1, float(regrets[at])) for at in fell]
    return Run(family, policy, seed, slots, budget, falls, time.process_time() - start)


def read_runs(path: Path) -> list[Run]:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Run(**{**one, "falls": [tuple(fall) for fall in one["falls"]]}) for one in map(json.loads, lines)]


def shown(values: list[float]) -> str:
    """Give the median with the quartiles, of epochs; '-' where it was not reached."""
    low, high = np.percentile(values, [25, 75], method="closest_observation")
    texts = ["-" if math.isinf(value) else f"{value:.0f}" for value in (np.median(values), low, high)]
    return f"{texts[0]} ({texts[1]} to {texts[2]})"


def table_lines(runs: list[Run], family: str, slots: int, seeds: set[int]) -> list[str]:
    budgets = (280, 560, 1120, 2240, 4480)
    lines = [
        "| policy | seeds | " + " | ".join(f"regret at {budget}" for budget in budgets) + " "
        "| worst at the end | epochs to 20 % | to 10 % | to 1 % | CPU s a study |",
        "|---|" + "---|" * 11,
    ]
    for policy in POLICIES:
        mine = [
            run
            for run in runs
            if (run.family, run.policy, run.slots) == (family, policy, slots) and run.seed in seeds
        ]
        if not mine:
            continue
        last = min(run.budget for run in mine)
        regrets = [
            f"{np.median([run.regret(budget) for run in mine]):.3f}" if budget <= last else ""
            for budget in budgets
        ]
        worst = max(run.regret(last) for run in mine)
        to = [shown([run.epochs_to(within) for run in mine]) for within in (0.2, 0.1, 0.01)]
        seconds = np.mean([run.time_s for run in mine])
        name = f"**{policy}**" if policy == DEFAULT_POLICY else policy
        cells = [name, str(len(mine)), *regrets, f"{worst:.3f}", *to, f"{seconds:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""] if len(lines) > 2 else []


def verdict(runs: list[Run], seeds: set[int]) -> str:
    mine = [run for run in runs if run.family == "table" and run.slots == 7 and run.seed in seeds]
    best = [run for run in mine if run.policy == DEFAULT_POLICY]
    if not best:
        return ""
    to = {within: float(np.median([run.epochs_to(within) for run in best])) for within in (0.1, 0.01)}
    return (
        f"{DEFAULT_POLICY}: {to[0.1]:.0f} epochs to come within 10 % of the best (goal {GOAL_10}), "
        f"{to[0.01]:.0f} within 1 % (goal {GOAL_1}), medians of {len(best)} seeds at 7 trainings at once."
    )


def page_lines(runs: list[Run]) -> list[str]:
    first_20 = set(range(20))
    lines = [
        f"{verdict(runs, first_20)}",
        "",
        "Regret: best value seen / best there is - 1, median over seeds. Epochs: over all trainings, median "
        "and quartiles. A whole training has 40 epochs, so 2240 are 56 of them.",
        "",
    ]
    parts = [("table", first_20, "The table, seeds 0 to 19")]
    parts += [
        (
            "table",
            set(range(0, 40, 2)),
            "The table, even seeds 0 to 38, not looked at when settings were chosen",
        )
    ]
    parts += [("table", set(range(1, 40, 2)), "The table, odd seeds 1 to 39, on which settings were chosen")]
    parts += [("synthetic", set(range(FRESH, FRESH + 100)), "Formulas that were not looked at before")]
    parts += [("synthetic", set(range(100, 110)), "Formulas on which settings were chosen")]
    for family, seeds, title in parts:
        for slots in (7, 1, 28):
            found = table_lines(runs, family, slots, seeds)
            if found:
                lines += [f"## {title}: {slots} at once", "", *found]
    return [*lines, verdict(runs, first_20)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--family", choices=["table", "synthetic"], nargs="*", default=["table", "synthetic"])
    parser.add_argument("--policy", choices=list(POLICIES), nargs="*", default=list(POLICIES))
    parser.add_argument("--seeds", type=int, default=20, help="of each policy")
    parser.add_argument("--first-seed", type=int, help="0 for the table, 500 for the formulas")
    parser.add_argument("--step", type=int, default=1, help="from one seed to the next")
    parser.add_argument("--slots", type=int, default=7, help="trainings at once")
    parser.add_argument("--budget", type=int, default=2240, help="epochs over all trainings")
    parser.add_argument(
        "--runs", type=Path, default=Path("hpo_runs.jsonl"), help="runs are kept and added here"
    )
    parser.add_argument("--page", action="store_true", help="write the page of all runs that are kept")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    done = {(run.family, run.policy, run.seed, run.slots): run.budget for run in read_runs(options.runs)}
    table = table_task()
    for family in options.family:
        default = 0 if family == "table" else FRESH
        first = default if options.first_seed is None else options.first_seed
        for policy in options.policy:
            for seed in range(first, first + options.seeds * options.step, options.step):
                if done.get((family, policy, seed, options.slots), 0) >= options.budget:
                    continue
                task = table if family == "table" else synthetic_task(seed)
                run = play(family, policy, seed, options.slots, options.budget, task)
                with options.runs.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(run)) + "\n")
            print(f"{family}, {policy}: done", file=sys.stderr)
    longest: dict[tuple[str, str, int, int], Run] = {}
    for run in read_runs(options.runs):
        key = (run.family, run.policy, run.seed, run.slots)
        if key not in longest or run.budget > longest[key].budget:
            longest[key] = run
    lines = page_lines(list(longest.values()))
    if options.page:
        write_page("hpo_policies", "Epochs until a policy comes near the best", command_line(), lines)
    else:
        print("\n".join(lines))


if __name__ == "__main__":
    main()
