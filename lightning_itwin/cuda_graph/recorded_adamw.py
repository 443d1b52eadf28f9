"""RecordedAdamW: AdamW on a GPU whose step is one CUDA graph."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lightning_itwin.cuda_graph.recording import record, warn_of_failure


class RecordedAdamW(torch.optim.AdamW):
    """torch's fused AdamW, whose work for hundreds of parameters is replayed as one launch.

    A step is recorded at the second of two in a row with parameters, gradients and settings where and what
    they were; the learning rate may change. Every other step is torch's own; so is every one, with a warning,
    where recording fails. The state is torch's: either loads what the other has saved.

    Gradients stay where they are with ``RecordedTraining(..., gradients_in_place=True)``.

    Args:
        params: on one CUDA device, or groups of such.
        lr: learning rate.
        weight_decay: as torch has it.
    """

    def __init__(self, params: Any, lr: float = 1e-3, weight_decay: float = 1e-2) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay, fused=True)
        self._begin_anew()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._begin_anew()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._seen: Any = None
        self._graph: Any = None
        self._rates: list[Tensor] = []
        self._fails = False

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step; see ``torch.optim.Optimizer.step``."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        seen = None if self._fails else self._what_is_read()
        if seen is not None and seen == self._seen and self._graph is None:
            self._record()
        if seen is None or seen != self._seen or self._graph is None:
            self._seen, self._graph = seen, None
            inspect.unwrap(torch.optim.AdamW.step)(self)  # hooks are called around this step
            return loss
        for rate, group in zip(self._rates, self.param_groups):
            rate.fill_(group["lr"])
        self._graph.replay()
        return loss

    def _what_is_read(self) -> Any:
        # where all lies and what else counts; None where a step is not to be recorded
        where, settings = [], []
        for group in self.param_groups:
            if group["amsgrad"] or group["maximize"] or not group["fused"] or isinstance(group["lr"], Tensor):
                return None
            settings.append((group["betas"], group["eps"], group["weight_decay"]))
            for parameter in group["params"]:
                gradient = parameter.grad
                where += [parameter.data_ptr(), 0 if gradient is None else gradient.data_ptr()]
        return where, settings

    def _record(self) -> None:
        device = self.param_groups[0]["params"][0].device
        self._rates = [torch.zeros((), device=device) for _ in self.param_groups]
        try:
            # torch's own steps have warmed it up, and one more would count
            self._graph, _ = record(self._update, device, warm_up=lambda: None)
        except RuntimeError as error:
            self._fails = True
            warn_of_failure("AdamW's steps are", error)

    def _update(self) -> None:
        for rate, group in zip(self._rates, self.param_groups):
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            states = [self.state[parameter] for parameter in parameters]
            steps = [state["step"] for state in states]
            torch._foreach_add_(steps, 1)
            torch._fused_adamw_(
                parameters,
                [parameter.grad for parameter in parameters],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                steps,
                lr=rate,
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )
