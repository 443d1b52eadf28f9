from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal

from lightning_itwin.models.deep_clean import DeepCleanNetwork, median_psd

RATE_HZ, BAND_HZ = 512.0, (20.0, 200.0)


def test_it_has_the_published_number_of_parameters() -> None:
    assert sum(one.numel() for one in DeepCleanNetwork(10, 1024.0, (10.0, 450.0)).parameters()) == 40_111


@pytest.mark.parametrize("samples", [4096, 5000, 1024])
def test_spectra_are_those_of_scipy(samples: int) -> None:
    series = torch.randn(3, samples, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    frequency_hz, psd = signal.welch(series.numpy(), RATE_HZ, nperseg=1024, average="median")
    inside = (frequency_hz >= BAND_HZ[0]) & (frequency_hz < BAND_HZ[1])
    np.testing.assert_allclose(median_psd(series, RATE_HZ, 2.0, BAND_HZ).numpy(), psd[:, inside], rtol=1e-10)


def test_the_loss_is_the_share_of_the_asd_that_is_left() -> None:
    network = DeepCleanNetwork(2, RATE_HZ, BAND_HZ).double()
    strain = torch.randn(2, 4096, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert network.losses(strain, torch.zeros_like(strain)).mean() == pytest.approx(1.0)
    inside = signal.oaconvolve(
        np.pad(strain.numpy(), ((0, 0), (128, 128)), mode="edge"),
        network.band_pass.numpy(),
        mode="valid",
        axes=1,
    )
    assert network.losses(strain, 0.25 * torch.from_numpy(inside)).mean() == pytest.approx(0.75, rel=1e-6)


def test_it_predicts_windows_of_any_length_and_learns_their_scale() -> None:
    network = DeepCleanNetwork(2, RATE_HZ, BAND_HZ)
    values = 1e-21 * np.random.default_rng(0).standard_normal((3, 4096))
    network.look_at(values, 4096, BAND_HZ)
    assert float(network.unit) == pytest.approx(1e-21 * np.sqrt(180 / 256), rel=0.05)
    rows = torch.from_numpy(network.inputs(values[1:, :1001])).float()[None]
    assert network(rows).shape == (1, 1001)
    assert network(rows).abs().max() > 0
