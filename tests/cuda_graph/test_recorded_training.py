"""RecordedTraining: on a GPU steps as the function itself gives them, running means too."""

import copy

import pytest
import torch
from torch import nn

from lightning_itwin.cuda_graph import RecordedTraining


def network() -> nn.Module:
    torch.manual_seed(1)
    image = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5))
    return image.to(memory_format=torch.channels_last)


def recorded(module: nn.Module) -> RecordedTraining:
    return RecordedTraining(module.forward, list(module.parameters()), module.buffers)


def near(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return bool((found - wanted).norm() <= 1e-3 * wanted.norm() + 1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_steps_are_those_of_the_function(autocast: bool, micro_batches: int) -> None:
    plain = network().cuda()
    fast = copy.deepcopy(plain)
    step = recorded(fast)
    optimizers = [torch.optim.SGD(module.parameters(), lr=0.01) for module in (plain, fast)]
    for _ in range(5):
        for optimizer in optimizers:
            optimizer.zero_grad()
        for _ in range(micro_batches):
            images = torch.randn(16, 3, 8, 8, device="cuda")
            for function in (plain, step):
                with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
                    loss = function(images).square().mean()
                loss.backward()
        for one, other in zip(fast.parameters(), plain.parameters(), strict=True):
            assert near(one.grad, other.grad)
        for optimizer in optimizers:
            optimizer.step()
    assert step._recorded is not None
    for one, other in zip(fast.buffers(), plain.buffers(), strict=True):
        assert near(one.float(), other.float())


@pytest.mark.gpu
def test_a_copy_records_graphs_of_its_own_parameters() -> None:
    module = network().cuda()
    step, images = recorded(module), torch.randn(16, 3, 8, 8, device="cuda")
    for _ in range(3):
        step(images).sum().backward()
    copied_module, copied = copy.deepcopy((module, step))
    assert copied._recorded is None
    assert all(
        one is other for one, other in zip(copied._parameters, copied_module.parameters(), strict=True)
    )


def test_without_gradients_or_parameters_it_is_the_function_itself() -> None:
    module = network()
    step, images = recorded(module.eval()), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(step(images), module(images))
    frozen = recorded(module.requires_grad_(False))
    assert torch.equal(frozen(images), module(images))
