import math

import pytest
import torch

from lightning_itwin.models.gw_embedding import EmbeddingSettings, folded_shape, make_embedding

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


@pytest.mark.parametrize("kind", KINDS)
def test_a_late_series_is_embedded_as_one_that_is_not(kind):
    network = made(kind).eval()
    strain = torch.randn(2, 3, 1024)
    strain = torch.fft.irfft(torch.fft.rfft(strain)[..., :512], 1024, norm="backward")  # without Nyquist's
    late = torch.tensor([[8, 8, 8], [-24, -24, -24]], dtype=torch.float64)
    rolled = torch.stack([strain[0].roll(8, -1), strain[1].roll(-24, -1)])
    wanted = network(strain, None, torch.zeros(2, 3, dtype=torch.float64))
    torch.testing.assert_close(network(rolled, None, late / 1024), wanted, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(wanted, network(strain), rtol=1e-3, atol=1e-4)
