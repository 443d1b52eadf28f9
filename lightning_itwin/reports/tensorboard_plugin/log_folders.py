"""What lies below TensorBoard's folders: runs with records, and the folders that a page can be made of.

TensorBoard imports this at every start, so that what a start does not need is imported late.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PLAN = "plan.json"
_FRESH_S = 5.0  # a look is believed for so long, and for 20 times as long as it took
_PATIENCE_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A folder that a page can be made of.

    Args:
        key: names it in an address.
        label: names it for a reader.
        folder: where it lies.
        runs: runs at or below it.
        changed_unix_s: when one of their files last changed.
    """

    key: str
    label: str
    folder: Path
    runs: int
    changed_unix_s: float


class LogFolders:
    """The folders that TensorBoard was given, looked through now and then.

    A look is believed for a while: TensorBoard asks often whether a tab has something to show, and waits for
    the answer.

    Args:
        roots: the folders by name; one without a name is shown by its path.
    """

    def __init__(self, roots: Iterable[tuple[str, Path]]) -> None:
        self._roots = tuple(roots)
        self._lock = threading.Lock()
        self._choices: tuple[Choice, ...] = ()
        self._fresh_until_s = 0.0
        self._any_runs = False
        self._looking: threading.Thread | None = None

    def any_runs(self) -> bool:
        """Tell whether there is a run; a look for the first one is waited for a second at most."""
        if not self._any_runs and (self._looking is None or not self._looking.is_alive()):
            self._looking = threading.Thread(target=self._look_for_one, name="itwin-any-runs", daemon=True)
            self._looking.start()
            self._looking.join(_PATIENCE_S)
        return self._any_runs

    def _look_for_one(self) -> None:
        from lightning_itwin.records.run_folder import MANIFEST

        self._any_runs = any(MANIFEST in files for _, root in self._roots for _, _, files in os.walk(root))

    def choices(self) -> tuple[Choice, ...]:
        """Give the folders: each root as a whole, then each sweep and each log folder, the newest first."""
        with self._lock:
            if self._stale():
                begin_s = time.monotonic()
                self._choices = tuple(choice for root in self._roots for choice in _choices(*root))
                end_s = time.monotonic()
                self._fresh_until_s = end_s + max(_FRESH_S, 20 * (end_s - begin_s))
            return self._choices

    def choice(self, key: str) -> Choice | None:
        """Give a folder by its key."""
        return next((choice for choice in self.choices() if choice.key == key), None)

    def _stale(self) -> bool:
        return time.monotonic() >= self._fresh_until_s


def roots_of(logdir: str, logdir_spec: str) -> list[tuple[str, Path]]:
    """Give the folders of TensorBoard's options ``--logdir`` and ``--logdir_spec``.

    Addresses of object stores are left out: rows are read from files.

    >>> roots_of("", "old:/data/a,/data/b")
    [('old', PosixPath('/data/a')), ('', PosixPath('/data/b'))]
    """
    given = [("", logdir)] if logdir else []
    for part in logdir_spec.split(",") if logdir_spec else ():
        name, colon, path = part.partition(":")
        given.append((name, path) if colon and not name.startswith(("/", "~")) else ("", part))
    return [(name, Path(path).expanduser()) for name, path in given if path and "://" not in path]


def _choices(name: str, root: Path) -> list[Choice]:
    from lightning_itwin.records import run_folders

    by_group: dict[Path, list[Path]] = {}
    runs = run_folders(root)
    for run in runs:
        by_group.setdefault(_group(run, root), []).append(run)
    groups = [_choice(name, root, folder, found) for folder, found in by_group.items() if folder != root]
    groups.sort(key=lambda choice: -choice.changed_unix_s)
    return [_choice(name, root, root, runs), *groups] if runs else []


def _group(run: Path, root: Path) -> Path:
    """Give the sweep that a run belongs to, or the log folder that holds its records."""
    for parent in run.parents:
        if not parent.is_relative_to(root):
            break
        if (parent / _PLAN).is_file():
            return parent
    holder = run.parent.parent if run.parent.name == "records" else run.parent
    return holder if holder.is_relative_to(root) else root


def _choice(name: str, root: Path, folder: Path, runs: list[Path]) -> Choice:
    label = "all runs" if folder == root else folder.relative_to(root).as_posix()
    return Choice(
        key=hashlib.sha256(str(folder).encode()).hexdigest()[:16],
        label=f"{name}: {label}" if name else label,
        folder=folder,
        runs=len(runs),
        changed_unix_s=max((_changed(path) for run in runs for path in run.iterdir()), default=0.0),
    )


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # a run that is being swept away
        return 0.0
