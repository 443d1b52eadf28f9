import itertools
import threading
import time

import numpy as np
import pytest
import torch

from lightning_itwin.datamodules.batch_loader import BatchLoader, LoaderStateError, OrderedBatches
from lightning_itwin.datamodules.gw.buffer_ring import BufferRing
from lightning_itwin.datamodules.gw.event_order import EventOrder
from lightning_itwin.datamodules.gw.shard_format import ShardError, records_path
from lightning_itwin.datamodules.gw.shard_reader import ShardReader
from lightning_itwin.datamodules.gw.shard_source import ShardSource
from lightning_itwin.datamodules.gw.simulate import simulate
from tests.datamodules.gw.small import data_set


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    simulate(data_set(events=300), folder, workers=0)
    return folder


@pytest.fixture
def reader(folder):
    return ShardReader(folder)


@pytest.fixture(scope="module")
def truth(folder):
    raw = b"".join(path.read_bytes() for path in sorted(folder.glob("*.bin")))
    return torch.from_numpy(np.frombuffer(raw, np.float32).reshape(300, 2, 2048).copy())


def loader(reader, epoch=lambda: 0, read_ahead=2, threads=1, **order):
    order = EventOrder(**{"events": 300, "batch_size": 32, "seed": 3, **order})
    return BatchLoader(OrderedBatches(ShardSource(reader, 0, 300, threads), order, epoch, read_ahead))


def events_of(batch, reader):
    known = {row.tobytes(): event for event, row in enumerate(reader.theta)}
    return [known[row.numpy().tobytes()] for row in batch.theta]


@pytest.mark.parametrize("read_ahead", [0, 1, 3])
@pytest.mark.parametrize("threads", [1, 3])
def test_batches_are_the_events_of_the_file(reader, truth, read_ahead, threads):
    seen = []
    for batch in loader(reader, read_ahead=read_ahead, threads=threads):
        events = events_of(batch, reader)
        assert torch.equal(batch.record, truth[events])
        assert torch.equal(batch.psd_index, torch.from_numpy(reader.psd_index[events]))
        seen += events
    assert sorted(seen) == list(range(300))


def test_a_batch_is_valid_until_the_second_one_after_it_is_asked_for(reader, truth):
    batches = iter(loader(reader, batch_size=16))
    before = next(batches)
    for batch in batches:
        assert torch.equal(before.record, truth[events_of(before, reader)])
        before = batch


def test_memory_is_used_again(reader):
    addresses = {batch.record.data_ptr() for batch in loader(reader, batch_size=16, read_ahead=2)}
    assert len(addresses) == 4


def test_neighbours_are_one_system_call(reader, monkeypatch):
    calls = []
    preadv = __import__("os").preadv

    def counted(descriptor, buffers, offset):
        calls.append(sum(map(len, buffers)))
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr("lightning_itwin.datamodules.gw.shard_reader.os.preadv", counted)
    record = reader.manifest.record.bytes
    buffer = memoryview(bytearray(12 * record))
    reader.read_into(np.array([3, 4, 5, 100, 126, 127, 128, 129, 200, 201, 202, 299]), buffer)
    assert calls == [3 * record, record, 2 * record, 2 * record, 3 * record, record]


def test_a_read_that_comes_short_goes_on(reader, truth, monkeypatch):
    preadv = __import__("os").preadv

    def short(descriptor, buffers, offset):
        return preadv(descriptor, [buffers[0][:1000]], offset)

    monkeypatch.setattr("lightning_itwin.datamodules.gw.shard_reader.os.preadv", short)
    read = torch.empty(2, 2, 2048)
    reader.read_into(np.array([10, 11]), memoryview(read.numpy()).cast("B"))
    assert torch.equal(read, truth[10:12])


def test_a_file_cut_while_being_read_is_told_in_the_loop(tmp_path):
    simulate(data_set(events=64), tmp_path, workers=0)
    reader = ShardReader(tmp_path)
    with records_path(tmp_path, 0).open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(ShardError, match="cut while being read"):
        list(loader(reader, events=64))


@pytest.mark.parametrize("stop_after", [0, 1, 4, 9])
def test_resumes_at_the_very_next_batch(reader, stop_after):
    whole = [events_of(batch, reader) for batch in loader(reader, epoch=lambda: 2)]
    stopped = loader(reader, epoch=lambda: 2)
    batches = iter(stopped)
    for _ in range(stop_after):
        next(batches)
    state = stopped.state_dict()
    batches.close() if hasattr(batches, "close") else None
    resumed = loader(reader, epoch=lambda: 2)
    resumed.load_state_dict(state)
    assert [events_of(batch, reader) for batch in resumed] == whole[stop_after:]
    assert [events_of(batch, reader) for batch in resumed] == whole  # the state is used up


def test_a_state_of_another_epoch_starts_the_epoch(reader):
    resumed = loader(reader, epoch=lambda: 3)
    state = {**resumed.state_dict(), "epoch": 2, "batches": 5}
    resumed.load_state_dict(state)
    assert len(list(resumed)) == len(resumed)


def test_a_state_that_does_not_fit_is_refused(reader):
    state = {**loader(reader).state_dict(), "batches": 5}
    resumed = loader(reader, batch_size=16, world_size=2)
    resumed.load_state_dict(state)
    with pytest.raises(
        LoaderStateError, match=r"after 5 batches.*batch_size was 32, is 16; world_size was 1, is 2"
    ):
        list(resumed)


def test_epochs_differ_and_ranks_share_them(reader):
    epochs = [
        [events_of(b, reader) for b in loader(reader, epoch=lambda epoch=epoch: epoch)] for epoch in (0, 1)
    ]
    assert epochs[0] != epochs[1]
    ranks = [
        [event for b in loader(reader, rank=rank, world_size=3) for event in events_of(b, reader)]
        for rank in range(3)
    ]
    assert sorted(itertools.chain.from_iterable(ranks)) == list(range(300))


def test_a_loop_that_ends_early_leaves_no_thread(reader):
    for _ in loader(reader, batch_size=16):
        break
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any("read-ahead" in t.name for t in threading.enumerate()):
        time.sleep(0.01)
    assert not any("read-ahead" in thread.name for thread in threading.enumerate())


def test_a_buffer_waits_for_the_copy_to_the_gpu():
    class Copied:
        waited = 0

        def synchronize(self):
            self.waited += 1

    ring = BufferRing(2, (4, 3), torch.float32)
    copied = Copied()
    ring.hold(ring.slot(0)[0][:3], copied)
    ring.hold(torch.zeros(3), copied)
    ring.slot(1)
    assert copied.waited == 0
    ring.slot(2)
    ring.slot(4)
    assert copied.waited == 1


def test_a_buffer_and_its_bytes_are_the_same_memory():
    tensor, raw = BufferRing(1, (2, 3), torch.complex64).slot(0)
    raw[:] = np.arange(6, dtype=np.complex64).tobytes()
    assert tensor.flatten().tolist() == [0, 1, 2, 3, 4, 5]
