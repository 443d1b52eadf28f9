from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.launch.slurm_daemons import Slurm


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked ``gpu`` where there is none."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA GPU"))


@pytest.fixture(autouse=True)
def keep_matmul_precision() -> Iterator[None]:
    """Let no test leave another precision of float32 products to the next: a preset may ask for one."""
    torch = sys.modules.get("torch")
    before = torch.get_float32_matmul_precision() if torch else None
    yield
    if before is not None:
        sys.modules["torch"].set_float32_matmul_precision(before)


@pytest.fixture
def install_nvml(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Put fake GPUs (``tests.fakes.nvml.FakeGPU``) in the place of the driver's library."""
    pytest.importorskip("pynvml")
    from tests.fakes.nvml import FakeNVML

    return lambda *gpus, **errors: FakeNVML(*gpus, errors=errors).install(monkeypatch)


@pytest.fixture(scope="session")
def slurm_daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """A SLURM of two nodes, one for all tests; they are skipped where it is not installed."""
    made = Slurm(tmp_path_factory.mktemp("slurm"))
    if made.reason:
        pytest.skip(made.reason)
    made.start()
    if made.reason:
        made.stop()
        pytest.fail(made.reason) if os.environ.get("CI") else pytest.skip(made.reason)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[str]:
    """The address of a Ray cluster of two nodes of four processors; tests are skipped without Ray."""
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        tools, ray = importlib.import_module("ray.cluster_utils"), importlib.import_module("ray")
        head = {"num_cpus": 4, "include_dashboard": False}
        made = tools.Cluster(initialize_head=True, head_node_args=head)
        made.add_node(num_cpus=4)
        made.wait_for_nodes(60)
        yield made.address
        ray.shutdown()
        made.shutdown()


@pytest.fixture
def slurm(slurm_daemons: Slurm, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    """A real SLURM that this process is a client of."""
    for name, value in slurm_daemons.environment.items():
        monkeypatch.setenv(name, value)
    return slurm_daemons
