from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from lightning_itwin.callbacks.sample_counter import SampleCounter


@dataclass
class Batch:
    x: torch.Tensor


@pytest.mark.parametrize(
    ("batch", "samples"),
    [
        (torch.ones(8, 3), 8),
        (torch.tensor(1.0), 1),
        ([torch.ones(4, 2), torch.ones(4)], 4),
        ({"image": torch.ones(5, 1), "label": torch.ones(5)}, 5),
        (Batch(torch.ones(6, 2)), 6),
        ({"nested": [{"x": torch.ones(7)}]}, 7),
        ("text", None),
        ([], None),
        (None, None),
        (3, None),
    ],
)
def test_lightnings_own_rule(batch: Any, samples: int | None) -> None:
    assert SampleCounter().count(batch) == samples


def test_an_iterator_is_not_used_up() -> None:
    batch = iter([torch.ones(8), torch.ones(8)])
    assert SampleCounter().count(batch) is None
    assert len(list(batch)) == 2


def test_the_users_own_rule() -> None:
    assert SampleCounter(lambda batch: batch["graphs"]).count({"graphs": 12, "x": torch.ones(3)}) == 12
