from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lightning_itwin.inference.bilby_result import read
from lightning_itwin.inference.figures import corner_figure, sky_figure
from lightning_itwin.inference.importance import importance_weights
from lightning_itwin.inference.posterior import Posterior
from lightning_itwin.inference.prior import Prior
from lightning_itwin.inference.sky_map import write_sky_map
from lightning_itwin.optional import available

bilby = pytest.importorskip("bilby")

GPS_TIME_S = 1126259462.4


def posterior(weighted: bool = True, num: int = 2000) -> Posterior:
    prior = Prior.from_text(
        "chirp_mass = Uniform(minimum=20, maximum=60)\n"
        "ra = Uniform(minimum=0, maximum=2 * np.pi, boundary='periodic')\n"
        "dec = Cosine(name='dec')\n"
        "luminosity_distance = PowerLaw(alpha=2, minimum=100, maximum=1000)\n"
        "geocent_time = Uniform(minimum=-0.1, maximum=0.1)\n"
        "psi = 0.3\n"
    )
    random = np.random.default_rng(1)
    samples = prior.sample(num, seed=1).numpy()
    samples[:, 0] = 30 + random.normal(size=num)
    log_target = -0.5 * (samples[:, 0] - 30.5) ** 2
    plain = Posterior(
        samples=samples,
        names=tuple(prior.names),
        log_prob=-0.5 * (samples[:, 0] - 30) ** 2,
        log_prior=prior.log_prob(samples).numpy(),
        log_likelihood=log_target,
        log_noise_evidence=-1000.0,
        truth={"chirp_mass": 30.4, "ra": 1.0, "dec": 0.1, "luminosity_distance": 600.0, "geocent_time": 0.02},
        prior=prior,
        gps_time_s=GPS_TIME_S,
        label="event_7",
        settings={
            "observation": {"detectors": ["ET"], "psds": [["ET_D", "ET_B"]], "minimum_frequency_hz": 10.0},
            "waveform": "lalsimulation:IMRPhenomXPHM",
        },
    )
    return plain.with_weights(importance_weights(log_target, plain.log_prob)) if weighted else plain


@pytest.mark.parametrize("suffix", [".json", ".hdf5", ".h5"])
def test_bilby_reads_the_file(tmp_path: Path, suffix: str) -> None:
    if suffix != ".json":
        pytest.importorskip("h5py")
    ours = posterior()
    path = ours.write(tmp_path / "new" / f"event{suffix}")
    result = bilby.read_in_result(filename=str(path))
    assert type(result).__name__ == "Result"
    assert result.label == "event_7"
    assert result.log_bayes_factor == pytest.approx(ours.log_evidence)
    assert result.log_evidence == pytest.approx(ours.log_evidence - 1000)
    assert result.log_evidence_err == pytest.approx(ours.log_evidence_error)
    assert set(ours.names) <= set(result.posterior.columns)
    assert result.posterior["psi"].unique().tolist() == [0.3]
    assert abs(result.posterior["geocent_time"] - GPS_TIME_S).max() < 0.1 + 1e-6
    assert len(result.posterior) == round(ours.efficiency * len(ours))
    assert result.posterior["chirp_mass"].mean() == pytest.approx(30.5, abs=0.1)
    assert result.injection_parameters["geocent_time"] == pytest.approx(GPS_TIME_S + 0.02)
    assert result.injection_parameters["psi"] == 0.3
    assert result.priors["geocent_time"].minimum == pytest.approx(GPS_TIME_S - 0.1, abs=1e-6)
    assert result.search_parameter_keys == list(ours.names)
    assert len(result.nested_samples) == len(ours)
    np.testing.assert_allclose(result.nested_samples["weights"], ours.weights)
    assert result.meta_data["likelihood"] == {
        "f_low": 10.0,
        "waveform_arguments": {"waveform_approximant": "IMRPhenomXPHM", "minimum_frequency": 10.0},
    }
    facts = result.meta_data["lightning_itwin"]
    assert json.loads(facts["settings"]) == dict(ours.settings)
    assert facts["efficiency"] == pytest.approx(ours.efficiency)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("suffix", [".json", ".hdf5"])
def test_a_file_comes_back_whole(tmp_path: Path, suffix: str, weighted: bool) -> None:
    pytest.importorskip("h5py")
    ours = posterior(weighted)
    back = Posterior.read(ours.write(tmp_path / f"event{suffix}"))
    np.testing.assert_allclose(back.samples, ours.samples, rtol=1e-12, atol=3e-7)  # as a GPS time
    np.testing.assert_array_equal(back["chirp_mass"], ours["chirp_mass"])
    np.testing.assert_array_equal(back.log_prob, ours.log_prob)
    assert (back.log_weights is None) == (not weighted)
    if weighted:
        np.testing.assert_array_equal(back.log_weights, ours.log_weights)
    for name in ("efficiency", "log_evidence", "log_evidence_error", "pareto_k", "log_noise_evidence"):
        assert getattr(back, name) == (
            None if getattr(ours, name) is None else pytest.approx(getattr(ours, name))
        )
    assert back.truth == pytest.approx({**ours.truth, "psi": 0.3}, abs=3e-7)
    assert back.prior.settings() == ours.prior.settings()
    assert (back.label, back.gps_time_s, back.settings) == (ours.label, ours.gps_time_s, ours.settings)


