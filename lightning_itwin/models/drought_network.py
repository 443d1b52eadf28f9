"""The network of DroughtForecaster: memory of what was, a trunk, and a head that says what may come."""

# B batch, T days of a window, S steps, L leads, X dynamic inputs, C context series, R raw numbers a lead

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn

from lightning_itwin.models.drought_conditions import HydroConditions
from lightning_itwin.models.drought_heads import Place, make_head
from lightning_itwin.models.drought_memory import EALSTM, ExponentialMemory, forget_for_days
from lightning_itwin.models.drought_settings import NetworkSettings

ENCODERS = ("lstm", "ea_lstm", "none")
_YEAR_FEATURES = 4
_DECODER_SIZE = 32


class Batch(Protocol):
    """What the network reads of a batch, by name; ``HydroBatch`` says more of each."""

    @property
    def dynamic(self) -> Tensor: ...
    @property
    def static(self) -> Tensor: ...
    @property
    def context(self) -> Tensor: ...
    @property
    def year_fraction(self) -> Tensor: ...
    @property
    def target(self) -> Tensor: ...
    @property
    def weather(self) -> Tensor | None: ...


class DroughtNetwork(nn.Module):
    """Parameters of a distribution per step and lead, from the days up to the step.

    The inputs of a day are the dynamic series, the context, two harmonics of the year, the observed anomaly
    of the target with a mark where it is missing, and an embedding of the maps. A recurrent layer and
    exponential averages of fixed time constants remember them; a trunk of dense layers and the head follow
    at the steps that are asked for alone. The head predicts deviations from damped persistence, in units of
    its spread.

    Args:
        conditions: names and leads of the data.
        settings: sizes.
        head: name of the head.
        encoder: ``"lstm"``, ``"ea_lstm"`` or ``"none"``.
        hidden_size: of the recurrent layer.
        dropout: share of the trunk's input and of its layers that is left out in training.
    """

    damping: Tensor
    spread: Tensor

    def __init__(
        self,
        conditions: HydroConditions,
        settings: NetworkSettings,
        head: str,
        encoder: str,
        hidden_size: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.leads = len(conditions.leads)
        self.observes = settings.observe_target and conditions.leads != [0]
        self.has_weather = bool(conditions.weather_names)
        maps, embedded = len(conditions.static_names), settings.static_features
        self.of_maps = nn.Linear(maps, embedded) if maps else None
        series = len(conditions.dynamic_names) + len(conditions.context_names) + 2 * self.observes
        inputs = series + _YEAR_FEATURES
        day = inputs + (embedded if maps else 0)
        self.lstm = self.ea_lstm = None
        if encoder == "lstm":
            self.lstm = nn.LSTM(day, hidden_size, batch_first=True)
            forget_for_days(self.lstm, min(conditions.seq_length, 60.0))
        elif encoder == "ea_lstm":
            if not maps:
                raise ValueError("encoder='ea_lstm' needs maps: its input gate is a function of them.")
            self.ea_lstm = EALSTM(inputs, embedded, hidden_size, min(conditions.seq_length, 60.0))
        remembered = len(settings.memory_days) * (series + settings.memory_inputs)
        self.memory = ExponentialMemory(settings.memory_days) if settings.memory_days else None
        self.of_day = None
        if self.memory is not None and settings.memory_inputs:
            self.of_day = nn.Sequential(nn.Linear(day, settings.memory_inputs), nn.SiLU())
        width = day + (0 if encoder == "none" else hidden_size) + remembered
        layers: list[nn.Module] = [nn.Dropout(dropout)] if dropout else []
        for _ in range(settings.trunk_layers):
            layers += [nn.Linear(width, settings.trunk_size), nn.SiLU()]
            layers += [nn.Dropout(dropout)] if dropout else []
            width = settings.trunk_size
        self.trunk = nn.Sequential(*layers)
        self.head = make_head(head, settings.levels, settings.components)
        self.out = nn.Linear(width, self.leads * (self.head.raw_size + 1))
        self.decoder = None
        if self.has_weather:
            weather = len(conditions.weather_names)
            self.decoder = WeatherDecoder(weather, width, conditions.leads, self.head.raw_size + 1)
        self.register_buffer("damping", torch.zeros(self.leads))
        self.register_buffer("spread", torch.ones(self.leads))
        self._start()

    def expect(self, damping: Tensor, spread: Tensor) -> None:
        """Start from damped persistence.

        Args:
            damping: factor of today's anomaly, (L,).
            spread: deviation of the residuals, (L,).
        """
        with torch.no_grad():
            self.damping.copy_(damping)
            self.spread.copy_(spread.clamp_min(1e-3))

    def forward(self, batch: Batch, steps: Tensor) -> Tensor:
        """Give the head's parameters at steps.

        Args:
            batch: windows of T days.
            steps: days of the window at whose end forecasts are issued, (S,) int64.

        Returns:
            Parameters, (B, S, L, numbers of the head).
        """
        days = batch.dynamic.shape[1]
        year = year_features(batch.year_fraction[:, :days])
        series = [batch.dynamic, batch.context]
        today = None
        if self.observes:
            past = batch.target[:, :days]
            missing = past.isnan()
            past = torch.where(missing, 0.0, past)
            series += [past.unsqueeze(-1), missing.to(past).unsqueeze(-1)]
            today = past[:, steps]
        observed = torch.cat(series, dim=-1)
        inputs = torch.cat([observed, year], dim=-1)
        maps = None if self.of_maps is None else self.of_maps(batch.static)
        day = inputs if maps is None else torch.cat([inputs, maps.unsqueeze(1).expand(-1, days, -1)], dim=-1)
        features = [day[:, steps]]
        if self.lstm is not None:
            features.append(self.lstm(day)[0][:, steps])
        elif self.ea_lstm is not None and maps is not None:
            features.append(self.ea_lstm(inputs, maps)[:, steps])
        if self.memory is not None:
            remembered = observed if self.of_day is None else torch.cat([observed, self.of_day(day)], dim=-1)
            features.append(self.memory(remembered, steps))
        trunk = self.trunk(torch.cat(features, dim=-1))
        raw = self.out(trunk).float()
        raw = raw.view(len(raw), len(steps), self.leads, -1)
        if self.decoder is not None and batch.weather is not None:
            raw = raw + self.decoder(batch.weather[:, steps], trunk)
        centre = raw.new_zeros(raw.shape[:-1])
        if today is not None:
            damping = self.damping + 0.5 * self.spread * raw[..., 0]
            centre = damping * today.unsqueeze(-1)
        return self.head(raw[..., 1:], Place(centre, self.spread))

    def _start(self) -> None:
        with torch.no_grad():
            self.out.weight.mul_(0.3)
            bias = self.out.bias.view(self.leads, -1)
            bias.zero_()
            bias[:, 1:] = self.head.bias()


class WeatherDecoder(nn.Module):
    """Goes through a weather forecast, day by day, from what the trunk remembers: a GRU.

    The numbers of a lead come from the weather up to it: of a weather forecast with as many leads as the
    model they are the same, else it is daily from the day after the issue on, and leads beyond its end see
    all of it. What is missing is 0 and marked. The decoder begins as nothing.

    Args:
        statistics: of a lead of the weather forecast.
        trunk_size: features of the trunk.
        leads: of the model, in days.
        raw_size: numbers a lead that the head takes.
    """

    def __init__(self, statistics: int, trunk_size: int, leads: list[int], raw_size: int) -> None:
        super().__init__()
        self.leads = list(leads)
        self.begin = nn.Linear(trunk_size, _DECODER_SIZE)
        self.gru = nn.GRU(2 * statistics, _DECODER_SIZE, batch_first=True)
        self.out = nn.Parameter(torch.zeros(len(leads), _DECODER_SIZE, raw_size))

    def forward(self, weather: Tensor, trunk: Tensor) -> Tensor:
        """Give what the weather forecast changes.

        Args:
            weather: issued on the steps, (B, S, weather leads, F), NaN where there is none.
            trunk: (B, S, trunk size).

        Returns:
            Raw numbers to add, (B, S, L, R).
        """
        batch, steps, ahead = weather.shape[:3]
        missing = weather.isnan()
        seen = torch.cat([torch.where(missing, 0.0, weather), missing.to(weather)], dim=-1)
        begin = torch.tanh(self.begin(trunk)).reshape(1, batch * steps, -1)
        states = self.gru(seen.reshape(batch * steps, ahead, -1), begin.contiguous())[0]
        if ahead != len(self.leads):
            states = states[:, [min(max(lead, 1), ahead) - 1 for lead in self.leads]]
        return torch.einsum("nlh,lhr->nlr", states, self.out).view(batch, steps, len(self.leads), -1)


def year_features(year_fraction: Tensor) -> Tensor:
    """Give two harmonics of the time of year, (...) to (..., 4).

    >>> year_features(torch.tensor(0.0))
    tensor([0., 1., 0., 1.])
    """
    angle = 2 * math.pi * year_fraction
    return torch.stack([angle.sin(), angle.cos(), (2 * angle).sin(), (2 * angle).cos()], dim=-1)
