"""Response of the strain to a witness of glitches: shape, silence, and its solution in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from lightning_itwin.models.glitch_response import GlitchResponse, ResponseSettings, WitnessGate, convolve
from lightning_itwin.models.glitch_sums import LagSums, fit_response
from tests.models.glitch_instrument import RATE_HZ, glitches, path_taps

SETTINGS = ResponseSettings(channels=2, saturations=3, before_s=0.01, after_s=0.06)


def test_convolve_is_a_convolution() -> None:
    generator = torch.Generator().manual_seed(0)
    series = torch.randn(2, 50, generator=generator, dtype=torch.float64)
    kernel = torch.randn(7, generator=generator, dtype=torch.float64)
    expected = functional.conv1d(functional.pad(series[:, None], (6, 6)), kernel.flip(0)[None, None])[:, 0]
    torch.testing.assert_close(convolve(series, kernel, 2), expected[:, 2:52])


def test_the_gate_is_exactly_shut_in_noise_and_open_at_a_burst() -> None:
    noise = torch.randn(8, 1, 2048, generator=torch.Generator().manual_seed(1))
    gate = WitnessGate(1024.0, ResponseSettings())
    assert not gate(noise, torch.ones(1)).any()
    noise[0, 0, 1000:1040] += 10.0
    opening = gate(noise, torch.ones(1))
    assert opening[0, 0, 1000:1040].min() == pytest.approx(1.0)
    assert not opening[0, 0, :900].any()
    assert not opening[1:].any()


def windows(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    samples = count * 1024
    seen = glitches(samples, 0.5, rng)
    truth = 8.0 * np.convolve(np.tanh(seen), path_taps())[:samples]
    strain = truth + rng.standard_normal(samples)
    channels = np.stack([rng.standard_normal(samples), (seen + 0.02 * rng.standard_normal(samples)) / 0.02])
    cut = [torch.tensor(one).float() for one in (channels, strain, truth)]
    return (
        cut[0].view(2, count, 1024).transpose(0, 1),
        cut[1].view(count, 1024),
        cut[2].view(count, 1024),
    )


def test_the_response_is_found_in_noise_and_the_dummy_is_not() -> None:
    witnesses, strain, _ = windows(300, 2)
    response = GlitchResponse(RATE_HZ, SETTINGS)

    def batches():
        half = torch.arange(300) // 50 % 2
        return zip(witnesses.split(50), strain.split(50), half.split(50))

    explained = fit_response(response, batches, 2, lambda sums: sums, lambda rows: rows)
    assert explained[0] == 0.0
    assert explained[1] > 1000.0
    assert int(response.selected[0]) == 1
    assert not response.kernel[1].any()
    unseen, _, truth = windows(60, 3)
    mean, physical = response(unseen)
    torch.testing.assert_close(mean, physical)  # no whitening was set
    product = (mean * truth).sum() / (mean.norm() * truth.norm())
    assert product > 0.995
    quiet = unseen[:, 1].abs().amax(dim=1) < 5.0
    assert quiet.any()
    assert not mean[quiet].any()


def test_sums_of_two_processes_are_those_of_one() -> None:
    witnesses, strain, _ = windows(40, 4)
    features = witnesses[:, None].double()
    whole, first, second = (LagSums(1, 2, 3, 9) for _ in range(3))
    half = torch.arange(10) % 2
    for number, (feature, target) in enumerate(zip(features.split(10), strain.split(10))):
        whole.update(feature, target, half)
        (first if number < 2 else second).update(feature, target, half)
    torch.testing.assert_close(whole.auto, first.auto + second.auto)
    torch.testing.assert_close(whole.cross, first.cross + second.cross)


def test_sums_solve_least_squares() -> None:
    generator = torch.Generator().manual_seed(5)
    series = torch.randn(40, 1, 2, 512, generator=generator, dtype=torch.float64)
    series[..., :12] = series[..., -12:] = 0.0  # so that no response leaves the window
    taps = torch.randn(2, 9, generator=generator, dtype=torch.float64)
    target = convolve(series[:, 0], taps, 3).sum(dim=1)
    sums = LagSums(1, 2, 3, 9)
    for feature, aim in zip(series.split(10), target.split(10)):
        sums.update(feature, aim, torch.arange(10) % 2)
    found, explained = sums.solve(0)
    torch.testing.assert_close(found, taps, rtol=1e-3, atol=1e-3)
    assert explained == pytest.approx(float(target.square().sum()), rel=1e-3)


def test_a_state_brings_the_whitening_filter_along() -> None:
    response, other = GlitchResponse(RATE_HZ, SETTINGS), GlitchResponse(RATE_HZ, SETTINGS)
    response.whitening = torch.tensor([0.1, 1.0, 0.1])
    other.load_state_dict(response.state_dict())
    torch.testing.assert_close(other.whitening, response.whitening)


@pytest.mark.parametrize(
    "options",
    [{"channels": 0}, {"saturations": 0}, {"before_s": 0.0}, {"quiet_below": 4.0}, {"quiet_below": 0.5}],
)
def test_refuses_settings(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        ResponseSettings(**options)  # type: ignore[arg-type]
