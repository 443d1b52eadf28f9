"""What a network remembers of its inputs: exponential averages with fixed time constants, and EA-LSTM."""

# B batch, T days, S steps, C channels, K time constants, H hidden size, E static features

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ExponentialMemory(nn.Module):
    """Averages series over their past, with weights that fall exponentially, at some steps.

    ``m_k(t) = sqrt(tau_k) sum_{s <= t} (1 - e^(-1 / tau_k)) e^(-(t - s) / tau_k) x(s)``

    The averages are what linear stores and AR(1) processes remember of what came in, so soil, snow and slow
    weather regimes are nearly functions of them. ``sqrt(tau)`` keeps the variance of white noise about 1.

    Args:
        days: time constants tau, (K,).

    >>> memory = ExponentialMemory([1e-9])
    >>> memory(torch.tensor([[[1.0], [5.0]]]), torch.tensor([1]))  # of the day itself alone
    tensor([[[5.]]])
    """

    days: Tensor

    def __init__(self, days: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("days", torch.tensor(list(days), dtype=torch.float32), persistent=False)

    def forward(self, series: Tensor, steps: Tensor) -> Tensor:
        """Average (B, T, C) over the days up to the steps (S,): (B, S, K * C)."""
        weights = self._weights(series.shape[1], steps).to(series.dtype)
        constants, count, days = weights.shape
        mean = torch.matmul(weights.view(constants * count, days), series)
        mean = mean.view(len(series), constants, count, -1).permute(0, 2, 1, 3)
        return mean.reshape(len(series), count, -1)

    def _weights(self, days: int, steps: Tensor) -> Tensor:
        lag = (steps[:, None] - torch.arange(days, device=steps.device)).float()
        tau = self.days[:, None, None]
        fall = torch.where(lag >= 0, torch.exp(-lag.clamp_min(0) / tau), 0.0)
        return fall * (1 - torch.exp(-1 / tau)) * tau.clamp_min(1).sqrt()


def forget_for_days(layer: nn.LSTM, longest_days: float, generator: torch.Generator | None = None) -> None:
    """Let a new LSTM's units forget over times that are spread from 1 day to the longest.

    Forget gates begin at ``log U(1, longest)``, input gates at the negative of that.

    Args:
        layer: one layer, in place.
        longest_days: such as the length of a window.
        generator: of the draws.

    Reference:
        Tallec and Ollivier 2018, arXiv:1804.11188: chrono initialisation.
    """
    hidden = layer.hidden_size
    with torch.no_grad():
        remember = torch.log(1 + torch.rand(hidden, generator=generator) * max(1.0, longest_days - 1))
        rest = torch.zeros(2 * hidden)
        layer.get_parameter("bias_ih_l0").zero_()
        layer.get_parameter("bias_hh_l0").copy_(torch.cat([-remember, remember, rest]))


class EALSTM(nn.Module):
    """LSTM whose input gate is set by the place, not by the day.

        i = sigmoid(W_s s + b_s);   (f, g, o) = W x(t) + U h(t - 1) + b
        c(t) = sigmoid(f) c(t - 1) + i tanh(g);   h(t) = sigmoid(o) tanh(c(t))

    Args:
        dynamic_size: of the series x.
        static_size: of the maps' embedding s.
        hidden_size: of h.
        longest_days: forget gates begin at times spread from 1 day to this, as :func:`forget_for_days` does.

    Reference:
        Kratzert et al. 2019, HESS 23, 5089.
    """

    def __init__(self, dynamic_size: int, static_size: int, hidden_size: int, longest_days: float) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.of_place: nn.Linear = nn.Linear(static_size, hidden_size)
        self.of_day = nn.Linear(dynamic_size, 3 * hidden_size)
        self.recurrent = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        bound = 1 / math.sqrt(hidden_size)
        with torch.no_grad():
            for layer in (self.of_place, self.of_day, self.recurrent):
                layer.weight.uniform_(-bound, bound)
            self.of_day.bias.zero_()
            remember = torch.log(1 + torch.rand(hidden_size) * max(1.0, longest_days - 1))
            self.of_day.bias[:hidden_size] = remember

    def forward(self, dynamic: Tensor, static: Tensor) -> Tensor:
        """Run over (B, T, dynamic_size) with (B, static_size): hidden states (B, T, hidden_size)."""
        gate_in = torch.sigmoid(self.of_place(static))
        of_day = self.of_day(dynamic).unbind(1)
        hidden = dynamic.new_zeros(len(dynamic), self.hidden_size)
        cell = torch.zeros_like(hidden)
        states = []
        for today in of_day:
            gates = torch.addmm(today, hidden, self.recurrent.weight.t())
            forget, fresh, out = gates.chunk(3, dim=1)
            cell = torch.sigmoid(forget) * cell + gate_in * torch.tanh(fresh)
            hidden = torch.sigmoid(out) * torch.tanh(cell)
            states.append(hidden)
        return torch.stack(states, dim=1)
