from __future__ import annotations

import numpy as np
import pytest
import torch

from lightning_itwin.detectors.noise import device_noise, seeded_noise


def test_an_events_noise_depends_on_its_seed_alone() -> None:
    batch = seeded_noise([(5, index) for index in range(6)], (3, 50))
    again = seeded_noise([(5, 4), (5, 1)], (3, 50))
    assert torch.equal(batch[[4, 1]], again)
    assert not torch.equal(batch[0], seeded_noise([(6, 0)], (3, 50))[0])
    assert batch.shape == (6, 3, 50)


def test_seeded_noise_is_normal_and_its_parts_are_not_related() -> None:
    stats = pytest.importorskip("scipy.stats")
    noise = seeded_noise([1, 2], (2, 100_000))
    parts = torch.view_as_real(noise).double()
    for values in parts.reshape(-1, 2).unbind(1):
        assert values.mean().abs() < 0.01
        assert values.var().item() == pytest.approx(1.0, abs=0.01)
        assert stats.kstest(values.numpy(), "norm").pvalue > 0.01
        assert 4.2 < values.abs().max() < 6.7
    related = np.corrcoef(parts.flatten(-2).reshape(4, -1).numpy())
    assert np.abs(related - np.eye(4)).max() < 0.01
    assert np.corrcoef(parts[..., 0].ravel(), parts[..., 1].ravel())[0, 1] == pytest.approx(0, abs=0.01)
    assert np.corrcoef(parts[..., 0].ravel() ** 2, parts[..., 1].ravel() ** 2)[0, 1] == pytest.approx(
        0, abs=0.01
    )


def test_a_generator_gives_unit_variance_in_both_parts() -> None:
    noise = device_noise(4, (3, 20_000), torch.Generator().manual_seed(1))
    assert noise.dtype == torch.complex64
    assert noise.real.var().item() == pytest.approx(1.0, abs=0.01)
    assert noise.imag.var().item() == pytest.approx(1.0, abs=0.01)
    again = device_noise(4, (3, 20_000), torch.Generator().manual_seed(1))
    assert torch.equal(noise, again)
