import math

import torch

from lightning_itwin.models.gw_projection import (
    SpectrumProjection,
    independent_channels,
    shifted_back,
    singular_vectors,
)

ARMS = ["ET1", "ET2", "ET3"]


def test_a_triangle_has_two_channels_and_no_null_stream():
    mixing = independent_channels(["H1", *ARMS, "L1"])
    assert mixing.shape == (4, 5)
    torch.testing.assert_close(mixing @ mixing.T, torch.eye(4))
    torch.testing.assert_close(mixing @ torch.tensor([0.0, 1.0, 1.0, 1.0, 0.0]), torch.zeros(4))
    assert torch.equal(independent_channels(["H1", "L1"]), torch.eye(2))


def signals(rank, num=40, bins=190):
    torch.manual_seed(1)
    return torch.randn(num, rank, dtype=torch.complex64) @ torch.randn(rank, 2 * bins, dtype=torch.complex64)


def test_singular_vectors_hold_all_power_of_signals_of_low_rank():
    spectra = signals(rank=5).view(40, 2, 190)
    basis = singular_vectors(spectra, 7)
    assert basis.shape == (2, 190, 7)
    kept = torch.einsum("bcf,cfn->bcn", spectra, basis)
    torch.testing.assert_close(kept.abs().square().sum(-1), spectra.abs().square().sum(-1), rtol=1e-3, atol=0)
    few = singular_vectors(spectra[:3], 7)
    assert few.shape == (2, 190, 7)
    assert not few[..., 3:].any()


def test_the_projection_starts_as_the_basis_and_keeps_noise_at_unit_variance():
    projection = SpectrumProjection(["H1", "L1"], (10, 200), 5)
    basis = singular_vectors(signals(rank=5).view(40, 2, 190), 5)
    projection.start_from(basis)
    spectra = torch.randn(3, 2, 1024 // 2 + 1, dtype=torch.complex64)
    spectra[..., :10], spectra[..., 200:] = 0, 0
    series = torch.fft.irfft(spectra, 1024) * math.sqrt(512)
    wanted = torch.einsum("bcf,cfn->bcn", spectra[..., 10:200], basis)
    parts = projection(series).view(3, 2, 2, 5)
    torch.testing.assert_close(torch.complex(parts[:, :, 0], parts[:, :, 1]), wanted, rtol=1e-4, atol=1e-4)
    noise = projection(torch.randn(4000, 2, 1024))
    torch.testing.assert_close(noise.var(dim=0), torch.ones(20), rtol=0.15, atol=0)


def test_a_series_is_shifted_back_by_as_much_as_it_is_late():
    series = torch.fft.irfft(torch.randn(3, 2, 513, dtype=torch.complex64)[..., :512], 1024)
    late = torch.tensor([[0, 3], [-5, 100], [512, 1]], dtype=torch.float64)
    rolled = torch.stack(
        [torch.stack([one.roll(int(by)) for one, by in zip(*pair)]) for pair in zip(series, late)]
    )
    spectra = torch.fft.rfft(rolled)[..., 7:300]
    wanted = torch.fft.rfft(series)[..., 7:300]
    torch.testing.assert_close(shifted_back(spectra, late / 1024, 7), wanted, rtol=1e-3, atol=1e-3)
