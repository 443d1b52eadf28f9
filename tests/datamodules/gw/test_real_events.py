"""Real events, with files made as GWOSC's are, from noise of a known PSD and a signal that bilby injects."""

import dataclasses

import h5py
import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from lightning_itwin.datamodules.gw import EventData, GWDataModule, GWEvent
from lightning_itwin.datamodules.gw.real_event_source import nearest_psd
from lightning_itwin.datamodules.gw.real_events import RealEventError, event_psds, read_event
from lightning_itwin.detectors import Observation, ObservationSettings, SignalModel, read_psd
from lightning_itwin.detectors.observation_check import ObservationDiffersError
from lightning_itwin.inference import Prior
from lightning_itwin.waveforms import Binary, make_waveform
from tests.datamodules.gw.test_datamodule import Listener

GPS_START_S, FILE_S, RATE_HZ = 1187008870, 32, 4096
EVENT_S = GPS_START_S + 17.43  # not on the grid of the samples
SETTINGS = ObservationSettings(
    detectors=["H1", "L1"],
    duration_s=4.0,
    sample_rate_hz=1024.0,
    minimum_frequency_hz=20.0,
    maximum_frequency_hz=400.0,
    gps_time_s=EVENT_S,
    psds=["aLIGO_O4_high"],
)
PARAMETERS = {
    "chirp_mass": 32.0,
    "mass_ratio": 0.8,
    "luminosity_distance": 400.0,
    "ra": 1.2,
    "dec": -0.7,
    "psi": 0.6,
    "theta_jn": 0.4,
    "phase": 1.3,
    "geocent_time": 0.012,
}


def noise(seed):
    """Noise with the PSD, joined to itself at its ends."""
    rng = np.random.default_rng(seed)
    frequency_hz = np.fft.rfftfreq(FILE_S * RATE_HZ, 1 / RATE_HZ)
    curve = read_psd("aLIGO_O4_high")
    psd = np.interp(frequency_hz, curve.frequency_hz, curve.psd_per_hz)
    white = rng.standard_normal(len(psd)) + 1j * rng.standard_normal(len(psd))
    return np.fft.irfft(white * np.sqrt(psd * FILE_S / 4) * RATE_HZ)


def injected(detector):
    """The signal in one detector, by bilby."""
    bilby = pytest.importorskip("bilby")
    generator = bilby.gw.WaveformGenerator(
        duration=FILE_S,
        sampling_frequency=RATE_HZ,
        frequency_domain_source_model=bilby.gw.source.lal_binary_black_hole,
        parameter_conversion=bilby.gw.conversion.convert_to_lal_binary_black_hole_parameters,
        waveform_arguments={
            "waveform_approximant": "IMRPhenomD",
            "reference_frequency": 20.0,
            "minimum_frequency": 10.0,
        },
    )
    spins = dict.fromkeys(["a_1", "a_2", "tilt_1", "tilt_2", "phi_12", "phi_jl"], 0.0)
    parameters = {**PARAMETERS, **spins, "geocent_time": EVENT_S + PARAMETERS["geocent_time"]}
    interferometer = bilby.gw.detector.get_empty_interferometer(detector)
    interferometer.minimum_frequency = 10.0
    interferometer.set_strain_data_from_zero_noise(RATE_HZ, FILE_S, start_time=GPS_START_S)
    polarisations = generator.frequency_domain_strain(parameters)
    return np.fft.irfft(interferometer.get_detector_response(polarisations, parameters) * RATE_HZ)


def write(path, detector, strain, flags=None):
    with h5py.File(path, "w") as file:
        data = file.create_dataset("strain/Strain", data=strain)
        data.attrs.update(Npoints=len(strain), Xspacing=1 / RATE_HZ, Xstart=GPS_START_S, Yunits="")
        file["meta/GPSstart"] = GPS_START_S
        file["meta/Detector"] = detector
        file["quality/simple/DQShortnames"] = np.array([b"DATA", b"CBC_CAT1", b"CBC_CAT2", b"CBC_CAT3"])
        mask = np.full(FILE_S, 15, np.uint32)
        for second, value in (flags or {}).items():
            mask[second] = value
        file["quality/simple/DQmask"] = mask
    return str(path)


