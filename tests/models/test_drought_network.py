import dataclasses

import pytest
import torch

from lightning_itwin.models.drought_conditions import HydroConditions, HydroDataDifferError
from lightning_itwin.models.drought_network import DroughtNetwork, WeatherDecoder, year_features
from lightning_itwin.models.drought_settings import NetworkSettings
from tests.models.drought_toy import ToyHydro

SMALL = NetworkSettings(trunk_size=16, memory_inputs=4, static_features=4, memory_days=(2.0, 20.0))


def network(data, head="quantiles", encoder="lstm", settings=SMALL):
    torch.manual_seed(0)
    made = DroughtNetwork(HydroConditions.of(data), settings, head, encoder, hidden_size=8, dropout=0.0)
    if made.decoder is not None:
        torch.nn.init.normal_(made.decoder.out)
    return made.eval()


def batch_of(data):
    return data.cut(*map(list, zip(*data.windows("val")[:6])))


@pytest.mark.parametrize("encoder", ["lstm", "ea_lstm", "none"])
@pytest.mark.parametrize("head", ["quantiles", "cmal", "gaussian", "point"])
def test_the_future_does_not_leak(head, encoder):
    """What comes after a step is altered: the forecasts at the step are the same, bit for bit."""
    data = ToyHydro(weather=True)
    made, batch = network(data, head, encoder), batch_of(data)
    step, later = torch.tensor([40]), slice(41, None)
    changed = batch._replace(
        **{
            name: getattr(batch, name).clone()
            for name in ("dynamic", "context", "target", "thresholds", "weather")
        }
    )
    for values in (changed.dynamic, changed.context, changed.target, changed.thresholds, changed.weather):
        values[:, later] = 1e3 * torch.randn_like(values[:, later])
    changed.target[:, 45] = torch.nan
    with torch.no_grad():
        steps = torch.tensor([35, 40])
        assert torch.equal(made(batch, steps), made(changed, steps))
        # and what comes before does matter
        for name in ("dynamic", "context", "target", "weather"):
            moved = batch._replace(**{name: getattr(batch, name).clone()})
            getattr(moved, name)[:, 38 if name != "weather" else 40] += 1.0
            assert not torch.equal(made(batch, step), made(moved, step)), name


def test_steps_are_forecast_alike_alone_and_together():
    data = ToyHydro()
    made, batch = network(data), batch_of(data)
    with torch.no_grad():
        together = made(batch, torch.arange(30, 60))
        alone = made(batch, torch.tensor([59]))
    torch.testing.assert_close(alone[:, 0], together[:, -1], rtol=1e-5, atol=1e-6)


def test_a_gap_in_the_target_is_no_zero_anomaly():
    data = ToyHydro()
    made, batch = network(data), batch_of(data)
    gap, zero = batch.target.clone(), batch.target.clone()
    gap[:, 59], zero[:, 59] = torch.nan, 0.0
    with torch.no_grad():
        steps = torch.tensor([59])
        found = made(batch._replace(target=gap), steps)
        assert bool(found.isfinite().all())
        assert not torch.equal(found, made(batch._replace(target=zero), steps))


def test_without_observing_the_target_it_is_no_input():
    data = ToyHydro()
    made = network(data, settings=dataclasses.replace(SMALL, observe_target=False))
    batch = batch_of(data)
    with torch.no_grad():
        steps = torch.tensor([59])
        assert torch.equal(
            made(batch, steps), made(batch._replace(target=torch.full_like(batch.target, torch.nan)), steps)
        )


def test_the_weather_decoder_sees_the_weather_up_to_the_lead():
    torch.manual_seed(3)
    for ahead, seen_at_first in ((3, 1), (15, 1)):
        decoder = WeatherDecoder(statistics=2, trunk_size=4, leads=[1, 5, 20], raw_size=3)
        torch.nn.init.normal_(decoder.out)
        weather, trunk = torch.randn(2, 1, ahead, 2), torch.randn(2, 1, 4)
        later = weather.clone()
        later[:, :, seen_at_first:] = torch.nan
        first, second = decoder(weather, trunk), decoder(later, trunk)
        assert torch.equal(first[:, :, 0], second[:, :, 0])
        assert not torch.equal(first[:, :, 1], second[:, :, 1])
        assert bool(second.isfinite().all())


def test_conditions_differ_with_a_word():
    made = HydroConditions.of(ToyHydro())
    assert made == HydroConditions.from_checkpoint(made.to_checkpoint())
    made.check(dataclasses.replace(made, seq_length=20, warmup=3))
    with pytest.raises(HydroDataDifferError, match=r"leads: the model was trained with \[1, 5, 20\]"):
        made.check(dataclasses.replace(made, leads=[1]))
    assert HydroConditions.of(object()) is None


def test_the_year_is_round():
    torch.testing.assert_close(
        year_features(torch.tensor(1.0)), year_features(torch.tensor(0.0)), atol=1e-5, rtol=0
    )
