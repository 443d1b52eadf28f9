"""The best of a study: its config and checkpoint, and which checkpoints nobody needs any more."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning_itwin.hpo.study_reading import StudyRecord, StudyRow
from lightning_itwin.hpo.trial_folder import TrialFolder, remove
from lightning_itwin.records.manifest import write_text

BEST_CONFIG, BEST_CHECKPOINT = "best.yaml", "best.ckpt"
_ENDED = ("complete", "stopped", "diverged", "failed")


def write_best(folder: Path, config: str, head: str, winner: TrialFolder) -> Path | None:
    """Write ``best.yaml`` and ``best.ckpt``.

    Args:
        folder: of the study.
        config: the winner's LightningCLI config as YAML.
        head: lines that say what it is.
        winner: the folder of the row with the best value.

    Returns:
        the checkpoint; None where the winner has none.
    """
    comment = "".join(f"# {line}\n" for line in head.splitlines())
    write_text(folder / BEST_CONFIG, comment + config)
    saved = winner.saved("best")
    if saved is None:
        return None
    source, target = winner.path / saved.name, folder / BEST_CHECKPOINT
    remove(target)
    if source.is_dir():  # DeepSpeed's
        shutil.copytree(source, target)
    else:
        with contextlib.suppress(OSError):
            os.link(source, target)
        if not target.exists():
            shutil.copyfile(source, target)
    return target


def tidy(study: StudyRecord, folder_of: Callable[[int], TrialFolder]) -> None:
    """Remove checkpoints that no later trial can need and that are not the best.

    Args:
        study: as its rows are now.
        folder_of: gives the folder of a row.
    """
    winner = study.winner
    followed = {row.retry_of for row in study.rows}
    live = {
        row.configuration
        for row in study.rows
        if row.state in ("running", "waiting") or (row.state == "lost" and row.number not in followed)
    }
    latest: dict[int, int] = {}
    for row in study.rows:
        if row.state in ("paused", "complete"):
            latest[row.configuration] = row.number
    for row in study.rows:
        if row.state in ("running", "waiting"):
            continue
        folder = folder_of(row.number)
        if winner is not None and row.number != winner.number:
            _remove(folder, "best")
        if row.configuration not in live and _is_over(row, latest):
            _remove(folder, "last")


def _is_over(row: StudyRow, latest: dict[int, int]) -> bool:
    return row.state in _ENDED or latest.get(row.configuration, row.number) != row.number


def _remove(folder: TrialFolder, kind: str) -> None:
    if (folder.path / f"{kind}.json").exists():
        (folder.path / f"{kind}.json").unlink(missing_ok=True)
        folder.remove_checkpoints(kind)


def header(study: StudyRecord, checkpoint: bool, start: str) -> str:
    """Give the lines at the head of ``best.yaml``."""
    winner: Any = study.winner
    baseline = study.baseline
    gain = study.improvement_percent(winner.value, baseline.value if baseline else None)
    text = (
        f"Best of study {study.name}: {study.plan.metric} {winner.value:.6g} after epoch {winner.best_epoch} "
        f"of trial {winner.number}"
    )
    if winner.baseline:
        text += ", the baseline itself"
    elif baseline is not None and gain is not None:
        text += f", {percent(gain, study.plan.direction)} the baseline's {baseline.value:.6g}"
    return text + f"\n  {start}" + (f"\nIts checkpoint: {BEST_CHECKPOINT}" if checkpoint else "")


def percent(gain: float, direction: str) -> str:
    """Say a gain over the baseline in words.

    >>> percent(34.2, "minimize"), percent(-3.0, "minimize"), percent(2.0, "maximize")
    ('34.2 % below', '3.0 % above', '2.0 % above')

    Args:
        gain: in percent of the baseline's value, positive where it is better.
        direction: ``"minimize"`` or ``"maximize"``.
    """
    below = (gain >= 0) == (direction == "minimize")
    return f"{abs(gain):.1f} % {'below' if below else 'above'}"
