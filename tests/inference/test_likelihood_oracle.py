"""The likelihood against bilby's own, with real waveforms and real detectors' geometry."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from lightning_itwin.detectors import Observation, ObservationSettings, SignalModel
from lightning_itwin.inference.likelihood import GaussianLikelihood
from lightning_itwin.inference.prior import Prior
from lightning_itwin.waveforms import Binary, make_waveform

bilby = pytest.importorskip("bilby")
pytest.importorskip("lalsimulation")


@pytest.mark.parametrize(
    ("detectors", "approximant", "relative"),
    [
        (["ET"], "IMRPhenomPv2", 2e-6),
        (["H1", "L1"], "IMRPhenomPv2", 2e-6),
        (["ET"], "IMRPhenomXPHM", 2e-4),
    ],
)
def test_the_log_likelihood_ratio_is_bilbys(detectors: list[str], approximant: str, relative: float) -> None:
    settings = ObservationSettings(
        detectors=detectors,
        duration_s=4.0,
        sample_rate_hz=2048.0,
        minimum_frequency_hz=20.0,
        psds=["ET_D" if detectors == ["ET"] else "aLIGO_ZERO_DET_high_P"],
    )
    observation = Observation(settings)
    theirs, noise = bilby_likelihood(settings, observation, approximant)
    data = torch.from_numpy(noise).to(torch.complex64)
    prior = Prior.from_file("et_14" if detectors == ["ET"] else "ligo_bbh")
    model = SignalModel(make_waveform(f"lalsimulation:{approximant}"), observation)
    theta = prior.sample(6, seed=3)
    # With the first draw's signal in the data, the likelihoods are as large as at a detection.
    likelihood = GaussianLikelihood(model, prior)
    names, table = prior.with_fixed(theta[:1])
    data = data + model(Binary.from_table(names, table))[0]
    set_data(theirs, observation, data.to(torch.complex128).numpy())
    expected = []
    for row in theta.tolist():
        parameters = dict(zip(prior.names, row))
        parameters["geocent_time"] = parameters.get("geocent_time", 0.0) + settings.gps_time_s
        expected.append(ratio(theirs, parameters))
    found = likelihood.log_likelihood(theta, data)
    np.testing.assert_allclose(found, expected, atol=1e-2, rtol=relative)
    assert likelihood.log_noise_likelihood(data) == pytest.approx(theirs.noise_log_likelihood(), abs=1e-2)


def bilby_likelihood(settings, observation, approximant):  # type: ignore[no-untyped-def]
    names = observation.names if settings.detectors != ["ET"] else settings.detectors
    interferometers = bilby.gw.detector.InterferometerList(names)
    start_s = settings.gps_time_s + settings.after_merger_s - settings.duration_s
    for interferometer in interferometers:
        interferometer.minimum_frequency = settings.minimum_frequency_hz
        interferometer.power_spectral_density = bilby.gw.detector.PowerSpectralDensity(
            psd_file=f"{settings.psds[0]}_psd.txt"
        )
        interferometer.set_strain_data_from_zero_noise(
            settings.sample_rate_hz, settings.duration_s, start_time=start_s
        )
    lal, lalsimulation = pytest.importorskip("lal"), pytest.importorskip("lalsimulation")
    # The interpolation in frequency that XPHM has by default is good to 1e-3 of log L; it is turned off.
    exact = lal.CreateDict()
    lalsimulation.SimInspiralWaveformParamsInsertPhenomXHMThresholdMband(exact, 0.0)
    lalsimulation.SimInspiralWaveformParamsInsertPhenomXPHMThresholdMband(exact, 0.0)
    generator = bilby.gw.WaveformGenerator(
        duration=settings.duration_s,
        sampling_frequency=settings.sample_rate_hz,
        start_time=start_s,
        frequency_domain_source_model=bilby.gw.source.lal_binary_black_hole,
        parameter_conversion=bilby.gw.conversion.convert_to_lal_binary_black_hole_parameters,
        waveform_arguments={
            "waveform_approximant": approximant,
            "reference_frequency": 20.0,
            "minimum_frequency": settings.minimum_frequency_hz,
            "lal_waveform_dictionary": exact,
        },
    )
    random = np.random.default_rng(0)
    shape = (len(observation.names), len(observation.frequency_hz))
    noise = random.normal(size=shape) + 1j * random.normal(size=shape)
    return bilby.gw.GravitationalWaveTransient(interferometers, generator), noise


def set_data(likelihood, observation, whitened: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    deviation = observation.standard_deviation[0].to(torch.float64).numpy()
    for interferometer, row, scale in zip(likelihood.interferometers, whitened, deviation):
        strain = np.zeros(len(interferometer.frequency_array), dtype=complex)
        mask = interferometer.strain_data.frequency_mask
        frequencies = interferometer.frequency_array
        at = np.searchsorted(frequencies, observation.frequency_hz.numpy() - 1e-6)
        strain[at] = row * scale
        assert mask[at].all()
        interferometer.set_strain_data_from_frequency_domain_strain(
            strain,
            sampling_frequency=interferometer.sampling_frequency,
            duration=interferometer.duration,
            start_time=interferometer.start_time,
        )
        interferometer.minimum_frequency = float(observation.frequency_hz[0])


def ratio(likelihood, parameters: dict[str, float]) -> float:  # type: ignore[no-untyped-def]
    if "parameters" in inspect.signature(likelihood.log_likelihood_ratio).parameters:
        return likelihood.log_likelihood_ratio(parameters)
    likelihood.parameters.update(parameters)  # before bilby 2.7 or so
    return likelihood.log_likelihood_ratio()


@pytest.mark.parametrize(("approximant", "modes"), [("IMRPhenomPv2", (2,)), ("IMRPhenomXPHM", (1, 2, 3, 4))])
def test_a_real_waveform_turns_with_the_phase_as_its_modes_say(
    approximant: str, modes: tuple[int, ...]
) -> None:
    observation = Observation(
        ObservationSettings(duration_s=4.0, sample_rate_hz=2048.0, minimum_frequency_hz=20.0)
    )
    prior = Prior.from_file("et_14")
    likelihood = GaussianLikelihood(
        SignalModel(make_waveform(f"lalsimulation:{approximant}"), observation), prior, modes
    )
    theta = prior.sample(8, seed=5)
    data = 3 * torch.ones(3, len(observation.frequency_hz), dtype=torch.complex64)
    rest = [name != "phase" for name in prior.names]
    series = likelihood.phase_series(theta[:, rest], data)
    found = series.log_likelihood(theta[:, prior.names.index("phase")])
    torch.testing.assert_close(found, likelihood.log_likelihood(theta, data), rtol=2e-4, atol=0.05)
