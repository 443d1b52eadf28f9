"""RecordedTraining: steps as the function itself gives them, running means too."""

import copy

import pytest
import torch
from torch import nn

from lightning_itwin.cuda_graph import RecordedTraining
from tests import stand_in_graph

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "cpu":
        monkeypatch.setattr("lightning_itwin.cuda_graph.recorded_training.record", stand_in_graph.record)
    return request.param


def network() -> nn.Module:
    torch.manual_seed(1)
    image = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5))
    return image.to(memory_format=torch.channels_last)


def recorded(module: nn.Module, in_place: bool = False) -> RecordedTraining:
    return RecordedTraining(module.forward, list(module.parameters()), module.buffers, in_place)


def near(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return bool((found - wanted).norm() <= 1e-3 * wanted.norm() + 1e-6)


def images(device: str) -> torch.Tensor:
    return torch.randn(16, 3, 8, 8, device=device)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("micro_batches", [1, 2])
@pytest.mark.parametrize("in_place", [False, True])
def test_steps_are_those_of_the_function(
    device: str, autocast: bool, micro_batches: int, in_place: bool
) -> None:
    plain = network().to(device)
    fast = copy.deepcopy(plain)
    step = recorded(fast, in_place)
    optimizers = [torch.optim.SGD(module.parameters(), lr=0.01) for module in (plain, fast)]
    for _ in range(5):
        for optimizer in optimizers:
            optimizer.zero_grad()
        for _ in range(micro_batches):
            batch = images(device)
            for function in (plain, step):
                with torch.autocast(device, torch.bfloat16, enabled=autocast):
                    loss = function(batch).square().mean()
                loss.backward()
        for one, other in zip(fast.parameters(), plain.parameters(), strict=True):
            assert near(one.grad, other.grad)
            assert one.grad.stride() == one.stride()
        for optimizer in optimizers:
            optimizer.step()
    assert step._recorded is not None
    for one, other in zip(fast.buffers(), plain.buffers(), strict=True):
        assert near(one.float(), other.float())


@pytest.mark.parametrize("in_place", [False, True])
def test_the_slopes_of_inputs_are_those_of_the_function(device: str, in_place: bool) -> None:
    module = network().to(device)
    step = recorded(module, in_place)
    for _ in range(4):
        batch = images(device).requires_grad_()
        (wanted,) = torch.autograd.grad(copy.deepcopy(module)(batch).square().sum(), batch)
        (found,) = torch.autograd.grad(step(batch).square().sum(), batch)
        assert near(found, wanted)


def test_in_place_gradients_lie_where_they_lay_and_are_added_to_what_was_there(device: str) -> None:
    module = network().to(device)
    plain = copy.deepcopy(module)
    step, where = recorded(module, in_place=True), []
    for _ in range(4):
        module.zero_grad()
        step(images(device)).square().mean().backward()
        where.append([parameter.grad.data_ptr() for parameter in module.parameters()])
    assert where[-1] == where[-2]
    for own, others in zip(plain.parameters(), module.parameters(), strict=True):
        others.grad = torch.full_like(own, 2.0)  # of someone else
        own.grad = torch.full_like(own, 2.0)
    for batch in (images(device), images(device)):
        step(batch).square().mean().backward()
        plain(batch).square().mean().backward()
    for own, others in zip(plain.parameters(), module.parameters(), strict=True):
        assert near(others.grad, own.grad)
    module.zero_grad(set_to_none=False)
    batch = images(device)
    plain.zero_grad()
    step(batch).square().mean().backward()
    plain(batch).square().mean().backward()
    for own, others in zip(plain.parameters(), module.parameters(), strict=True):
        assert near(others.grad, own.grad)


def test_who_waits_for_gradients_gets_them_though_they_are_written_in_place(device: str) -> None:
    module = network().to(device)
    step, seen = recorded(module, in_place=True), []
    weight = next(module.parameters())
    weight.register_post_accumulate_grad_hook(lambda parameter: seen.append(parameter.grad.clone()))
    for count in range(1, 5):
        module.zero_grad()
        step(images(device)).square().mean().backward()
        assert len(seen) == count
        assert torch.equal(seen[-1], weight.grad)
    assert step._recorded is not None


def test_gradients_stay_when_the_next_step_comes(device: str) -> None:
    module = network().to(device)
    step = recorded(module)
    for _ in range(3):
        module.zero_grad()
        step(images(device)).square().mean().backward()
    kept = [parameter.grad for parameter in module.parameters()]
    before = [gradient.clone() for gradient in kept]
    module.zero_grad()
    step(images(device)).square().mean().backward()
    for gradient, wanted in zip(kept, before, strict=True):
        assert torch.equal(gradient, wanted)


def test_two_forward_passes_before_a_backward_pass_do_not_disturb_each_other(device: str) -> None:
    module = network().to(device)
    step, batches = recorded(module), [images(device) for _ in range(2)]
    for _ in range(3):
        step(batches[0]).square().mean().backward()
    module.zero_grad()
    sum(step(batch).square().mean() for batch in batches).backward()
    found = [parameter.grad for parameter in module.parameters()]
    module.zero_grad()
    sum(module(batch).square().mean() for batch in batches).backward()
    for gradient, parameter in zip(found, module.parameters(), strict=True):
        assert near(gradient, parameter.grad)


def test_a_second_backward_pass_over_a_step_that_went_on_is_refused(device: str) -> None:
    module = network().to(device)
    step, batch = recorded(module), images(device)
    for _ in range(3):
        step(batch).sum().backward()
    first = step(batch).square().mean()
    first.backward(retain_graph=True)
    step(batch)
    with pytest.raises(RuntimeError, match="call backward once"):
        first.backward()


def test_other_shapes_another_autocast_and_moved_parameters_are_recorded_anew(device: str) -> None:
    module = network().to(device)
    step, batch = recorded(module), images(device)

    def stepped(batch: torch.Tensor, enabled: bool = False) -> bool:
        with torch.autocast(device, torch.bfloat16, enabled=enabled):
            step(batch).sum().backward()
        return step._recorded is not None

    assert [stepped(batch) for _ in range(3)] == [False, True, True]
    assert [stepped(batch[:8]) for _ in range(2)] == [False, True]
    assert [stepped(batch[:8], enabled=True) for _ in range(2)] == [False, True]
    for parameter in module.parameters():
        parameter.data = parameter.data.clone()
    assert [stepped(batch[:8], enabled=True) for _ in range(2)] == [False, True]


def test_where_recording_fails_it_goes_on_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr("lightning_itwin.cuda_graph.recorded_training.record", failing)
    plain = network()
    module = copy.deepcopy(plain)
    step = recorded(module)
    step(images("cpu"))
    batch = images("cpu")
    module.load_state_dict(plain.state_dict())
    with pytest.warns(UserWarning, match="not recorded, and slower: .* stream is capturing$"):
        found = step(batch)
    assert torch.equal(found, plain(batch))
    for one, other in zip(module.buffers(), plain.buffers(), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(step(batch), plain(batch))  # and does not try again


def test_a_copy_records_graphs_of_its_own_parameters(device: str) -> None:
    module = network().to(device)
    step = recorded(module)
    for _ in range(3):
        step(images(device)).sum().backward()
    copied_module, copied = copy.deepcopy((module, step))
    assert copied._recorded is None
    for one, other in zip(copied._parameters, copied_module.parameters(), strict=True):
        assert one is other


def test_without_gradients_or_parameters_it_is_the_function_itself() -> None:
    module = network()
    step, batch = recorded(module.eval()), images("cpu")
    with torch.no_grad():
        assert torch.equal(step(batch), module(batch))
    frozen = recorded(module.requires_grad_(False))
    assert torch.equal(frozen(batch), module(batch))
