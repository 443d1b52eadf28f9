from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked ``gpu`` where there is none."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA GPU"))


@pytest.fixture
def install_nvml(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Put fake GPUs (``tests.fakes.nvml.FakeGPU``) in the place of the driver's library."""
    pytest.importorskip("pynvml")
    from tests.fakes.nvml import FakeNVML

    return lambda *gpus, **errors: FakeNVML(*gpus, errors=errors).install(monkeypatch)
