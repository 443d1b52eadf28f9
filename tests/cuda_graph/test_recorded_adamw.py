"""RecordedAdamW: parameters and state as torch's own AdamW leaves them."""

import copy
import io
import warnings
from typing import Any

import pytest
import torch
from torch import nn

from lightning_itwin.cuda_graph import RecordedAdamW

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
SETTINGS: dict[str, Any] = {"lr": 0.01, "weight_decay": 0.1}


class Replayed:
    """As a CUDA graph, it does nothing while it is recorded."""

    def __init__(self, function: Any) -> None:
        self.replay = function


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "cpu":
        monkeypatch.setattr(
            "lightning_itwin.cuda_graph.recorded_adamw.record",
            lambda function, device, warm_up: (Replayed(function), None),
        )
    return request.param


def network(device: str) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2), nn.Linear(4, 4)).to(device)


def given_gradients(modules: list[nn.Module], in_place: bool = True) -> None:
    for parameters in zip(*(module.parameters() for module in modules), strict=True):
        gradient = torch.randn_like(parameters[0])
        for parameter in parameters:
            if in_place and parameter.grad is not None:
                parameter.grad.copy_(gradient)
            else:
                parameter.grad = gradient.clone()


def alike(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.allclose(first, second, rtol=1e-6, atol=1e-7) for first, second in pairs)


def pair(device: str) -> tuple[list[nn.Module], RecordedAdamW, torch.optim.AdamW]:
    one = network(device)
    other = copy.deepcopy(one)
    return (
        [one, other],
        RecordedAdamW(one.parameters(), **SETTINGS),
        torch.optim.AdamW(other.parameters(), **SETTINGS),
    )


def test_steps_are_those_of_torch_under_a_rate_that_changes(device: str) -> None:
    modules, recorded, plain = pair(device)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
        for optimizer in (recorded, plain)
    ]
    for _ in range(6):
        given_gradients(modules)
        for optimizer, schedule in zip((recorded, plain), schedules):
            optimizer.step()
            schedule.step()
        assert alike(*modules)
    assert recorded._graph is not None


def test_gradients_that_move_or_are_missing_are_taken_as_they_are(device: str) -> None:
    modules, recorded, plain = pair(device)
    for step in range(8):
        given_gradients(modules, in_place=step not in (3, 4))
        if step > 5:
            for module in modules:
                module[2].weight.grad = None
        recorded.step()
        plain.step()
        assert alike(*modules)


def test_a_closure_is_called_with_gradients_and_hooks_once(device: str) -> None:
    module = network(device)
    optimizer, called = RecordedAdamW(module.parameters(), **SETTINGS), []
    optimizer.register_step_post_hook(lambda *_: called.append("hook"))

    def closure() -> torch.Tensor:
        loss = sum(parameter.square().sum() for parameter in module.parameters())
        for parameter, gradient in zip(
            module.parameters(), torch.autograd.grad(loss, list(module.parameters()))
        ):
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
            parameter.grad.copy_(gradient)
        return loss

    losses = [optimizer.step(closure).item() for _ in range(5)]
    assert losses == sorted(losses, reverse=True)
    assert called == ["hook"] * 5


def test_a_state_goes_from_one_to_the_other(device: str) -> None:
    modules, recorded, plain = pair(device)
    for _ in range(4):
        given_gradients(modules)
        recorded.step()
        plain.step()
    file = io.BytesIO()
    torch.save(recorded.state_dict(), file)
    file.seek(0)
    fourth = copy.deepcopy(modules[0])
    torchs_own = torch.optim.AdamW(fourth.parameters(), **SETTINGS)
    torchs_own.load_state_dict(torch.load(file))
    recorded.load_state_dict(copy.deepcopy(recorded.state_dict()))  # its state lies elsewhere now
    assert recorded._graph is None
    third = copy.deepcopy(modules[0])
    back = RecordedAdamW(third.parameters(), **SETTINGS)
    back.load_state_dict(copy.deepcopy(recorded.state_dict()))
    for _ in range(4):
        given_gradients([*modules, third, fourth])
        for optimizer in (recorded, plain, back, torchs_own):
            optimizer.step()
        for module in (modules[1], third, fourth):
            assert alike(modules[0], module)


def test_a_copy_of_it_steps_on(device: str) -> None:
    modules, recorded, _ = pair(device)
    for _ in range(3):
        given_gradients(modules[:1])
        recorded.step()
    held = copy.deepcopy({"module": modules[0], "optimizer": recorded})
    given_gradients([modules[0], held["module"]])
    recorded.step()
    held["optimizer"].step()
    assert alike(modules[0], held["module"])


def test_where_recording_fails_it_goes_on_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr("lightning_itwin.cuda_graph.recorded_adamw.record", failing)
    modules, recorded, plain = pair("cpu")
    given_gradients(modules)
    recorded.step()
    plain.step()
    given_gradients(modules)
    plain.step()
    with pytest.warns(UserWarning, match="not recorded, and slower: .* stream is capturing$"):
        recorded.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        given_gradients(modules)
        recorded.step()
        plain.step()
    assert alike(*modules)
