from __future__ import annotations

import numpy as np
import pytest

from lightning_itwin.inference.event_uniforms import event_uniforms


def test_every_event_attempt_and_stream_has_its_own() -> None:
    base = event_uniforms(range(1000), 5, seed=3)
    assert base.shape == (1000, 5)
    assert ((base > 0) & (base < 1)).all()
    assert len(np.unique(base)) == 5000
    np.testing.assert_array_equal(event_uniforms([7, 8, 2, 999], 5, seed=3), base[[7, 8, 2, 999]])
    for other in (
        event_uniforms(range(1000), 5, seed=4),
        event_uniforms(range(1000), 5, seed=3, attempt=1),
        event_uniforms(range(1000), 5, seed=3, stream=1),
    ):
        assert not np.isin(other, base).any()


def test_large_seeds_and_indices_and_none_at_all() -> None:
    assert event_uniforms([2**60], 14, seed=2**63).shape == (1, 14)
    assert event_uniforms([], 14, seed=0).shape == (0, 14)


@pytest.mark.parametrize(("index", "seed"), [(-1, 0), (0, -1)])
def test_negative_numbers_are_refused(index: int, seed: int) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        event_uniforms([index], 3, seed=seed)
