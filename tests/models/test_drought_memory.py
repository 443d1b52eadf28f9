import math

import torch
from torch import nn

from lightning_itwin.models.drought_memory import EALSTM, ExponentialMemory, forget_for_days


def test_the_memory_is_what_a_recursion_gives():
    generator = torch.Generator().manual_seed(0)
    series = torch.randn(2, 50, 3, generator=generator)
    taus, steps = (1.0, 7.0, 40.0), torch.tensor([0, 20, 49])
    found = ExponentialMemory(taus)(series, steps).view(2, 3, 3, 3)
    for number, tau in enumerate(taus):
        keep, average, averages = math.exp(-1 / tau), torch.zeros(2, 3), []
        for today in series.unbind(1):
            average = keep * average + (1 - keep) * today
            averages.append(math.sqrt(tau) * average)
        expected = torch.stack(averages, 1)[:, steps]
        torch.testing.assert_close(found[:, :, number], expected, rtol=1e-5, atol=1e-6)


def test_ea_lstm_follows_its_equations():
    torch.manual_seed(1)
    layer = EALSTM(dynamic_size=4, static_size=2, hidden_size=3, longest_days=30.0)
    dynamic, static = torch.randn(5, 6, 4), torch.randn(5, 2)
    hidden = cell = torch.zeros(5, 3)
    gate_in = torch.sigmoid(layer.of_place(static))
    for day in range(6):
        gates = layer.of_day(dynamic[:, day]) + layer.recurrent(hidden)
        forget, fresh, out = gates.split(3, dim=1)
        cell = torch.sigmoid(forget) * cell + gate_in * torch.tanh(fresh)
        hidden = torch.sigmoid(out) * torch.tanh(cell)
    torch.testing.assert_close(layer(dynamic, static)[:, -1], hidden)


def test_units_forget_over_1_day_to_the_longest():
    layer = nn.LSTM(2, 400, batch_first=True)
    forget_for_days(layer, 60.0, torch.Generator().manual_seed(0))
    bias = layer.bias_ih_l0 + layer.bias_hh_l0
    kept = torch.sigmoid(bias[400:800])
    days = 1 / (1 - kept) - 1  # kept = n / (n + 1)
    days = days.detach()
    assert 1.0 <= float(days.min()) < 2.0
    assert 58.0 < float(days.max()) <= 60.001
    torch.testing.assert_close(bias[:400], -bias[400:800])
    assert not bias[800:].any()
