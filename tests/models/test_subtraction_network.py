from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from lightning_itwin.models.subtraction_network import RefinementSettings, SubtractionNetwork, convolved
from lightning_itwin.subtraction.fitting import fit
from lightning_itwin.subtraction.noise_filter import NoiseFilter
from tests.subtraction.small_detector import BAND_HZ, RATE_HZ, stretch

SAMPLES = 8192


@cache
def closed() -> NoiseFilter:
    return fit(stretch(duration_s=96.0).data).filter


def network(settings: RefinementSettings | None = None) -> SubtractionNetwork:
    torch.manual_seed(0)
    made = SubtractionNetwork(closed(), settings or RefinementSettings()).double()
    values = stretch(duration_s=96.0).values
    made.look_at(values[:, : round(64 * RATE_HZ)], values.shape[1], BAND_HZ)
    return made


def predicted(made: SubtractionNetwork, witnesses: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return (made(torch.from_numpy(made.inputs(witnesses))[None])[0] * made.unit).numpy()


def witnesses() -> np.ndarray:
    return stretch(duration_s=96.0).values[1:, :SAMPLES]


def test_it_begins_as_the_closed_form() -> None:
    expected = closed()(witnesses())
    np.testing.assert_allclose(
        predicted(network(), witnesses()), expected, rtol=0, atol=1e-6 * expected.std()
    )


def test_a_gate_behind_the_path_multiplies_what_comes_out_of_it() -> None:
    made = network()
    gated = [at for at, one in enumerate(closed().features) if one.kind in ("product", "quadratic")]
    assert gated
    made.behind.data.fill_(1.0)
    facts, half = closed().library.facts, closed().taps.shape[1] // 2
    expected = closed()(witnesses())
    for at in gated:
        feature, taps = closed().features[at], closed().taps[at]
        slow = closed().library.slow(witnesses(), [feature.slow])[0]
        gain = slow if feature.kind == "product" else slow**2 - 1
        witness = facts[feature.fast]
        fast = (witnesses()[feature.fast] - witness.mean) / witness.deviation
        before, behind = (
            np.convolve(np.pad(one, half, mode="edge"), taps, mode="valid") for one in (gain * fast, fast)
        )
        expected = expected - before + gain * behind
    np.testing.assert_allclose(predicted(made, witnesses()), expected, rtol=0, atol=1e-6 * expected.std())


def test_a_moved_phase_is_another_wavelength() -> None:
    made = network()
    [(name, before)] = made.wavelengths
    made.phase.data.fill_(0.3)
    [(_, after)] = made.wavelengths
    assert after != before
    moved = [replace(one, wavelength=after) if one.wavelength else one for one in closed().features]
    expected = replace(closed(), features=moved)(witnesses())
    np.testing.assert_allclose(predicted(made, witnesses()), expected, rtol=0, atol=1e-6 * expected.std())
    [facts] = [one for one in closed().library.facts if one.name == name]
    turns = 4 * np.pi * facts.deviation * (1 / after - 1 / before)
    assert turns == pytest.approx(-0.3, rel=0.01)


def test_the_loss_of_what_is_left_white_does_not_see_how_loud_a_block_is() -> None:
    made = network()
    strain = torch.from_numpy(stretch(duration_s=96.0).values[:1, :SAMPLES]) / made.unit
    noise = torch.from_numpy(closed()(witnesses()))[None] / made.unit
    before, after = made.losses(strain, torch.zeros_like(noise)), made.losses(strain, noise)
    assert after.mean() < before.mean()
    assert abs(float(after.mean())) < 0.5
    torch.testing.assert_close(made.losses(2 * strain, 2 * noise), after + 2 * np.log(2.0))


def test_steps_against_the_gradient_move_everything() -> None:
    made = network()
    values = stretch(duration_s=96.0).values
    rows = torch.from_numpy(made.inputs(values[1:, : 2 * SAMPLES]))[None]
    strain = torch.from_numpy(values[:1, : 2 * SAMPLES]) / made.unit
    optimizer = torch.optim.Adam(made.groups(0.01))
    first = None
    for _ in range(8):
        loss = made.losses(strain, made(rows)).mean() + made.penalty()
        first = loss.detach() if first is None else first
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert made.losses(strain, made(rows)).mean() + made.penalty() < first  # type: ignore[operator]
    assert all(bool((one != 0).any()) for one in made.parameters())
    assert sum(one.numel() for one in made.parameters()) < 200_000


def test_more_responses_than_can_be_known_stay_as_they_are() -> None:
    library, taps = closed().library, np.zeros((400, 1107))
    many = NoiseFilter(library=library, features=[closed().features[0]] * 400, taps=taps)
    made = SubtractionNetwork(many, RefinementSettings())
    assert sum(one.numel() for one in made.parameters()) < 200_000
    assert not made.response.requires_grad


def test_parts_can_be_left_out() -> None:
    made = network(RefinementSettings(gate_size=0, residual_channels=0))
    assert made.gates is None
    assert made.residual is None
    expected = closed()(witnesses())
    np.testing.assert_allclose(predicted(made, witnesses()), expected, rtol=0, atol=1e-6 * expected.std())
    with pytest.raises(ValueError, match="gate_size"):
        RefinementSettings(gate_size=-1)


def test_rows_are_convolved_each_with_its_own_taps() -> None:
    rng = np.random.default_rng(0)
    series, taps = rng.standard_normal((2, 3, 50)), rng.standard_normal((3, 7))
    found = convolved(torch.from_numpy(series), torch.from_numpy(taps)).numpy()
    for row, made in zip(series, found):
        for values, own, result in zip(row, taps, made):
            padded = np.pad(values, 3, mode="edge")
            np.testing.assert_allclose(result, np.convolve(padded, own, mode="valid"), atol=1e-12)