@pytest.fixture(scope="module")
def strains():
    return {detector: (noise(seed), injected(detector)) for seed, detector in enumerate(("H1", "L1"))}


@pytest.fixture(scope="module")
def event(strains, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gwosc")
    files = {name: write(folder / f"{name}.hdf5", name, n + h) for name, (n, h) in strains.items()}
    return GWEvent(name="FAKE", gps_time_s=EVENT_S, files=files)


@pytest.fixture(scope="module")
def observation():
    return Observation(SETTINGS)


def changed(event, strains, tmp_path, change, detector="L1", **flags):
    strain = sum(strains[detector]).copy()
    change(strain)
    path = write(tmp_path / "changed.hdf5", detector, strain, **flags)
    return dataclasses.replace(event, files={**event.files, detector: path})


def expected(observation):
    table = torch.tensor([list(PARAMETERS.values())], dtype=torch.float64)
    model = SignalModel(make_waveform("lalsimulation:IMRPhenomD"), observation)
    return model(Binary.from_table(list(PARAMETERS), table))[0]


def test_the_signal_that_bilby_injects_is_the_signal_model_s(event, strains, observation, tmp_path):
    files = {name: write(tmp_path / f"{name}.hdf5", name, n) for name, (n, _) in strains.items()}
    without = read_event(dataclasses.replace(event, files=files), observation, 0)
    signal = observation.to_spectrum((read_event(event, observation, 0) - without)[None])[0]
    wanted = expected(observation)
    overlap = (signal * wanted.conj()).sum().real / (
        signal.abs().square().sum() * wanted.abs().square().sum()
    ).sqrt()
    assert wanted.abs().square().sum().sqrt() > 20
    assert 1 - overlap.item() < 2e-3
    assert (signal.abs().square().sum() / wanted.abs().square().sum()).item() == pytest.approx(1.0, abs=0.01)


def test_noise_is_white_in_the_band_up_to_its_edges(event, strains, observation, tmp_path):
    strain = read_event(event, observation, 0)
    noise = observation.to_spectrum(strain[None])[0] - expected(observation)
    power = torch.view_as_real(noise).square().mean(dim=(0, 2))
    assert power.mean().item() == pytest.approx(1.0, abs=0.05)
    assert power[:40].mean().item() == pytest.approx(1.0, abs=0.25)
    assert power[-40:].mean().item() == pytest.approx(1.0, abs=0.25)
    quarters = observation.to_series(noise[None])[0].reshape(2, 4, -1).var(dim=(0, 2))
    assert quarters.max() / quarters.min() < 1.2


def test_another_rate_of_the_model_changes_nothing_in_the_band(event, observation):
    finer = Observation(dataclasses.replace(SETTINGS, sample_rate_hz=2048.0))
    first = observation.to_spectrum(read_event(event, observation, 0)[None])
    second = finer.to_spectrum(read_event(event, finer, 0)[None])
    assert (first - second).abs().max() < 1e-4


def test_the_psd_is_estimated_off_the_event(event, observation):
    frequency_hz = observation.frequency_hz.numpy()
    for psd, curve in zip(event_psds(event, SETTINGS), observation.standard_deviation[0]):
        ratio = np.sqrt(psd.at(frequency_hz)) / (curve.numpy() / np.sqrt(SETTINGS.duration_s / 4))
        assert np.median(ratio) == pytest.approx(1.0, abs=0.05)
        assert np.exp(np.log(ratio[:1500]).reshape(-1, 30).mean(axis=1)).max() < 1.5  # no trace of the signal


def test_the_nearest_psd_is_taken_and_far_ones_are_refused(event):
    several = Observation(dataclasses.replace(SETTINGS, psds=["aplus", "aLIGO_O4_high", "ET_D"]))
    assert nearest_psd(event, several) == 1
    with pytest.raises(ObservationDiffersError, match="PSD set 0"):
        nearest_psd(event, Observation(dataclasses.replace(SETTINGS, psds=["ET_D"])))


def test_predict_gives_real_events_without_a_truth(event):
    observation = dataclasses.replace(SETTINGS, psds=["real_events"])
    other = dataclasses.replace(event, name="OTHER", gps_time_s=EVENT_S - 1.5)
    module = GWDataModule(
        observation,
        "lalsimulation:IMRPhenomD",
        prior="ligo_bbh",
        events=EventData(train_events=4, val_events=2, test_events=2),
        batch_size=8,
        real_events=[event, other],
    )
    (batch,) = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False).predict(Listener(), module)
    assert batch.strain.shape == (2, 2, 4096)
    assert batch.theta.shape == (2, len(Prior.from_file("ligo_bbh").names))
    assert torch.isnan(batch.theta).all()
    assert batch.psd_index.tolist() == [0, 1]
    assert module.predict_events(0) == [("FAKE", EVENT_S), ("OTHER", EVENT_S - 1.5)]
    assert module.observation.num_psds == 2


