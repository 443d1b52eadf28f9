from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def install_nvml(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Put fake GPUs (``tests.fakes.nvml.FakeGPU``) in the place of the driver's library."""
    pytest.importorskip("pynvml")
    from tests.fakes.nvml import FakeNVML

    return lambda *gpus, **errors: FakeNVML(*gpus, errors=errors).install(monkeypatch)
