"""Where a Horovod world comes from: ``horovodrun``, or any other starter that Horovod is told of."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning.fabric.plugins import ClusterEnvironment


class HorovodEnvironment(ClusterEnvironment):
    """The world that ``horovodrun`` has started, as its variables tell it.

    Reference: https://horovod.readthedocs.io/en/stable/running.html
    """

    def __init__(self) -> None:
        self._main = ("127.0.0.1", 0)

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return self._main[0]

    @property
    def main_port(self) -> int:
        return self._main[1]

    def set_main(self, address: str, port: int) -> None:
        """Remember where rank 0 listens; it is known once Horovod runs."""
        self._main = (address, port)

    @staticmethod
    def detect() -> bool:
        """Say whether ``horovodrun`` started this process."""
        return "HOROVOD_RANK" in os.environ and "HOROVOD_SIZE" in os.environ

    def world_size(self) -> int:
        return int(os.environ["HOROVOD_SIZE"])

    def set_world_size(self, size: int) -> None:
        """Do nothing: ``horovodrun`` has settled it."""

    def global_rank(self) -> int:
        return int(os.environ["HOROVOD_RANK"])

    def set_global_rank(self, rank: int) -> None:
        """Do nothing: ``horovodrun`` has settled it."""

    def local_rank(self) -> int:
        return int(os.environ["HOROVOD_LOCAL_RANK"])

    def node_rank(self) -> int:
        return int(os.environ.get("HOROVOD_CROSS_RANK", 0))

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """Hold the Trainer's world against that of ``horovodrun``.

        Args:
            num_devices: processes on this node, by the Trainer.
            num_nodes: nodes, by the Trainer.

        Raises:
            ValueError: the two differ.
        """
        devices = int(os.environ.get("HOROVOD_LOCAL_SIZE", self.world_size()))
        nodes = int(os.environ.get("HOROVOD_CROSS_SIZE", 1))
        if (devices, nodes) != (num_devices, num_nodes):
            raise ValueError(
                f"horovodrun started {devices} process(es) on each of {nodes} node(s), but the Trainer has "
                f"devices={num_devices}, num_nodes={num_nodes}. Say Trainer(devices={devices}, "
                f"num_nodes={nodes}), or start it with horovodrun -np {num_devices * num_nodes}."
            )


class Rendezvous:
    """The place where Horovod's ranks find each other; the process of rank 0 keeps it.

    Horovod's own server, bound to the loopback interface alone where the world lives on one node.

    Args:
        nodes: nodes of the world.
        devices: processes on each node.
    """

    def __init__(self, nodes: int, devices: int) -> None:
        from horovod.runner.common.util.hosts import SlotInfo
        from horovod.runner.http.http_server import RendezvousHandler, RendezvousHTTPServer

        self._server: Any = RendezvousHTTPServer(
            ("127.0.0.1" if nodes == 1 else "", 0), RendezvousHandler, verbose=0
        )
        self._server.init(
            [
                SlotInfo(
                    hostname=_host_label(node),
                    rank=node * devices + device,
                    local_rank=device,
                    cross_rank=node,
                    size=nodes * devices,
                    local_size=devices,
                    cross_size=nodes,
                )
                for node in range(nodes)
                for device in range(devices)
            ]
        )
        self.port = int(self._server.server_address[1])
        # Not joined at exit: the other ranks may still say goodbye to it while this process ends.
        threading.Thread(target=self._server.serve_forever, daemon=True, name="horovod-rendezvous").start()


def slot_variables(
    environment: ClusterEnvironment, *, nodes: int, devices: int, address: str, port: int
) -> dict[str, str]:
    """Tell Horovod, in its own variables, the world that another starter has made.

    Args:
        environment: the starter's world, seen from this process.
        nodes: nodes of the world.
        devices: processes on each node.
        address: where the rendezvous of rank 0 listens.
        port: its port.
    """
    variables = {
        "HOROVOD_HOSTNAME": _host_label(environment.node_rank()),
        "HOROVOD_RANK": environment.global_rank(),
        "HOROVOD_SIZE": nodes * devices,
        "HOROVOD_LOCAL_RANK": environment.local_rank(),
        "HOROVOD_LOCAL_SIZE": devices,
        "HOROVOD_CROSS_RANK": environment.node_rank(),
        "HOROVOD_CROSS_SIZE": nodes,
        "HOROVOD_GLOO_RENDEZVOUS_ADDR": address,
        "HOROVOD_GLOO_RENDEZVOUS_PORT": port,
        "HOROVOD_CONTROLLER": "gloo",
        "HOROVOD_CPU_OPERATIONS": "gloo",
    }
    if nodes == 1 and "HOROVOD_GLOO_IFACE" not in os.environ:
        variables["HOROVOD_GLOO_IFACE"] = loopback_interface()
    return {name: str(value) for name, value in variables.items()}


@contextmanager
def variables_set(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a moment: a later Trainer must not take them for ``horovodrun``'s."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def loopback_interface() -> str:
    """Give the name of the loopback interface, ``lo`` on Linux."""
    names = [name for _, name in socket.if_nameindex()]
    return next((name for name in names if name in ("lo", "lo0")), "lo")


def _host_label(node: int) -> str:
    return f"node{node}"
