import pytest
import torch
from torch import nn

from lightning_itwin.strategies.module_buffers import broadcast_buffers


@pytest.fixture
def sent(monkeypatch):
    """A process group whose rank 0 has a byte more everywhere."""
    sources = []

    def broadcast(tensor, source):
        assert tensor.dtype == torch.uint8
        tensor += 1
        sources.append(source)

    monkeypatch.setattr(torch.distributed, "broadcast", broadcast)
    return sources


def test_every_buffer_becomes_that_of_rank_0(sent):
    module = nn.Module()
    module.register_buffer("count", torch.tensor(4))
    module.register_buffer(
        "image", torch.zeros(1, 2, 2, 2, dtype=torch.uint8).to(memory_format=torch.channels_last)
    )
    module.register_buffer("flag", torch.tensor([False]))
    module.register_buffer("nothing", torch.zeros(0, 3))
    broadcast_buffers(module)
    assert sent == [0, 0, 0]
    assert module.count == 4 + 0x0101010101010101
    assert module.image.unique().tolist() == [1]
    assert module.flag.tolist() == [True]
