import numpy as np
import pytest

from lightning_itwin.datamodules.gw.event_order import EventOrder


@pytest.mark.parametrize("events", [7, 8, 64, 65, 100, 103, 257])
@pytest.mark.parametrize("batch_size", [1, 2, 16])
@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
@pytest.mark.parametrize("block", [0, 1, 8])
def test_every_event_comes_once_and_each_rank_has_as_many_batches(events, batch_size, world_size, block):
    seen, counts = [], set()
    for rank in range(world_size):
        order = EventOrder(
            events=events, batch_size=batch_size, rank=rank, world_size=world_size, shuffle_block=block
        )
        batches = [order.batch(3, number) for number in range(len(order))]
        counts.add(len(batches))
        assert all(1 <= len(batch) <= order.largest_batch for batch in batches)
        assert order.largest_batch <= max(batch_size, 2)
        seen.extend(np.concatenate(batches))
    assert len(counts) == 1
    assert sorted(seen) == list(range(events))


def test_batches_are_full_until_the_last_two():
    order = EventOrder(events=1003, batch_size=10, world_size=5, rank=2)
    sizes = [len(order.batch(0, number)) for number in range(len(order))]
    assert sizes[:-2] == [10] * (len(sizes) - 2)
    assert max(sizes) - min(sizes[-2:]) <= 5


def test_an_epoch_is_shuffled_by_seed_and_epoch_in_blocks():
    order = EventOrder(events=1000, batch_size=100, shuffle_block=8, seed=5)
    first = order.permutation(0)
    assert np.array_equal(first, order.permutation(0))
    assert not np.array_equal(first, order.permutation(1))
    assert not np.array_equal(first, EventOrder(events=1000, batch_size=100, seed=6).permutation(0))
    assert np.count_nonzero(np.diff(first) == 1) >= 1000 - 1000 // 8 - 1


def test_a_batch_is_the_same_alone_as_in_sequence():
    order = EventOrder(events=100, batch_size=7, seed=1)
    permutation = order.permutation(4)
    for number in range(len(order)):
        assert np.array_equal(order.batch(4, number), order.batch(4, number, permutation))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"shuffle_block": -1}, "shuffle_block"),
        ({"rank": 2, "world_size": 2}, "rank must be below"),
        ({"events": 3, "world_size": 4}, "3 events cannot be shared among 4 ranks"),
    ],
)
def test_what_cannot_be_dealt_is_refused(changes, says):
    with pytest.raises(ValueError, match=says):
        EventOrder(**{"events": 10, "batch_size": 2, **changes})
