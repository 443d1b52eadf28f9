import numpy as np
import pytest

from lightning_itwin.datamodules.virgo.window_order import ConsecutiveOrder, TrainingOrder, segment_blocks


@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("windows", [5, 6, 23])
def test_each_window_once_in_as_many_batches_a_rank(world, windows):
    orders = [
        ConsecutiveOrder(lengths=np.full(windows, 8), batch_size=4, rank=rank, world_size=world)
        for rank in range(world)
    ]
    dealt = [order.batch(0, number) for order in orders for number in range(len(order))]
    assert np.concatenate(dealt).tolist() == list(range(windows))
    assert len({len(order) for order in orders}) == 1
    assert max(map(len, dealt)) <= 4


def test_a_batch_has_windows_of_one_length():
    order = ConsecutiveOrder(lengths=np.array([8, 8, 8, 4, 4, 8]), batch_size=4)
    lengths = [{int((8, 8, 8, 4, 4, 8)[at]) for at in order.batch(0, n)} for n in range(len(order))]
    assert all(len(one) == 1 for one in lengths)


def test_more_ranks_than_windows_are_refused():
    with pytest.raises(ValueError, match="2 windows cannot be shared among 3 ranks"):
        ConsecutiveOrder(lengths=np.full(2, 8), batch_size=4, world_size=3)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        ConsecutiveOrder(lengths=np.full(2, 8), batch_size=0)


def test_training_windows_are_shuffled_anew_in_every_epoch():
    order = TrainingOrder(events=20, batch_size=4, shuffle_block=1)
    first, second = (np.concatenate([order.batch(epoch, n) for n in range(5)]) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(20))
    assert first.tolist() != second.tolist()


def test_a_stretch_that_holds_no_segment_has_no_block():
    assert segment_blocks(np.array([[0, 3], [10, 14]]), segment=4, hop=2, per_block=3) == [(10, 14)]
