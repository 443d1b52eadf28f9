from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch.distributed as dist

from lightning_itwin.meters import communication_calls
from tests.meters.made_up_clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let the calls that communicate be timed by a clock that only the test moves."""
    clock = Clock()
    monkeypatch.setattr(communication_calls, "time", clock)
    return clock


@pytest.fixture
def group() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()
