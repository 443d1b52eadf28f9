from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lightning_itwin.strategies.deepspeed_state import DeepSpeedState


def sharded(module: nn.Module, groups) -> DeepSpeedState:
    """State of an engine of which only the names are there that this file looks at."""
    wrapper = SimpleNamespace(
        single_partition_of_fp32_groups=[torch.zeros(4)], optimizer=torch.optim.Adam(module.parameters())
    )
    return DeepSpeedState(SimpleNamespace(optimizer=wrapper, device="cpu"), module, groups)


def saved(module: nn.Module, **state) -> dict:
    numbers = list(range(len(list(module.parameters()))))
    return {"state": {0: state}, "param_groups": [{"lr": 0.5, "params": numbers}]}


def test_other_parameter_groups_are_refused():
    module = nn.Linear(3, 2)
    with pytest.raises(ValueError, match=r"groups of \[2\] parameters, this one of \[1, 1\]"):
        sharded(module, [({}, [module.weight]), ({}, [module.bias])]).load_optimizer_state(saved(module))


def test_state_that_cannot_be_shared_out_is_left():
    module = nn.Linear(3, 2)
    options = {"lr": 0.1}
    state = sharded(module, [(options, [module.weight, module.bias])])
    with pytest.warns(UserWarning, match="the optimizer starts anew"):
        state.load_optimizer_state(saved(module, row=torch.ones(3), step=torch.tensor(4.0)))
    assert options == {"lr": 0.1}


def test_an_unknown_wrapper_is_refused():
    wrapper = SimpleNamespace(step=lambda: None)
    with pytest.raises(ValueError, match="checkpoint='sharded'"):
        DeepSpeedState(SimpleNamespace(optimizer=wrapper), nn.Linear(1, 1), [])


def test_without_zero_the_optimizer_is_torchs_own():
    module = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = DeepSpeedState(SimpleNamespace(optimizer=optimizer), module, DeepSpeedState.groups_of(optimizer))
    kept = state.optimizer_state(keep=True)
    assert kept["state"][0]["step"] == 1
    assert state.optimizer_state(keep=False) == {}
    assert state.module_state(keep=False) == {}
    assert torch.equal(state.module_state(keep=True)["weight"], module.weight)
    state.load_optimizer_state(kept)
