from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lightning_itwin.datamodules.hydro.evaluation_order import EvaluationOrder
from lightning_itwin.datamodules.hydro.window_order import TrainingOrder

SERIES = np.arange(3, 103, 2)


def training(**settings: Any) -> TrainingOrder:
    return TrainingOrder(
        **{"series": SERIES, "starts": (5, 25), "samples": 300, "batch_size": 16, **settings}
    )


def keys(order: Any, epoch: int = 0) -> list[tuple[int, int]]:
    plan = order.permutation(epoch)
    batches = [order.batch(epoch, number, plan) for number in range(len(order))]
    return [key for windows in batches for key in zip(windows.series.tolist(), windows.start.tolist())]


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("block", [0, 6])
@pytest.mark.parametrize("samples", [7, 300, None])
def test_ranks_draw_different_windows_in_as_many_batches(
    world_size: int, block: int, samples: int | None
) -> None:
    orders = [
        training(samples=samples, rank=rank, world_size=world_size, block_series=block, block_windows=40)
        for rank in range(world_size)
    ]
    assert len({len(order) for order in orders}) == 1
    drawn = [keys(order) for order in orders]
    wanted = (samples or 1000) // world_size
    assert [len(one) for one in drawn] == [wanted] * world_size
    together = [key for one in drawn for key in one]
    assert {series for series, _ in together} <= set(SERIES.tolist())
    assert all(5 <= start < 25 for _, start in together)
    if not block and samples is None:
        assert len(set(together)) == len(together) == 1000 // world_size * world_size
    if block:
        series = [{one for one, _ in rank} for rank in drawn]
        assert sum(len(one) for one in series) == len(set().union(*series))


def test_an_epoch_covers_series_and_starts_evenly() -> None:
    drawn = keys(training())
    assert len(drawn) == len(set(drawn)) == 300
    count = np.unique([series for series, _ in drawn], return_counts=True)[1]
    assert count.size == 50
    assert count.min() >= 5
    assert count.max() <= 7
    assert keys(training()) == drawn != keys(training(), epoch=1)
    assert keys(training(seed=1)) != drawn


def test_blocks_are_whole_runs_and_one_follows_the_other() -> None:
    order = training(series=SERIES[:48], block_series=12, block_windows=64, run_series=4, samples=256)
    plan = order.permutation(3)
    assert order.blocks_per_rank == 4
    assert len(plan) == 16
    blocks = [tuple(windows.block.tolist()) for windows in plan if windows.block is not None]
    assert [blocks.index(block) for block in dict.fromkeys(blocks)] == [0, 4, 8, 12]
    for windows in plan:
        assert windows.block is not None
        assert set(windows.series.tolist()) <= set(windows.block.tolist())
        place = (windows.block - 3) // 2
        assert all(set(range(first // 4 * 4, first // 4 * 4 + 4)) <= set(place) for first in place)


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
@pytest.mark.parametrize("block", [0, 4, 100])
@pytest.mark.parametrize("batch_size", [1, 16, 1000])
def test_evaluation_goes_through_all_once(world_size: int, block: int, batch_size: int) -> None:
    starts = np.array([1, 8, 9])
    orders = [
        EvaluationOrder(
            series=SERIES,
            starts=starts,
            batch_size=batch_size,
            rank=rank,
            world_size=world_size,
            block_series=block,
        )
        for rank in range(world_size)
    ]
    assert len({len(order) for order in orders}) == 1
    together = [key for order in orders for key in keys(order)]
    assert sorted(together) == sorted(
        (series, start) for series in SERIES.tolist() for start in starts.tolist()
    )
    for order in orders:
        for number in range(len(order)):
            windows = order.batch(0, number)
            assert 0 < windows.series.size <= batch_size + 1
            if block:
                assert windows.block is not None
                assert set(windows.series.tolist()) <= set(windows.block.tolist())


def test_a_rank_has_whole_starts() -> None:
    found = []
    for rank in range(4):
        order = EvaluationOrder(
            series=SERIES, starts=np.arange(6), batch_size=16, rank=rank, world_size=4, whole_starts=True
        )
        batches = [order.batch(0, number) for number in range(len(order))]
        assert all(len(set(windows.start.tolist())) == 1 for windows in batches)
        found.append(list(dict.fromkeys(int(windows.start[0]) for windows in batches)))
        assert len(keys(order)) == 50 * len(found[-1])
    assert found == [[0], [1, 2], [3], [4, 5]]
    nothing = EvaluationOrder(
        series=SERIES, starts=np.arange(1), batch_size=16, rank=0, world_size=2, whole_starts=True
    )
    assert len(nothing) == 0


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"batch_size": 0}, "at least 1"),
        ({"rank": 2, "world_size": 2}, "rank must be below"),
        ({"starts": (5, 5)}, "0 windows cannot be shared"),
        ({"series": np.arange(1), "block_series": 1, "world_size": 2}, "1 series cannot be shared"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        training(**settings)
    with pytest.raises(ValueError, match="cannot be shared"):
        EvaluationOrder(series=np.arange(1), starts=np.arange(1), batch_size=1, world_size=2)
    with pytest.raises(ValueError, match="batch must be at least 1"):
        EvaluationOrder(series=np.arange(1), starts=np.arange(1), batch_size=0)
