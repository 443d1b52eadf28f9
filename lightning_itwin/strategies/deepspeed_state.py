"""The state of a DeepSpeed training as plain torch has it: gathered from all ranks, and shared out again.

ZeRO flattens the parameters of a group into one vector, keeps a float32 copy of it with the optimizer's
state, and shares that out among the ranks. What an optimizer keeps for each element (Adam's moments, a
momentum) is cut like the parameters and can be put together again; what it keeps once (Adam's step) is the
same on all ranks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn
from torch.optim import Optimizer

ParameterGroup = tuple[dict[str, Any], list[nn.Parameter]]

# ZeRO 1 and 2, ZeRO 1 with bfloat16 and float32 gradients, ZeRO 3.
_PARTITIONS = (
    "single_partition_of_fp32_groups",
    "fp32_groups_flat_partition",
    "fp32_partitioned_groups_flat",
)


class DeepSpeedState:
    """Reads and writes weights and optimizer state of an engine in the form of plain torch.

    Every method is collective: all ranks call it.

    Args:
        engine: the engine, a ``deepspeed.DeepSpeedEngine``.
        module: the module that it trains.
        groups: the user's parameter groups, as :meth:`groups_of` found them before DeepSpeed took them.

    Raises:
        ValueError: DeepSpeed keeps its state in a way that cannot be put together.
    """

    def __init__(self, engine: Any, module: nn.Module, groups: list[ParameterGroup]) -> None:
        self._engine = engine
        self._module = module
        self._groups = groups
        wrapper = engine.optimizer
        filled = [parameters for _, parameters in groups if parameters]  # DeepSpeed drops the others
        self._group_of = {parameter: index for index, group in enumerate(filled) for parameter in group}
        self._sharded = any(hasattr(wrapper, name) for name in _PARTITIONS)
        # Without ZeRO, 16-bit training keeps a float32 copy of every parameter on every rank.
        self._copies = {
            lower: copy
            for lowers, copies in zip(
                getattr(wrapper, "fp16_groups", ()), getattr(wrapper, "fp32_groups", ())
            )
            for lower, copy in zip(lowers, copies)
        }
        self._optimizer: Optimizer = getattr(wrapper, "optimizer", wrapper)
        known = self._sharded or self._copies or isinstance(wrapper, Optimizer)
        if hasattr(wrapper, "step") and not known:
            raise ValueError(
                f"The state of DeepSpeed's {type(wrapper).__name__} cannot be gathered into one file. "
                "Say DeepSpeedStrategy(checkpoint='sharded')."
            )

    @staticmethod
    def groups_of(optimizer: Optimizer) -> list[ParameterGroup]:
        """Remember the parameter groups of an optimizer that DeepSpeed is about to change."""
        return [(group, list(group["params"])) for group in optimizer.param_groups]

    @staticmethod
    def undo_first_step(engine: Any) -> None:
        """Undo the step that DeepSpeed makes with zero gradients for 16-bit training without ZeRO.

        It decays the weights and counts in Adam's bias correction, so the curve would be another one.
        """
        wrapper = engine.optimizer
        if hasattr(wrapper, "fp32_groups"):
            for parameters, copies in zip(wrapper.fp16_groups, wrapper.fp32_groups):
                for parameter, copy in zip(parameters, copies):
                    copy.detach().copy_(parameter)
            wrapper.optimizer.state.clear()

    def module_state(self, keep: bool) -> dict[str, Any]:
        """Gather the module's ``state_dict``, parameters in float32 where DeepSpeed trains them so.

        Args:
            keep: whether this rank wants it; the others get an empty one.
        """
        state = self._module.state_dict() if keep else {}
        for name, parameter in self._module.named_parameters(remove_duplicate=False):
            whole = self._whole(parameter)
            if whole is not None and name in state:
                state[name] = whole.to("cpu", copy=True)
        return state

    def load_module_state(self, state: Mapping[str, Any]) -> None:
        """Write parameters into DeepSpeed's float32 copies; the module has them already.

        Args:
            state: value by the parameter's name.
        """
        for name, parameter in self._module.named_parameters():
            if name in state and self._is_sharded(parameter):
                self._set(parameter, state[name], None)
            elif name in state and parameter in self._copies:
                self._copies[parameter].detach().copy_(state[name])

    def optimizer_state(self, keep: bool) -> dict[str, Any]:
        """Gather the ``state_dict`` of the user's optimizer.

        Args:
            keep: whether this rank wants it; the others get an empty one.
        """
        if not self._sharded:
            return self._optimizer.state_dict() if keep else {}
        self._link()
        flats = self._flats()
        state: dict[int, dict[str, Any]] = {}
        for number, parameter in enumerate(self._group_of):
            if not self._is_sharded(parameter):
                continue
            flat = flats[self._group_of[parameter]][0]
            for key, value in self._optimizer.state.get(flat, {}).items():
                if isinstance(value, Tensor) and value.shape == flat.shape:
                    value = self._gathered(parameter, key)
                if keep:
                    kept = value.to("cpu", copy=True) if isinstance(value, Tensor) else value
                    state.setdefault(number, {})[key] = kept
        numbers = iter(range(len(self._group_of)))
        groups = [
            {**options, "params": [next(numbers) for _ in parameters]} for options, parameters in self._groups
        ]
        return {"state": state, "param_groups": groups} if keep else {}

    def load_optimizer_state(self, state: Mapping[str, Any]) -> None:
        """Give the optimizer the state that an optimizer of the same kind has saved, with any strategy.

        Args:
            state: its ``state_dict``.

        Raises:
            ValueError: its parameter groups are others.
        """
        if not self._sharded:
            self._optimizer.load_state_dict(dict(state))
            return
        saved = state["param_groups"]
        sizes = [len(group["params"]) for group in saved], [len(parameters) for _, parameters in self._groups]
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"The checkpoint's optimizer has groups of {sizes[0]} parameters, this one of {sizes[1]}. "
                "Resume with the optimizer that was saved, or load the weights alone."
            )
        numbers = [number for group in saved for number in group["params"]]
        entries = {
            parameter: state["state"].get(number, {}) for parameter, number in zip(self._group_of, numbers)
        }
        if not all(map(_can_be_shared_out, entries, entries.values())):
            rank_zero_warn(
                "The checkpoint's optimizer keeps state of another shape than the parameters, which ZeRO "
                "cannot share out: the optimizer starts anew. The weights are restored."
            )
            return
        for (options, _), old in zip(self._groups, saved):
            options.update({key: value for key, value in old.items() if key != "params"})
        for group, flats in self._flats().items():
            own = [parameter for parameter in entries if self._group_of[parameter] == group]
            elements = {key for parameter in own for key in _by_element(parameter, entries[parameter])}
            others = {key for parameter in own for key in entries[parameter]} - elements
            for flat in flats:
                self._optimizer.state[flat] = {
                    **{key: _once(key, [entries[parameter] for parameter in own]) for key in others},
                    **{key: torch.zeros_like(flat, requires_grad=False) for key in elements},
                }
        self._link()
        for parameter, entry in entries.items():
            if self._is_sharded(parameter):
                for key, value in _by_element(parameter, entry).items():
                    self._set(parameter, value, key)

    def _is_sharded(self, parameter: nn.Parameter) -> bool:
        linked = hasattr(parameter, "_hp_mapping") or hasattr(parameter, "_z3_optimizer")
        return self._sharded and linked and parameter.requires_grad

    def _whole(self, parameter: nn.Parameter) -> Tensor | None:
        """Give the whole parameter, or None where the module itself has it."""
        if self._is_sharded(parameter):
            return self._gathered(parameter, None)
        if hasattr(parameter, "ds_id"):
            import deepspeed

            with deepspeed.zero.GatheredParameters([parameter]):
                return parameter.detach().clone()
        return self._copies[parameter].detach() if parameter in self._copies else None

    def _gathered(self, parameter: nn.Parameter, key: str | None) -> Tensor:
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        whole = (
            safe_get_full_fp32_param(parameter)
            if key is None
            else safe_get_full_optimizer_state(parameter, key)
        )
        return whole.detach().reshape(_shape(parameter))

    def _set(self, parameter: nn.Parameter, value: Tensor, key: str | None) -> None:
        from deepspeed import utils

        value = value.to(device=self._engine.device, dtype=torch.float32)
        if not hasattr(parameter, "ds_id"):
            if key is None:
                utils.safe_set_full_fp32_param(parameter, value)
            else:
                utils.safe_set_full_optimizer_state(parameter, value, key)
            return
        # Each rank takes its own part: DeepSpeed's setter of whole values has no room for the padding of
        # the last one.
        part = utils.safe_get_local_fp32_param(parameter).numel()
        ranks = torch.distributed.get_world_size()
        padded = nn.functional.pad(value.flatten(), (0, part * ranks - value.numel()))
        mine = padded.narrow(0, part * torch.distributed.get_rank(), part)
        if key is None:
            utils.safe_set_local_fp32_param(parameter, mine)
        else:
            utils.safe_set_local_optimizer_state(parameter, mine, key)

    def _flats(self) -> dict[int, list[Tensor]]:
        """Give this rank's part of every group; ZeRO 3 cuts a group into several vectors."""
        wrapper = self._engine.optimizer
        name = next(name for name in _PARTITIONS if hasattr(wrapper, name))
        group_of = getattr(wrapper, "sub_group_to_group_id", {})
        flats: dict[int, list[Tensor]] = {}
        for index, flat in enumerate(getattr(wrapper, name)):
            flats.setdefault(group_of.get(index, index), []).append(flat)
        return flats

    def _link(self) -> None:
        """Tell the parameters of ZeRO 1 and 2 where their part of the optimizer's state is."""
        from deepspeed.utils import lazy_init_hp_params_optimizer_state

        wrapper = self._engine.optimizer
        if hasattr(wrapper, "bit16_groups"):
            for group, flats in self._flats().items():
                lazy_init_hp_params_optimizer_state(
                    wrapper.bit16_groups[group], flats[0], self._optimizer.state
                )


def _by_element(parameter: nn.Parameter, entry: Mapping[str, Any]) -> dict[str, Tensor]:
    """Pick what an optimizer keeps for each element of a parameter."""
    return {
        key: value
        for key, value in entry.items()
        if isinstance(value, Tensor) and value.shape == _shape(parameter) and key != "step"
    }


def _can_be_shared_out(parameter: nn.Parameter, entry: Mapping[str, Any]) -> bool:
    by_element = _by_element(parameter, entry)
    return all(k in by_element or not isinstance(v, Tensor) or v.ndim == 0 for k, v in entry.items())


def _once(key: str, entries: list[Mapping[str, Any]]) -> Any:
    """Give a group one value: a parameter that came later into the training has taken fewer steps."""
    values = [entry[key] for entry in entries if key in entry]
    if isinstance(values[0], Tensor) and values[0].ndim == 0:
        return torch.stack([value.detach() for value in values]).amax(0)
    return values[0]


def _shape(parameter: nn.Parameter) -> torch.Size:
    return getattr(parameter, "ds_shape", parameter.shape)
