from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from lightning_itwin.detectors import Observation, ObservationSettings, RecordedSignals, SignalModel
from lightning_itwin.waveforms import Binary, make_waveform
from lightning_itwin.waveforms.lalsimulation_waveform import LALSimulationWaveform
from tests import stand_in_graph
from tests.no_copies import no_copies_from_the_host
from tests.waveforms.draws import NAMES, draw_binaries, draw_table

# A GPS time in float64 has steps of 2.4e-7 s, as long as a phase of 1e-4 at 100 Hz. bilby adds the two
# times up; with this one and times in steps of 1/1024 s nothing is rounded.
GPS_S = 1126259462.0
NETWORKS = {"triangle": (["ET"], "ET_D"), "two far apart": (["H1", "L1"], "aLIGO_O4_high")}


def settings(network: str, **values: Any) -> ObservationSettings:
    detectors, psd = NETWORKS[network]
    band = {"minimum_frequency_hz": 20.0, "maximum_frequency_hz": 1024.0, "sample_rate_hz": 4096.0}
    chosen = {"detectors": detectors, "psds": [psd], "gps_time_s": GPS_S} | band | values
    return ObservationSettings(**chosen)


def bilby_parameters(values: list[float]) -> dict[str, float]:
    conversion = pytest.importorskip("bilby.gw.conversion")
    parameters = dict(zip(NAMES, values))
    parameters["geocent_time"] += GPS_S
    return conversion.convert_to_lal_binary_black_hole_parameters(parameters)[0]


def bilby_generator(chosen: ObservationSettings, approximant: str) -> Any:
    bilby = pytest.importorskip("bilby")
    bilby.core.utils.logger.setLevel("ERROR")
    return bilby.gw.WaveformGenerator(
        duration=chosen.duration_s,
        sampling_frequency=chosen.sample_rate_hz,
        frequency_domain_source_model=bilby.gw.source.lal_binary_black_hole,
        waveform_arguments={
            "waveform_approximant": approximant,
            "reference_frequency": 20.0,
            "minimum_frequency": chosen.minimum_frequency_hz,
            "maximum_frequency": chosen.maximum_frequency_hz,
        },
    )


