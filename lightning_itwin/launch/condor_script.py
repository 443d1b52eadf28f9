"""The submit description of a world for HTCondor, and the script that its job runs.

The workers of one machine are one job. Several machines are one job of the parallel universe, which a pool
has to offer; on each of them the script starts its share of the ranks.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lightning_itwin.launch.job_files import began_file, condor_file, exports, limited, lines_around
from lightning_itwin.launch.job_settings import JobSettings
from lightning_itwin.launch.rendezvous import NODE, NODES
from lightning_itwin.launch.world import Submitted, World, each_node

_MEMORY_GB = 4  # a worker; HTCondor's own default of 128 MB holds no training


def events_file(world: World) -> Path:
    """Give the event log of a world's job."""
    return world.log.with_suffix(".events").absolute()


def script_file(world: World) -> Path:
    """Give the script that a world's job runs."""
    return world.log.with_suffix(".sh").absolute()


def node_log(world: World, node: int) -> Path:
    """Give what the script writes to on a machine of a world, beside the first one's log."""
    return world.log.with_name(f"{world.log.name}.node-{node}")


def submit_text(world: World, settings: JobSettings, after: Sequence[Submitted] = ()) -> str:
    """Give the submit description that condor_submit takes.

    A job that was taken from its machine is not started again, and one that is held is removed: whoever
    submitted it decides what comes next.

    Args:
        world: that it starts.
        settings: what the job asks for.
        after: jobs that have to end before: such a job waits for them where it was submitted, in the local
            universe.

    Raises:
        ValueError: the nodes cannot share the workers evenly.
    """
    each = each_node(world)
    universe = "local" if after else "vanilla" if world.nodes == 1 else "parallel"
    commands: dict[str, object] = {
        "universe": universe,
        "executable": script_file(world),
        "arguments": "$(Node)" if world.nodes > 1 else None,
        "initialdir": Path.cwd(),
        "output": world.log.with_suffix(".out").absolute(),
        "error": world.log.with_suffix(".err").absolute(),
        "log": events_file(world),
        "JobBatchName": f"itwin-{world.mark or world.log.stem}",
        "machine_count": world.nodes if world.nodes > 1 else None,
        "request_cpus": each * _threads(world),
        "request_memory": settings.memory or f"{_MEMORY_GB * each}GB",
        "request_gpus": each if world.gpus else None,
        "accounting_group": settings.account,
        "allowed_job_duration": settings.time_s,
        "should_transfer_files": None if after else "IF_NEEDED",
        "when_to_transfer_output": None if after else "ON_EXIT",
        "notification": "never",
        "periodic_remove": "(JobStatus == 1 && NumJobStarts > 0) || JobStatus == 5",
        **{key.replace("-", "_"): _value(value) for key, value in settings.more.items()},
    }
    if after:
        commands = {key: value for key, value in commands.items() if not key.startswith("request_")}
    return _description(commands)


def script_text(world: World, settings: JobSettings, after: Sequence[Submitted] = ()) -> str:
    """Give the script of a world's job.

    Args:
        world: that it starts.
        settings: what the job asks for.
        after: jobs that have to end before.

    Raises:
        ValueError: the world's starter is not known.
    """
    if world.starter != "ranks":
        raise ValueError(f"under HTCondor the starter {world.starter} is not known; there is ranks")
    python = [sys.executable, "-m"]
    ranks = [*python, "lightning_itwin.launch.ranks", str(each_node(world)), sys.executable, *world.command]
    logs = [str(events_file(one.world)) for one in after]
    waits = [shlex.join([*python, "lightning_itwin.launch.condor_wait", *logs])] if after else []
    lines = [
        "#!/bin/bash",
        f"cd {shlex.quote(os.getcwd())}",
        "node=${1:-0}",
        f"exec >> {shlex.quote(str(world.log.absolute()))}$([ $node = 0 ] || echo .node-$node) 2>&1",
        f"[ $node = 0 ] && [ -e {shlex.quote(str(began_file(world)))} ] && echo not started twice && exit 1",
        f'export HOME="${{HOME:-{Path.home()}}}" PATH="$PATH" {NODE}=$node {NODES}={world.nodes}',
        *exports(world),
        *settings.setup_lines,
        *([f"[ $node = 0 ] || exec {shlex.join(limited(world, ranks))}"] if world.nodes > 1 else []),
        *waits,
        *lines_around(world, ranks),
    ]
    return "\n".join([*lines, ""])


def write_files(world: World, description: str, script: str) -> Path:
    """Write submit description and script beside the world's log; give the former."""
    path = condor_file(world)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(description, encoding="utf-8")
    script_file(world).write_text(script, encoding="utf-8")
    script_file(world).chmod(0o755)
    return path


def _description(commands: Mapping[str, object]) -> str:
    lines = [f"{key} = {value}" for key, value in commands.items() if value is not None]
    return "\n".join([*lines, "queue", ""])


def _value(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


def _threads(world: World) -> int:
    return int(world.environment.get("OMP_NUM_THREADS", "1"))