def test_events_are_shared_among_ranks(event):
    module = GWDataModule(
        SETTINGS, "lalsimulation:IMRPhenomD", prior="ligo_bbh", real_events=[event], batch_size=8
    )
    module.setup()
    counts = []
    for rank in range(2):
        module.trainer = type("Rank", (), {"global_rank": rank, "world_size": 2})()
        counts.append([len(batch.theta) for batch in module.predict_dataloader()])
    assert counts == [[1], []]


def gap(strain):
    strain[17 * RATE_HZ : 17 * RATE_HZ + 100] = np.nan


def standstill(strain):
    strain[15 * RATE_HZ : 16 * RATE_HZ] = 0.0


def nothing(strain):
    pass


@pytest.mark.parametrize(
    ("change", "flags", "says"),
    [
        (gap, None, r"FAKE, L1: a gap \(NaN\) of 0\.024\d* s from GPS 1187008887\.000"),
        (standstill, None, "FAKE, L1: the strain stands still"),
        (nothing, {16: 13}, "flag CBC_CAT1 is not set in 1 s from GPS 1187008886"),
        (nothing, {14: 0, 15: 0}, "flag DATA is not set in 2 s from GPS 1187008884"),
    ],
)
def test_bad_seconds_are_refused(event, strains, observation, tmp_path, change, flags, says):
    with pytest.raises(RealEventError, match=says):
        read_event(changed(event, strains, tmp_path, change, flags=flags), observation, 0)


def test_bad_seconds_elsewhere_do_no_harm(event, strains, observation, tmp_path):
    def early_gap(strain):
        strain[: 2 * RATE_HZ] = np.nan

    other = changed(event, strains, tmp_path, early_gap, flags={31: 0})
    read_event(other, observation, 0)
    assert len(event_psds(other, SETTINGS)) == 2


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"detectors": ["H1", "V1"]}, "has files for H1, L1, the observation needs V1"),
        ({"gps_time_s": EVENT_S, "duration_s": 16.0}, r"the file holds GPS .* Take a longer file"),
        (
            {"sample_rate_hz": 8192.0, "maximum_frequency_hz": 3000.0},
            r"a file at 4096 Hz cannot give a band up to 3000 Hz",
        ),
    ],
)
def test_what_the_files_cannot_give_is_refused(event, settings, says):
    with pytest.raises(RealEventError, match=says):
        read_event(event, Observation(dataclasses.replace(SETTINGS, **settings)), 0)


def test_a_file_of_another_detector_is_refused(event, observation):
    swapped = dataclasses.replace(event, files={"H1": event.files["L1"], "L1": event.files["H1"]})
    with pytest.raises(RealEventError, match=r"H1|is of L1, not of H1"):
        read_event(swapped, observation, 0)
