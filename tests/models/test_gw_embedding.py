import math

import pytest
import torch

from lightning_itwin.models.gw_embedding import (
    EmbeddingSettings,
    SpectrumProjection,
    folded_shape,
    independent_channels,
    make_embedding,
    singular_vectors,
)

ARMS = ["ET1", "ET2", "ET3"]
KINDS = ("folded", "folded_lean", "svd")


def small(kind, **changed):
    sizes = {"context_features": 8, "width": 4, "svd_components": 5, "hidden_features": 16, "num_blocks": 2}
    return EmbeddingSettings(kind=kind, **{**sizes, **changed})


def made(kind, extra_features=0, samples=1024):
    torch.manual_seed(0)
    return make_embedding(
        small(kind), detectors=ARMS, samples=samples, bins=(10, 200), extra_features=extra_features
    )


def test_the_reference_system_has_about_two_million_parameters():
    settings = EmbeddingSettings()
    with torch.device("meta"):
        network = make_embedding(settings, detectors=ARMS, samples=65536, bins=(80, 32768))
    assert network.shape == (256, 256)
    assert 2.0e6 < sum(parameter.numel() for parameter in network.parameters()) < 2.4e6


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_features_and_gradients(kind):
    network = made(kind, extra_features=3)
    features = network(torch.randn(6, 3, 1024), torch.randn(6, 3))
    assert features.shape == (6, 8)
    features.square().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_alone_is_the_event_in_a_batch_and_keeps_its_nan_to_itself(kind):
    network = made(kind).eval()
    strain = torch.randn(4, 3, 1024)
    strain[2] = math.nan
    features = network(strain)
    torch.testing.assert_close(features[:1], network(strain[:1]), rtol=1e-4, atol=1e-5)
    assert torch.isnan(features).any(dim=1).tolist() == [False, False, True, False]


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_is_close(kind):
    network = made(kind).eval()
    strain = torch.randn(4, 3, 1024)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = network(strain)
    assert features.dtype == torch.bfloat16
    torch.testing.assert_close(features.float(), network(strain), rtol=0.05, atol=0.05)


def test_series_that_do_not_fold_are_refused():
    assert folded_shape(24 * 1000) == (150, 160)
    with pytest.raises(ValueError, match="power of two"):
        folded_shape(2 * 8191)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="kind"):
        EmbeddingSettings(kind="fold")
    with pytest.raises(ValueError, match="at least 1"):
        EmbeddingSettings(width=0)
    with pytest.raises(ValueError, match=r"dropout"):
        EmbeddingSettings(dropout=1.0)


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
