"""The winner and the baseline once more, with other seeds: how much of the gain is luck."""

from __future__ import annotations

import collections
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lightning_itwin.hpo.driver import Running
from lightning_itwin.hpo.open_study import OpenStudy
from lightning_itwin.hpo.rows import MOST_RETRIES
from lightning_itwin.hpo.study_reading import StudyRow
from lightning_itwin.hpo.trial_folder import TrialFolder
from lightning_itwin.hpo.worlds import Places, world_of, write_trial
from lightning_itwin.launch import Launcher, RunningWorld
from lightning_itwin.launch.by_name import adopt
from lightning_itwin.records.manifest import write_json

REPEATS = "repeats.json"
_POLL_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """Values of whole trainings with seeds that the study has not seen.

    Args:
        winner: of the winner, best epoch of each.
        baseline: of the baseline.
        failed: how many trainings gave no value.
    """

    winner: tuple[float, ...]
    baseline: tuple[float, ...]
    failed: int = 0

    def sentence(self, metric: str, sign: float) -> str:
        """Say the gain with its spread, or the baseline's spread alone where it won; empty without values.

        Args:
            metric: that was tuned.
            sign: 1 where lower is better, else -1.

        >>> Repeated(winner=(0.6, 0.8), baseline=(1.0, 1.0)).sentence("loss", 1.0)
        'with 2 other seeds: loss 0.7 +- 0.14, baseline 1 +- 0; 30.0 % better (20.0 to 40.0 %)'
        >>> Repeated(winner=(1.0,), baseline=(1.0,)).sentence("loss", 1.0)
        'with 1 other seed: loss 1'
        """
        if not self.winner or not self.baseline:
            return ""
        seeds = f"with {len(self.winner)} other seed{'' if len(self.winner) == 1 else 's'}"
        if self.winner == self.baseline:  # the same trainings
            return f"{seeds}: {metric} {_spread(self.winner)}"
        base = statistics.fmean(self.baseline)
        gains = sorted(100 * sign * (base - value) / abs(base) for value in self.winner) if base else []
        text = f"{seeds}: {metric} {_spread(self.winner)}, baseline {_spread(self.baseline)}"
        if gains:
            mean = statistics.fmean(gains)
            text += f"; {abs(mean):.1f} % {'better' if mean >= 0 else 'worse'} "
            text += f"({gains[0]:.1f} to {gains[-1]:.1f} %)"
        return text


def repeat(
    study: OpenStudy,
    winner: StudyRow,
    places: Places,
    launcher: Launcher,
    announce: Callable[[str], None],
) -> Repeated:
    """Train winner and baseline to their end with other seeds; those that are done already are read.

    Args:
        study: that has ended.
        winner: row of its best value.
        places: what each slot has.
        launcher: what starts the worlds.
        announce: told what goes on.
    """
    baseline = {key: study.space[key].sampled(value) for key, value in study.checked.baseline.items()}
    sides = {"baseline": baseline}
    if not winner.baseline:
        sides[f"trial-{winner.configuration:04d}"] = dict(winner.params)
    base_seed = study.checked.config.get("seed_everything")
    base_seed = base_seed if isinstance(base_seed, int) and not isinstance(base_seed, bool) else 0
    jobs = [
        (TrialFolder(study.folder / "repeats" / f"{side}-seed-{seed}"), params, seed)
        for seed in range(base_seed + 1, base_seed + 1 + study.plan.repeats)
        for side, params in sides.items()
    ]
    waiting = [job for job in jobs if job[0].result() is None]
    running: list[Running] = []
    lost: collections.Counter[Path] = collections.Counter()
    told = -1
    try:
        while waiting or running:
            while waiting and len(running) < places.slots:
                folder, params, seed = waiting.pop(0)
                slot = min(set(range(places.slots)) - {one.slot for one in running})
                running.append(_start(study, folder, params, seed, slot, places, launcher))
            ended = [(one, end) for one in running if (end := one.world.poll()) is not None]
            running = [one for one in running if one not in [one for one, _ in ended]]
            for one, end in ended:
                lost[one.folder.path] += end.status == "lost"
                if end.status == "lost" and lost[one.folder.path] <= MOST_RETRIES:
                    waiting.append(next(job for job in jobs if job[0] is one.folder))
            if told != (done := len(jobs) - len(waiting) - len(running)):
                told = done
                announce(f"repeats with other seeds: {done} of {len(jobs)}")
            time.sleep(_POLL_S)
    finally:
        for one in running:
            one.world.stop()
    values: dict[str, list[float]] = {side: [] for side in sides}
    for folder, _, _ in jobs:
        result = folder.result()
        if result is not None and result.value is not None:
            values[folder.path.name.rpartition("-seed-")[0]].append(result.value)
    found = Repeated(
        winner=tuple(values[list(sides)[-1]]),
        baseline=tuple(values["baseline"]),
        failed=len(jobs) - sum(map(len, values.values())),
    )
    write_json(study.folder / REPEATS, vars(found))
    return found


def read_repeats(text: str) -> Repeated:
    """Read ``repeats.json``."""
    found = json.loads(text)
    return Repeated(winner=tuple(found["winner"]), baseline=tuple(found["baseline"]), failed=found["failed"])


def _start(
    study: OpenStudy,
    folder: TrialFolder,
    params: dict[str, object],
    seed: int,
    slot: int,
    places: Places,
    launcher: Launcher,
) -> Running:
    if (living := _living(study, folder, launcher)) is not None:  # a killed driver started it
        return Running(number=-1, slot=slot, folder=folder, world=living)
    folder.clear()
    spec = write_trial(
        study,
        folder,
        params,
        places.accelerator,
        seed=seed,
        until_epoch=study.max_epochs,
        keep_best=False,
        save_every_s=1e9,
    )
    world = world_of(study, folder, spec.token, places.environment(slot))
    return Running(number=-1, slot=slot, folder=folder, world=launcher.start(world))


def _living(study: OpenStudy, folder: TrialFolder, launcher: Launcher) -> RunningWorld | None:
    try:
        token = folder.read_spec().token
    except (OSError, ValueError):
        return None
    return adopt(launcher, world_of(study, folder, token, {}))


def _spread(values: tuple[float, ...]) -> str:
    mean = f"{statistics.fmean(values):.4g}"
    return f"{mean} +- {statistics.stdev(values):.2g}" if len(values) > 1 else mean
