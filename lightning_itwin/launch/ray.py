"""Worlds on a Ray cluster: Ray hands out the places, the ranks are ordinary processes of ours.

Each machine of a world is one bundle of a placement group, with a task in it that starts the ranks of that
machine. Ray Train and Ray Tune have no part in it: a trial that Tune ends keeps its workers' places under
Train V2 (ray#54305), so that the next one waits for ever.
"""

from __future__ import annotations

import contextlib
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_itwin.launch.leash import end_with_parent
from lightning_itwin.launch.rendezvous import ADDRESS, NODE, NODES
from lightning_itwin.launch.world import World, WorldEnd, each_node, failure_reason, log_tail
from lightning_itwin.optional import require

_GRACE_S = 10.0
_WAIT_S = 0.2


class RayLauncher:
    """Starts worlds on the Ray cluster that this process belongs to.

    A world ends with the process that started it; there is nothing for another one to take over.

    Args:
        address: of the cluster; None for ``RAY_ADDRESS``, or the one of this machine.

    Raises:
        MissingExtraError: Ray is not installed.
        RuntimeError: no cluster answers.
    """

    def __init__(self, address: str | None = None) -> None:
        self._ray = require("ray", extra="ray")
        if self._ray.is_initialized():
            return
        try:
            self._ray.init(
                address=address or os.environ.get("RAY_ADDRESS", "auto"),
                log_to_driver=False,
                configure_logging=False,
                include_dashboard=False,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise RuntimeError(
                f"no Ray cluster answers ({error}); start one with ray start --head, or set RAY_ADDRESS"
            ) from None

    def describe(self, world: World) -> str:
        each = shlex.join([sys.executable, *_command(world)])
        return f"{world.nodes} bundles of {_bundle(world)}, in each: {each}"

    def check(self, world: World) -> None:
        """See whether the cluster has machines that are large enough.

        Raises:
            ValueError: too few; the world would wait for ever.
        """
        wanted = _bundle(world)
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        fitting = [one for one in machines if all(one.get(key, 0) >= count for key, count in wanted.items())]
        if len(fitting) < world.nodes:
            needs = " and ".join(f"{count:g} {key}" for key, count in wanted.items())
            raise ValueError(
                f"a world needs {world.nodes} machines with {needs}, and {len(fitting)} of the cluster's "
                f"{len(machines)} have that; ask for fewer workers on each of more nodes"
            )

    def start(self, world: World) -> RayWorld:
        """Ask for the places of a world, and start it when they are there.

        Raises:
            ValueError: its starter is not known, or its nodes cannot share the workers evenly.
        """
        return RayWorld(world, self._ray)

    def adopt(self, world: World) -> None:
        """Take over nothing: Ray ends what a driver has started when that is gone."""
        return


class RayWorld:
    """A world that waits for its places, or runs in them.

    Args:
        world: what to start.
        ray: the module.
    """

    def __init__(self, world: World, ray: Any) -> None:
        self._world = world
        self._ray = ray
        self._exceptions = require("ray.exceptions", extra="ray")
        self._groups = require("ray.util.placement_group", extra="ray")
        bundle = _bundle(world)
        command = _command(world)
        logs = [_log(world, node) for node in range(world.nodes)]
        world.log.parent.mkdir(parents=True, exist_ok=True)
        for log in logs:
            log.write_text(f"$ {shlex.join([sys.executable, *command])}\n", encoding="utf-8")
        self._group = self._groups.placement_group([bundle] * world.nodes, strategy="STRICT_SPREAD")
        self._ready = self._group.ready()
        places = require("ray.util.scheduling_strategies", extra="ray").PlacementGroupSchedulingStrategy
        task = ray.remote(max_retries=0)(run_node)
        meeting = None if world.nodes == 1 else ray.remote(num_cpus=0)(_address)
        address: Any = "127.0.0.1"
        if meeting is not None:
            address = meeting.options(scheduling_strategy=places(self._group, 0)).remote()
        self._tasks = [
            task.options(
                num_cpus=bundle["CPU"],
                num_gpus=bundle.get("GPU", 0),
                scheduling_strategy=places(self._group, node),
            ).remote(command, dict(world.environment), str(log), node, world.nodes, address)
            for node, log in enumerate(logs)
        ]
        self._began_s: float | None = None
        self._end: WorldEnd | None = None

    @property
    def waits(self) -> bool:
        """Whether it waits for its places."""
        return self._began_s is None

    def poll(self) -> WorldEnd | None:
        """Give the world's end, or None while it waits for its places or runs.

        A world past its timeout, which counts from when it has its places, is ended.
        """
        if self._end is None:
            self._end = self._look()
            if self._end is not None:
                self.stop()
        return self._end

    def wait(self) -> WorldEnd:
        """Wait for the world's end, or for its timeout."""
        while (end := self.poll()) is None:
            time.sleep(_WAIT_S)
        return end

    def stop(self) -> None:
        """End every process of the world, and give its places back."""
        for task in self._tasks:
            with contextlib.suppress(self._exceptions.RayError, ValueError):
                self._ray.cancel(task, force=True)
        self._ray.wait(self._tasks, num_returns=len(self._tasks), timeout=_GRACE_S)
        with contextlib.suppress(self._exceptions.RayError, ValueError):
            self._groups.remove_placement_group(self._group)

    def _look(self) -> WorldEnd | None:
        if self._began_s is None:
            if not self._ray.wait([self._ready], timeout=0)[0]:
                return None
            self._began_s = time.monotonic()
        ended, going = self._ray.wait(self._tasks, num_returns=len(self._tasks), timeout=0)
        for task in ended:
            try:
                code = self._ray.get(task)
            except self._exceptions.RayTaskError as error:  # before it had started a rank
                return self._bad("failed", str(error).strip().splitlines()[-1], [])
            except self._exceptions.RayError as error:
                reason = str(error).strip().splitlines()[0]
                return self._bad("lost", f"Ray lost a machine of the world: {reason}", [], taken=True)
            if code:
                log = _log(self._world, self._tasks.index(task))
                return self._bad("failed", failure_reason(log, code), [log])
        if not going:
            return WorldEnd(status="ok", wall_s=self._wall_s())
        if self._wall_s() > (self._world.timeout_s or math.inf):
            reason = f"no end after {self._world.timeout_s:.0f} s (--timeout); it may hang"
            return self._bad("timeout", reason, [])
        return None

    def _bad(self, status: str, reason: str, first: Sequence[Path], *, taken: bool = False) -> WorldEnd:
        """Give a bad end, the log of its cause before the others."""
        logs = [_log(self._world, node) for node in range(self._world.nodes)]
        ordered = [*first, *(log for log in logs if log not in first)]
        text = "".join(log.read_text(encoding="utf-8", errors="replace") for log in ordered)
        self._world.log.write_text(text, encoding="utf-8")
        return WorldEnd(
            status=status,
            wall_s=self._wall_s(),
            reason=reason,
            log_tail=log_tail(first[0] if first else self._world.log),
            taken=taken,
        )

    def _wall_s(self) -> float:
        return 0.0 if self._began_s is None else time.monotonic() - self._began_s


def run_node(
    command: Sequence[str], environment: Mapping[str, str], log: str, node: int, nodes: int, address: str
) -> int:
    """Run the ranks of one machine, within a task of Ray; give their exit code.

    Args:
        command: of the ranks' starter, after the interpreter.
        environment: variables of the world.
        log: that takes their output.
        node: number of this machine.
        nodes: of the world.
        address: of the first machine.
    """
    place = {NODE: str(node), NODES: str(nodes), ADDRESS: address, "PYTHONUNBUFFERED": "1"}
    with open(log, "ab") as output:
        ranks = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment, **place},
            start_new_session=True,
            preexec_fn=end_with_parent(signal.SIGTERM),
        )
    return ranks.wait()


def _address() -> str:
    found: str = require("ray.util", extra="ray").get_node_ip_address()
    return found


def _command(world: World) -> list[str]:
    if world.starter != "ranks":
        raise ValueError(f"on Ray the starter {world.starter} is not known; there is ranks")
    return ["-m", "lightning_itwin.launch.ranks", str(each_node(world)), sys.executable, *world.command]


def _bundle(world: World) -> dict[str, float]:
    """Give what a machine of the world has to have."""
    threads = float(world.environment.get("OMP_NUM_THREADS", "1"))
    places = {"CPU": threads * each_node(world)}
    return {**places, "GPU": float(each_node(world))} if world.gpus else places


def _log(world: World, node: int) -> Path:
    return world.log if node == 0 else world.log.with_name(f"{world.log.name}.node-{node}")
