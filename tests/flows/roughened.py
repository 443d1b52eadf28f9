"""Flows away from their initialisation, where a mistake would be seen."""

from __future__ import annotations

from typing import Any

import torch

from lightning_itwin.flows import neural_spline_flow


def roughened(flow: Any, seed: int = 0) -> Any:
    """Give every parameter a random value of a trained flow's size, and batch norms statistics."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in flow.parameters():
            noise = torch.randn(parameter.shape, generator=generator).to(parameter)
            if parameter.ndim == 2:
                parameter.copy_(noise / parameter.shape[1] ** 0.5)
            else:
                parameter.add_(0.1 * noise)
        for name, buffer in flow.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(0.3 * torch.randn(buffer.shape, generator=generator))
            elif name.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    return flow.eval()


def small_flow(features: int = 5, context_features: int | None = 6, **options: Any) -> Any:
    """Build a small rough flow."""
    torch.manual_seed(3)
    sizes = {"hidden_features": 20, "num_blocks": 2, "num_flow_steps": 3} | options
    return roughened(neural_spline_flow(features, context_features, **sizes))