def bilby_detectors(chosen: ObservationSettings) -> Any:
    bilby = pytest.importorskip("bilby")
    detectors = bilby.gw.detector.InterferometerList(chosen.detectors)
    for one in detectors:
        one.minimum_frequency = chosen.minimum_frequency_hz
        one.maximum_frequency = chosen.maximum_frequency_hz
        one.set_strain_data_from_zero_noise(
            chosen.sample_rate_hz, chosen.duration_s, start_time=chosen.start_time_s
        )
    return detectors


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("approximant", ["IMRPhenomPv2", "IMRPhenomXPHM"])
def test_signals_and_snr_are_those_of_bilby(network: str, approximant: str) -> None:
    chosen = settings(network)
    detectors, generator = bilby_detectors(chosen), bilby_generator(chosen, approximant)
    observation = Observation(chosen)
    theta = draw_table(3, seed=1)
    signals = SignalModel(LALSimulationWaveform(approximant, 20.0, None), observation)(
        Binary.from_table(NAMES, theta)
    )
    band = slice(observation.first, observation.first + observation.num_frequencies)
    for signal, values in zip(signals, theta.tolist()):
        parameters = bilby_parameters(values)
        polarisations = generator.frequency_domain_strain(parameters)
        for number, one in enumerate(detectors):
            response = one.get_detector_response(polarisations, parameters)
            truth = torch.from_numpy(response[band]) / observation.standard_deviation[0, number]
            assert (signal[number] - truth).norm() < 1e-6 * truth.norm()
            snr_squared = one.optimal_snr_squared(response).real
            assert signal[number].abs().pow(2).sum().item() == pytest.approx(snr_squared, rel=1e-5)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_likelihood_is_that_of_bilby(network: str) -> None:
    bilby = pytest.importorskip("bilby")
    chosen = settings(network)
    detectors, generator = bilby_detectors(chosen), bilby_generator(chosen, "IMRPhenomPv2")
    observation = Observation(chosen)
    theta = draw_table(4, seed=2)
    theta[:, 1:] = theta[:1, 1:] + 0.01 * (theta[:, 1:] - theta[:1, 1:])
    theta[:, -1] = (theta[:, -1] * 1024).round() / 1024
    theta[:, 0] = 30.0 + torch.arange(4) / 10
    model = SignalModel(make_waveform("IMRPhenomPv2"), observation)
    signals = model(Binary.from_table(NAMES, theta)).to(torch.complex128)
    data = signals[0] + observation.noise(1, [(3, 1)])[0]
    for number, one in enumerate(detectors):
        strain = np.zeros(observation.samples // 2 + 1, dtype=complex)
        band = slice(observation.first, observation.first + observation.num_frequencies)
        strain[band] = data[number].numpy() * observation.standard_deviation[0, number].numpy()
        one.set_strain_data_from_frequency_domain_strain(
            strain, chosen.sample_rate_hz, chosen.duration_s, start_time=chosen.start_time_s
        )
    likelihood = bilby.gw.likelihood.GravitationalWaveTransient(detectors, generator)
    for signal, values in zip(signals, theta.tolist()):
        made = (data.conj() * signal).real.sum() - signal.abs().pow(2).sum() / 2
        truth = likelihood.log_likelihood_ratio(bilby_parameters(values))
        assert made.item() == pytest.approx(truth, rel=1e-6, abs=1e-3)


def test_frequencies_where_the_signal_is_zero_are_filled_with_zeros() -> None:
    pytest.importorskip("bilby")
    observation = Observation(settings("triangle"))
    binary = draw_binaries(2, seed=3, chirp_mass=(50.0, 60.0))
    waveform = make_waveform("IMRPhenomPv2")
    early = SignalModel(waveform, observation)(binary)

    class AllFrequencies:
        name = waveform.name

        def __call__(self, binary: Binary, frequency_hz: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            assert len(frequency_hz) == observation.num_frequencies
            return waveform(binary, frequency_hz)

    late = SignalModel(AllFrequencies(), observation)(binary)
    assert early.shape == late.shape == (2, 3, observation.num_frequencies)
    assert not early[..., -1].any()
    torch.testing.assert_close(early, late, rtol=1e-4, atol=1e-6)


def test_each_signal_is_whitened_by_its_own_psd() -> None:
    pytest.importorskip("bilby")
    chosen = settings("two far apart", psds=["aLIGO_O4_high", "Aplus_asd"])
    model = SignalModel(make_waveform("IMRPhenomPv2"), Observation(chosen))
    binary = draw_binaries(2, seed=4)
    mixed = model(binary, torch.tensor([1, 0]))
    torch.testing.assert_close(mixed[1], model(binary)[1])
    deviation = model.observation.standard_deviation
    scale = (deviation[0] / deviation[1]).float()
    torch.testing.assert_close(mixed[0], model(binary)[0] * scale, rtol=1e-4, atol=1e-7)
    with pytest.raises(ValueError, match="between 0 and 1"):
        model(binary, torch.tensor([2, 0]))
    with pytest.raises(ValueError, match="must be"):
        model(binary, torch.tensor([0]))


def test_an_event_at_another_time_is_the_same_under_a_turned_sky() -> None:
    pytest.importorskip("bilby")
    from lightning_itwin.detectors import sidereal_time_rad

    here = settings("two far apart")
    there = ObservationSettings(
        detectors=here.detectors,
        psds=here.psds,
        gps_time_s=GPS_S + 43210.0,
        minimum_frequency_hz=20.0,
        maximum_frequency_hz=1024.0,
        sample_rate_hz=4096.0,
    )
    theta = draw_table(2, seed=5)
    turned = theta.clone()
    turned[:, 3] += sidereal_time_rad(there.gps_time_s) - sidereal_time_rad(here.gps_time_s)
    waveform = make_waveform("IMRPhenomPv2")
    first = SignalModel(waveform, Observation(here))(Binary.from_table(NAMES, theta))
    second = SignalModel(waveform, Observation(there))(Binary.from_table(NAMES, turned))
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)


def test_no_frequency_is_asked_for_above_the_highest_that_is_known() -> None:
    observation = Observation(settings("triangle"))
    model = SignalModel(make_waveform("IMRPhenomPv2"), observation, highest_hz=300.0)
    assert model.num_audible == (300 - 20) * observation.settings.duration_s + 2
    assert SignalModel(make_waveform("IMRPhenomPv2"), observation).num_audible == observation.num_frequencies
    on_meta = model.to("meta").audible(draw_binaries(3, seed=0).to("meta"))
    assert on_meta.shape == (3, 3, model.num_audible)


def test_what_is_audible_is_all_there_is() -> None:
    model = SignalModel(make_waveform("IMRPhenomPv2"), Observation(settings("triangle")))
    binary = draw_binaries(5, seed=0)
    whole, audible = model(binary), model.audible(binary)
    assert audible.shape[-1] < whole.shape[-1]
    torch.testing.assert_close(whole[..., : audible.shape[-1]], audible, rtol=0, atol=0)
    assert not whole[..., audible.shape[-1] :].any()


def test_a_graph_can_record_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = SignalModel(make_waveform("IMRPhenomPv2"), Observation(settings("two far apart"))).to("meta")
    binary, psd_index = draw_binaries(4, seed=0).to("meta"), torch.zeros(4, dtype=torch.int64, device="meta")
    model.audible(binary, psd_index)  # tables go to the device once
    with no_copies_from_the_host(monkeypatch):
        model.audible(binary, psd_index)


def test_recorded_signals_are_the_same_for_full_and_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_itwin.cuda_graph.recorded_function.record", stand_in_graph.record)
    model = SignalModel(
        make_waveform("IMRPhenomPv2"), Observation(settings("triangle", psds=["ET_D", "CE_psd.txt"]))
    )
    monkeypatch.setattr(model, "_count", lambda highest_hz: model.observation.num_frequencies)
    monkeypatch.setattr(SignalModel, "recordable", True)
    recorded = RecordedSignals(model)
    for count in (4, 3, 1, 4):
        binary, psd_index = draw_binaries(count, seed=count), torch.arange(count) % 2
        torch.testing.assert_close(recorded.audible(binary, psd_index), model(binary, psd_index))
    torch.testing.assert_close(recorded.audible(binary), model(binary))


@pytest.mark.gpu
def test_on_a_gpu_recorded_signals_are_those_of_the_cpu() -> None:
    highest_hz = 500.0
    model = SignalModel(make_waveform("IMRPhenomPv2"), Observation(settings("triangle")), highest_hz)
    on_gpu = model.to("cuda")
    assert on_gpu.recordable
    assert not model.recordable
    recorded = RecordedSignals(on_gpu)
    for count in (8, 5):
        binary = draw_binaries(count, seed=count)
        wanted = model(binary)[..., : on_gpu.num_audible]
        found = recorded.audible(binary.to("cuda")).cpu()
        assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()


def test_a_copy_of_recorded_signals_records_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_itwin.cuda_graph.recorded_function.record", stand_in_graph.record)
    monkeypatch.setattr(SignalModel, "recordable", True)
    recorded = RecordedSignals(SignalModel(make_waveform("IMRPhenomPv2"), Observation(settings("triangle"))))
    binary = draw_binaries(2, seed=1)
    wanted = recorded.audible(binary)
    copied = copy.deepcopy(recorded)
    assert copied._recorded is not recorded._recorded
    torch.testing.assert_close(copied.audible(binary), wanted)
