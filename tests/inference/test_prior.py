from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

from lightning_itwin.inference.prior import Prior
from lightning_itwin.waveforms import Binary
from lightning_itwin.waveforms.constants import SOLAR_MASS_S
from lightning_itwin.waveforms.phenom_pv2 import IMRPhenomPv2
from tests.no_copies import no_copies_from_the_host

bilby = pytest.importorskip("bilby")

REST = "luminosity_distance = 1000\nra = 1\ndec = 0.5\npsi = 1\ntheta_jn = 0.4\nphase = 1"
CONSTRAINED = """
# masses within bounds
chirp_mass = Uniform(minimum=20, maximum=60)
mass_ratio = Uniform(minimum=0.1, maximum=1)
mass_1 = Constraint(minimum=30, maximum=60)
mass_2 = Constraint(minimum=20, maximum=60)
"""


@pytest.mark.parametrize("name", ["et_14", "et_small", "ligo_bbh"])
def test_a_packaged_prior_samples_and_weighs_as_bilby_does(name: str) -> None:
    prior = Prior.from_file(name)
    theirs = prior.to_bilby()
    uniforms = np.random.default_rng(1).random((200, len(prior.names)))
    theta = prior.rescale(uniforms)
    for column, parameter in enumerate(prior.names):
        np.testing.assert_array_equal(theta[:, column], theirs[parameter].rescale(uniforms[:, column]))
    samples = {parameter: theta[:, column].numpy() for column, parameter in enumerate(prior.names)}
    np.testing.assert_allclose(prior.log_prob(theta), theirs.ln_prob(samples, axis=0), atol=1e-12)
    np.testing.assert_allclose(prior.cdf(theta), uniforms, atol=1e-9)


def test_latex_of_a_unit_is_no_matter_of_pythons() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Prior("chirp_mass = Uniform(name='chirp_mass', minimum=20, maximum=60, unit='$M_{\\odot}$')\n")


def test_the_reference_system_has_its_fourteen_parameters() -> None:
    prior = Prior.from_file("et_14")
    assert len(prior.names) == 14
    assert not prior.fixed
    assert prior.periodic == {
        name: pytest.approx(math.pi if name == "psi" else 2 * math.pi)
        for name in ("ra", "psi", "phi_12", "phi_jl", "phase")
    }
    assert prior.minimum[prior.names.index("chirp_mass")] == 20
    assert prior.maximum[prior.names.index("chirp_mass")] == 60


def test_an_event_is_the_same_whatever_is_drawn_beside_it() -> None:
    for prior in (Prior.from_file("et_14"), Prior(CONSTRAINED)):
        together = prior.sample(500, seed=7)
        torch.testing.assert_close(prior.sample(20, seed=7, first=400), together[400:420], rtol=0, atol=0)
        torch.testing.assert_close(
            prior.sample_events([499, 3, 250], seed=7), together[[499, 3, 250]], rtol=0, atol=0
        )
        assert not torch.equal(prior.sample(500, seed=8), together)


def test_draws_follow_the_prior() -> None:
    stats = pytest.importorskip("scipy.stats")
    prior = Prior.from_file("et_14")
    uniforms = prior.cdf(prior.sample(4000, seed=11)).numpy()
    p_values = [stats.kstest(column, "uniform").pvalue for column in uniforms.T]
    assert stats.combine_pvalues(p_values).pvalue > 0.01
    correlation = np.corrcoef(uniforms.T) - np.eye(14)
    assert np.abs(correlation).max() < 5 / math.sqrt(4000)


def test_constraints_are_kept_and_normalised_as_bilby_does() -> None:
    prior = Prior(CONSTRAINED)
    theta = prior.sample(2000, seed=2)
    mass_1 = theta[:, 0] * (1 + theta[:, 1]) ** 0.2 / theta[:, 1] ** 0.6
    assert ((mass_1 >= 30) & (mass_1 <= 60)).all()
    assert ((mass_1 * theta[:, 1] >= 20) & (mass_1 * theta[:, 1] <= 60)).all()
    bilby.core.utils.random.seed(1)
    samples = {"chirp_mass": theta[:, 0].numpy(), "mass_ratio": theta[:, 1].numpy()}
    # bilby estimates the normalisation anew from some 10,000 draws and rounds it.
    np.testing.assert_allclose(prior.log_prob(theta), prior.to_bilby().ln_prob(samples, axis=0), atol=0.02)
    assert prior.log_prob(torch.tensor([[21.0, 0.15]])).item() == -math.inf


def test_the_density_is_minus_infinity_outside_and_for_nan() -> None:
    prior = Prior.from_file("et_small")
    theta = prior.sample(3, seed=0)
    theta[0, 0], theta[1, 2] = 100.0, math.nan
    log_prob = prior.log_prob(theta)
    assert log_prob[0] == log_prob[1] == -math.inf
    assert torch.isfinite(log_prob[2])


def test_gps_times_become_relative_and_come_back() -> None:
    gps_time_s = 1126259462.4
    text = f"chirp_mass = 30\ngeocent_time = Uniform(minimum={gps_time_s - 0.1}, maximum={gps_time_s + 0.1})"
    prior = Prior(text, gps_time_s=gps_time_s)
    assert prior.minimum.item() == pytest.approx(-0.1, abs=1e-6)
    again = Prior.from_text(prior.settings())
    torch.testing.assert_close(again.sample(9, seed=1), prior.sample(9, seed=1), rtol=0, atol=0)
    theirs = prior.to_bilby(gps_time_s)["geocent_time"]
    assert theirs.maximum == pytest.approx(gps_time_s + 0.1, abs=1e-6)
    with pytest.raises(ValueError, match="give gps_time_s"):
        Prior(text)