def test_hdf5_holds_nothing_pickled(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = posterior().write(tmp_path / "event.hdf5")
    kinds = set()
    with h5py.File(path) as file:
        file.visititems(
            lambda _, entry: kinds.add(entry.dtype.kind) if isinstance(entry, h5py.Dataset) else None
        )
        text = json.loads(file["priors"][()])
    assert kinds <= set("fiuSbO")  # O: text of any length
    assert text["__prior_dict__"]


def test_writing_fails_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, filename: str, **settings: object) -> None:
        Path(filename).write_text("half", encoding="utf-8")
        raise OSError("no space left")

    monkeypatch.setattr(bilby.core.result.Result, "save_to_file", full)
    with pytest.raises(OSError, match="no space"):
        posterior().write(tmp_path / "event.json")
    assert list(tmp_path.iterdir()) == []


def test_a_stranger_and_a_wrong_ending_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.json, \.hdf5, \.h5"):
        posterior().write(tmp_path / "event.pkl")
    result = posterior().to_bilby()
    result.meta_data = {}
    result.save_to_file(filename=str(tmp_path / "theirs.json"))
    with pytest.raises(ValueError, match="did not write"):
        read(tmp_path / "theirs.json")
    with pytest.raises(ValueError, match="states the prior"):
        Posterior(samples=np.zeros((3, 1)), names=["x"]).to_bilby()


def test_samples_without_any_weight_are_refused() -> None:
    nothing = posterior().with_weights(importance_weights(np.full(2000, -math.inf), np.zeros(2000)))
    with pytest.raises(ValueError, match="missed the posterior"):
        nothing.to_bilby()
    assert nothing.table().endswith("Pareto k nan")


def test_quantiles_and_resampling_follow_the_weights() -> None:
    ours = posterior(num=20_000)
    low, middle, high = ours.quantiles("chirp_mass")
    assert middle == pytest.approx(30.5, abs=0.05)
    assert high - low == pytest.approx(2 * 1.645, abs=0.12)
    assert ours.resampled(500, seed=1)[:, 0].mean() == pytest.approx(30.5, abs=0.15)
    unweighted = posterior(weighted=False)
    assert unweighted.resampled() is unweighted.samples or np.array_equal(
        unweighted.resampled(), unweighted.samples
    )


def test_the_table_names_median_interval_and_truth() -> None:
    lines = posterior().table().splitlines()
    assert lines[0].split() == ["parameter", "median", "5", "%", "95", "%", "truth"]
    assert lines[1].split()[0] == "chirp_mass"
    assert lines[1].split()[-1] == "30.4"
    assert "efficiency" in lines[-1]
    assert "published" in posterior().table({"chirp_mass": 31.2}).splitlines()[0]


def test_shapes_and_names_are_checked() -> None:
    with pytest.raises(ValueError, match="Samples of 2 parameters"):
        Posterior(samples=np.zeros((3, 1)), names=["x", "y"])
    with pytest.raises(ValueError, match="log_prob holds"):
        Posterior(samples=np.zeros((3, 1)), names=["x"], log_prob=np.zeros(4))
    with pytest.raises(KeyError, match="y is not among x"):
        Posterior(samples=np.zeros((3, 1)), names=["x"])["y"]


def test_corner_plot_and_sky_are_drawn() -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("corner")
    ours = posterior()
    assert len(corner_figure(ours).axes) == 25
    assert len(corner_figure(ours, ["chirp_mass", "dec"]).axes) == 4
    assert len(sky_figure(ours).axes) == 1
    with pytest.raises(ValueError, match="no sky map"):
        sky_figure(Posterior(samples=np.zeros((3, 1)), names=["x"]))


def test_figures_of_a_handful_of_effective_samples_say_so() -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("corner")
    ours = posterior()
    one_weighs_all = np.where(np.arange(len(ours)) == 3, 0.0, -50.0)
    weighed = replace(ours, log_weights=one_weighs_all)
    told = corner_figure(weighed, ["chirp_mass", "dec"]).get_suptitle()
    assert told == "samples without their weights, which leave only 1.0 effective ones"
    assert told in sky_figure(weighed).axes[0].get_title()
    plain = replace(ours, log_weights=None)
    assert not corner_figure(plain, ["chirp_mass", "dec"]).get_suptitle()
    assert sky_figure(plain).axes[0].get_title() == plain.label


@pytest.mark.skipif(not available("ligo.skymap"), reason="ligo.skymap is not installed")
def test_a_sky_map_holds_the_whole_probability(tmp_path: Path) -> None:
    from ligo.skymap.io import read_sky_map

    ours = posterior(num=400)
    path = write_sky_map(ours, tmp_path / "event.fits")
    probability, header = read_sky_map(str(path), distances=False)
    assert probability.sum() == pytest.approx(1, abs=1e-6)
    assert header["objid"] == "event_7"


def test_a_sky_map_says_which_extra_it_needs(tmp_path: Path) -> None:
    if available("ligo.skymap"):
        pytest.skip("ligo.skymap is installed")
    with pytest.raises(ImportError, match="skymap"):
        write_sky_map(posterior(), tmp_path / "event.fits")
