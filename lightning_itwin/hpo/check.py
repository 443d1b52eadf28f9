"""Finds out before the first trial whether a study can run, and says where it cannot."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lightning_itwin import presets
from lightning_itwin.hpo.search_space import read_space
from lightning_itwin.hpo.study_plan import StudyError, StudyPlan
from lightning_itwin.launch.by_name import submits_jobs
from lightning_itwin.launch.world import failure_reason, log_tail
from lightning_itwin.records.manifest import write_json

_FOLDER, _ORDER, _LOG = "check", "order.json", "check.log"
_STEP, _FOUND, _BASELINE = "step.json", "found.json", "baseline.yaml"
_TIMEOUT_S = 1800


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What the check found.

    Args:
        config: the user's config, with all defaults filled in.
        paths: where each tuned key stands in it.
        baseline: the config's own value of each tuned key.
        max_epochs: of the config.
        gpus: that this machine shows.
    """

    config: Mapping[str, Any]
    paths: Mapping[str, tuple[str | int, ...]]
    baseline: Mapping[str, Any]
    max_epochs: int | None
    gpus: int


def check(plan: StudyPlan, folder: Path, import_path: str = "") -> Checked:
    """Check a study in a process of its own, or read what an earlier check of the same study found.

    Args:
        plan: of the study.
        folder: of the study; the check's files go into ``check/`` below it.
        import_path: ``PYTHONPATH`` of the process.

    Raises:
        StudyError: the config cannot be built, a key is not in it, a value is refused, or the objective is
            not logged.
    """
    place = folder / _FOLDER
    order = {
        "arguments": ["--config", str(_config_file(plan.config, place))],
        "space": {key: dimension.ends() for key, dimension in read_space(plan.space).items()},
        "metric": plan.metric if plan.metric_check else "",
        "accelerator": _accelerator(plan),
    }
    said = {**order, "accelerator": "", "text": _config_text(plan.config)}
    stamp = hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest()
    if _done(place, stamp):
        return _read(place)
    place.mkdir(parents=True, exist_ok=True)
    for name in (_STEP, _FOUND, _BASELINE):
        (place / name).unlink(missing_ok=True)
    write_json(place / _ORDER, {**order, "stamp": stamp})
    log = place / _LOG
    command = [sys.executable, "-m", "lightning_itwin.hpo.check_process", str((place / _ORDER).absolute())]
    with open(log, "wb") as output:
        try:
            ended = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_TIMEOUT_S,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": import_path},
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise StudyError(f"checking the study took more than {_TIMEOUT_S} s; see {log}") from None
    if ended:
        raise StudyError(_complaint(place, log, ended))
    logged = _json(place / _FOUND)["metrics"]
    if logged is not None and plan.metric not in logged:
        near = difflib.get_close_matches(plan.metric, logged, n=1)
        raise StudyError(
            f"objective: {plan.metric!r} is never logged; a batch of training and validation logs "
            f"{', '.join(logged) or 'nothing'}"
            + (f"; did you mean {near[0]}?" if near else "")
            + " (a metric that comes in later epochs only: metric_check: false)"
        )
    return _read(place)


def _accelerator(plan: StudyPlan) -> str:
    """Give what the check trains its batch on: this machine may have none of what the trials have."""
    return "auto" if submits_jobs(plan.launcher) or plan.launcher == "ray" else plan.accelerator


def _complaint(place: Path, log: Path, ended: int) -> str:
    """Say what the check's process failed at."""
    step = _json(place / _STEP)
    reason = re.sub(r"^[\w.]*StudyError: ", "", failure_reason(log, ended))
    what = step.get("what")
    if what == "keys":
        return reason
    if what == "value":
        return f"space: the config refuses {step['key']} = {step['value']!r}: {_cause(reason, log)}"
    if what == "metric":
        return f"a batch of training and validation fails: {reason}\n{log_tail(log)}\n(whole output: {log})"
    return f"the config cannot be built: {_cause(reason, log)}\n(whole output: {log})"


def _cause(reason: str, log: Path) -> str:
    """Give the parser's own explanation, which stands below its exception's first line."""
    if "ArgumentError" not in reason:
        return reason
    lines = log.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
    start = max(number for number, line in enumerate(lines) if "ArgumentError" in line)
    return " ".join(line.strip() for line in lines[start:]).partition("ArgumentError: ")[2][:600]


def _done(place: Path, stamp: str) -> bool:
    return (
        _json(place / _ORDER).get("stamp") == stamp
        and _json(place / _STEP).get("what") == "done"
        and (place / _BASELINE).exists()
    )


def _read(place: Path) -> Checked:
    found = _json(place / _FOUND)
    return Checked(
        config=yaml.safe_load((place / _BASELINE).read_text(encoding="utf-8")),
        paths={key: tuple(path) for key, path in found["paths"].items()},
        baseline=found["baseline"],
        max_epochs=found["max_epochs"],
        gpus=found["gpus"],
    )


def _config_file(config: str | Mapping[str, Any], place: Path) -> Path:
    """Give the file of a config without the subcommand's level that LightningCLI also takes."""
    if isinstance(config, str):
        try:
            path = presets.find(config)
        except FileNotFoundError as error:
            raise StudyError(str(error)) from None
        keys = _yaml(path)
        if not isinstance(keys.get("fit"), dict):
            return path.absolute()
        config = keys["fit"]
    assert isinstance(config, Mapping)
    if "model" not in config:
        raise StudyError(f"config: it names no model; found {', '.join(map(str, config)) or 'nothing'}")
    place.mkdir(parents=True, exist_ok=True)
    inline = place / "config.yaml"
    inline.write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")
    return inline.absolute()


def _config_text(config: str | Mapping[str, Any]) -> str:
    return presets.find(config).read_text(encoding="utf-8") if isinstance(config, str) else json.dumps(config)


def _yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise StudyError(f"{path} is not YAML: {error}") from None
    if not isinstance(values, dict):
        raise StudyError(
            f"{path} is not a LightningCLI config: it holds no keys such as model, data, trainer"
        )
    return values


def _json(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values