def test_fixed_parameters_join_the_table() -> None:
    prior = Prior.from_file("et_small")
    names, table = prior.with_fixed(prior.sample(4, seed=0))
    assert names == [*prior.names, "ra", "dec", "psi"]
    assert table.shape == (4, 8)
    assert table[:, 6].tolist() == [-0.5] * 4


def test_settings_make_the_same_prior_and_parameters_can_be_left_out() -> None:
    prior = Prior.from_file("ligo_bbh")
    assert Prior.from_text(prior.settings()).settings() == prior.settings()
    assert prior.without("phase").names == [name for name in prior.names if name != "phase"]
    with pytest.raises(ValueError, match="lambda_1"):
        prior.without("lambda_1")


def test_moments_are_those_of_the_distributions() -> None:
    mean, deviation = Prior.from_file("et_small").moments
    assert mean[0].item() == pytest.approx(45, abs=0.1)
    assert deviation[0].item() == pytest.approx(30 / math.sqrt(12), rel=0.01)


def test_a_prior_outside_the_training_prior_is_refused() -> None:
    training = Prior.from_file("et_small")
    text = training.settings()
    Prior(text.replace("minimum=30", "minimum=35")).check_inside(training)
    with pytest.raises(ValueError, match=r"chirp_mass.*reaches beyond"):
        Prior(text.replace("maximum=60", "maximum=61")).check_inside(training)
    with pytest.raises(ValueError, match=r"fixes dec at -0\.4"):
        Prior(text.replace("-0.5", "-0.4")).check_inside(training)
    with pytest.raises(ValueError, match="frees"):
        training.without("phase").check_inside(training)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no parameter"),
        ("chirp_mass", "Line 1"),
        ("chirp_mass = Uniform(1, 2", "cannot be read"),
        ("chirp_mass = 30", "no parameter free"),
        ("chirp_mass = Uniform(0, 1)\nchirp_mass = 3", "twice"),
        ("chirp_mass = Nonsense(0, 1)", "bilby"),
        ("dec = Cosine()", "bilby cannot read"),
        ("chirp_mass = Uniform(minimum=0, maximum=__import__('os').getpid())", "may hold numbers"),
        ("chirp_mass = os.system('true')", "may hold numbers"),
        ("chirp_mass = Uniform(minimum=0, maximum=(lambda: 1)())", "may hold numbers"),
        ("chirp_mass = bilby.core.prior.__init__(1)", "may hold numbers"),
        (
            "mass_ratio = bilby.core.prior.ConditionalUniform(condition_func=None, minimum=0, maximum=1)",
            "depends on other",
        ),
    ],
)
def test_a_bad_prior_file_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Prior(text)


def test_a_file_that_is_not_there_is_refused_with_the_names_of_those_that_are() -> None:
    with pytest.raises(ValueError, match="et_14, et_small, ligo_bbh"):
        Prior.from_file("no_such_prior")


@pytest.mark.parametrize(
    ("masses", "lightest_msun"),
    [
        ({"chirp_mass": (20, 60), "symmetric_mass_ratio": (0.1, 0.25)}, 20 / 0.25**0.6),
        ({"chirp_mass": (20, 60), "mass_ratio": (0.1, 0.8)}, 20 * 1.8**1.2 / 0.8**0.6),
        ({"mass_1": (30, 50), "mass_2": (10, 30)}, 40),
        ({"total_mass": (70, 70.001), "mass_ratio": (0.1, 1)}, 70),
    ],
)
def test_it_knows_the_highest_frequency_of_a_signal(
    masses: dict[str, tuple[float, float]], lightest_msun: float
) -> None:
    waveform = IMRPhenomPv2()
    free = [f"{name} = Uniform(minimum={low}, maximum={high})" for name, (low, high) in masses.items()]
    prior = Prior("\n".join([*free, REST]))
    highest_hz = prior.highest_frequency_hz(waveform)
    assert highest_hz == pytest.approx(0.2 / (lightest_msun * SOLAR_MASS_S), rel=1e-9)
    binary = Binary.from_table(*prior.with_fixed(prior.sample(1000, seed=1)))
    assert waveform.highest_frequency_hz(binary) <= highest_hz * (1 + 1e-12)


def test_it_does_not_know_the_highest_frequency_of_masses_without_bounds() -> None:
    prior = Prior(f"mass_1 = Gaussian(mu=30, sigma=1)\nmass_ratio = 0.8\n{REST}")
    assert prior.highest_frequency_hz(IMRPhenomPv2()) is None
    bounded = Prior(f"mass_1 = Uniform(minimum=30, maximum=40)\nmass_ratio = 0.8\n{REST}")
    assert bounded.highest_frequency_hz(lambda binary, frequency_hz: None) is None


def test_fixed_parameters_are_added_without_a_copy_from_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    free = Prior.from_file("et_14").settings().splitlines()
    kept = [line for line in free if not line.startswith(("a_1 ", "psi "))]
    prior = Prior("\n".join([*kept, "a_1 = 0.25", "psi = 0.5"]))
    assert prior.fixed == {"a_1": 0.25, "psi": 0.5}
    theta = prior.sample(3, seed=0)
    _, table = prior.with_fixed(theta)
    assert table[:, len(prior.names) :].tolist() == 3 * [list(prior.fixed.values())]
    theta = theta.to("meta")
    with no_copies_from_the_host(monkeypatch):
        found = Binary.from_table(*prior.with_fixed(theta))
    assert found.mass_1_msun.shape == (3,)
