from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from lightning_itwin.strain.bns_range import bns_range_mpc
from lightning_itwin.strain.hdf5_channels import list_channels, read_attribute
from lightning_itwin.strain.simulator import SimulatedData, VirgoSimulator
from lightning_itwin.strain.simulator.scene import Scene
from lightning_itwin.strain.simulator.virgo_instrument import virgo_asd

RATE_HZ = 1024.0


def part(data: SimulatedData, name: str) -> np.ndarray:
    return next(channel.values for channel in data.truth if channel.name == f"truth/{name}")


def witness(data: SimulatedData, name: str) -> np.ndarray:
    return next(channel.values for channel in data.witnesses if channel.name == f"V1:SIM_{name}")


def coherence(a: np.ndarray, b: np.ndarray, low_hz: float, high_hz: float) -> float:
    frequency_hz, value = signal.coherence(a, b, RATE_HZ, nperseg=2048)
    return float(np.mean(value[(frequency_hz > low_hz) & (frequency_hz < high_hz)]))


def range_mpc(values: np.ndarray) -> float:
    frequency_hz, psd = signal.welch(values, RATE_HZ, nperseg=4096, average="median")
    return float(bns_range_mpc(psd, frequency_hz))


@pytest.fixture(scope="module")
def simulator() -> VirgoSimulator:
    return VirgoSimulator.strong(duration_s=256.0, scene={"injections_per_hour": 60.0})


@pytest.fixture(scope="module")
def data(simulator: VirgoSimulator) -> SimulatedData:
    return simulator.simulate()


def test_the_strain_is_the_sum_of_the_truth(data: SimulatedData) -> None:
    assert len(data.truth) == 12
    np.testing.assert_allclose(data.strain.values, sum(channel.values for channel in data.truth), rtol=1e-12)


def test_the_oracle_is_what_no_witness_knows(data: SimulatedData) -> None:
    known = [c.values for c in data.truth if c.name.split("/")[1] not in ("background", "injections")]
    known = sum(known) - part(data, "glitches/unwitnessed")
    np.testing.assert_allclose(data.oracle.values, data.strain.values - known, atol=1e-30)


def test_the_strong_detector_loses_a_third_of_its_range(data: SimulatedData) -> None:
    assert 0.5 < range_mpc(data.strain.values) / range_mpc(data.oracle.values) < 0.75


def test_the_virgo_like_detector_has_little_to_win() -> None:
    data = VirgoSimulator.virgo_like(duration_s=256.0).simulate()
    assert 1.01 < range_mpc(data.oracle.values) / range_mpc(data.strain.values) < 1.05


def test_scattered_light_follows_the_bench(data: SimulatedData, simulator: VirgoSimulator) -> None:
    bench_um = signal.resample_poly(witness(data, "BENCH_POSITION").astype(np.float64), 8, 1)
    phase = 4 * np.pi * bench_um / 1.064 + simulator.instrument.scattering_phase_rad
    scattered = part(data, "scattering/BENCH_POSITION")
    assert np.corrcoef(scattered, np.sin(phase))[0, 1] > 0.97
    frequency_hz, psd = signal.welch(scattered, RATE_HZ, nperseg=4096)
    at_20_hz = np.sqrt(psd[np.abs(frequency_hz - 20) < 3].mean()) / virgo_asd(np.array([20.0]))[0]
    assert at_20_hz == pytest.approx(simulator.instrument.scattering_strength, rel=0.6)


def test_the_magnetometers_gain_is_a_polynomial_of_the_temperature(
    data: SimulatedData, simulator: VirgoSimulator
) -> None:
    temperature = signal.resample_poly(witness(data, "TEMPERATURE").astype(np.float64), 8, 1)
    gain = 0.5 + 0.8 * temperature + 0.3 * (temperature**2 - 1)
    near = simulator.instrument.nonstationary.frequency_hz
    coupled, sensed = part(data, "nonstationary/MAGNETOMETER"), witness(data, "MAGNETOMETER")
    assert coherence(coupled, sensed * gain, near - 3, near + 3) > 0.95
    assert coherence(coupled, sensed, near - 3, near + 3) < 0.7


def test_the_monitor_sees_what_saturates_on_its_way(data: SimulatedData, simulator: VirgoSimulator) -> None:
    path = simulator.instrument.glitch
    saturated = np.tanh(witness(data, "MONITOR").astype(np.float64))
    frequency_hz = np.fft.rfftfreq(len(saturated), 1 / RATE_HZ)
    expected = np.fft.irfft(np.fft.rfft(saturated) * path.response(frequency_hz), len(saturated))
    assert np.corrcoef(expected, part(data, "glitches/witnessed"))[0, 1] > 0.8


def test_events_lie_where_their_glitches_are(data: SimulatedData) -> None:
    for witnessed, name in ((True, "glitches/witnessed"), (False, "glitches/unwitnessed")):
        series = part(data, name)
        for event in data.events:
            if event.kind == "chirp" or event.witnessed != witnessed:
                continue
            centre = round((event.gps_s - data.strain.gps_start_s) * RATE_HZ)
            near = np.abs(series[max(0, centre - 512) : centre + 512])
            assert near.max() > 0
            assert event.snr > 0
    assert [event.gps_s for event in data.events] == sorted(event.gps_s for event in data.events)


def test_an_injection_has_its_snr(data: SimulatedData) -> None:
    chirps = [event for event in data.events if event.kind == "chirp"]
    assert chirps
    injected = part(data, "injections")
    spectrum = np.fft.rfft(injected) / RATE_HZ
    frequency_hz = np.fft.rfftfreq(len(injected), 1 / RATE_HZ)
    power = np.abs(spectrum[1:]) ** 2 / virgo_asd(frequency_hz[1:]) ** 2
    together = np.sqrt(4 * power.sum() * RATE_HZ / len(injected))
    assert together == pytest.approx(np.sqrt(sum(event.snr**2 for event in chirps)), rel=0.1)


def test_a_scene_leaves_the_other_parts_as_they_are(data: SimulatedData) -> None:
    bare = VirgoSimulator(duration_s=256.0, sample_rate_hz=RATE_HZ).simulate()
    for channel in (*bare.truth, *bare.witnesses):
        rich = next(one for one in (*data.truth, *data.witnesses) if one.name == channel.name)
        np.testing.assert_array_equal(channel.values, rich.values)


def test_dummies_couple_to_nothing_and_are_counted() -> None:
    data = VirgoSimulator(duration_s=16.0, scene=Scene(dummies=5)).simulate()
    names = [channel.name for channel in data.witnesses]
    assert sum("DUMMY" in name for name in names) == 5


@pytest.mark.parametrize("noise", [0.3, 3.0])
def test_an_unsafe_channel_carries_the_strain(noise: float) -> None:
    scene = {"unsafe_noise": noise}
    data = VirgoSimulator.strong(duration_s=64.0, scene=scene).simulate()
    seen = coherence(data.strain.values, witness(data, "UNSAFE"), 100.0, 400.0)
    assert seen == pytest.approx(1 / (1 + noise**2), abs=0.15)


def test_the_instrument_changes_at_its_time() -> None:
    changed = VirgoSimulator(duration_s=32.0, scene=Scene(change_at_s=16.0, changed_instrument_seed=7))
    before, after = (VirgoSimulator(duration_s=32.0, instrument_seed=seed).simulate() for seed in (0, 7))
    strain, half = changed.simulate().strain.values, 16 * 512
    np.testing.assert_array_equal(strain[:half], before.strain.values[:half])
    np.testing.assert_array_equal(strain[half:], after.strain.values[half:])


def test_gaps_are_missing_in_the_strain_alone() -> None:
    data = VirgoSimulator(duration_s=16.0, scene=Scene(gaps_s=((4.0, 6.0),))).simulate()
    assert np.flatnonzero(np.isnan(data.strain.values)).tolist() == list(range(4 * 512, 6 * 512))
    assert all(np.isfinite(channel.values).all() for channel in (*data.witnesses, *data.truth))


def test_the_file_tells_of_events_and_scene(tmp_path) -> None:
    import json

    simulator = VirgoSimulator.strong(duration_s=32.0, scene={"injections_per_hour": 240.0})
    simulator.write(tmp_path / "virgo.h5")
    assert VirgoSimulator(**json.loads(read_attribute(tmp_path / "virgo.h5", "simulator"))) == simulator
    told = json.loads(read_attribute(tmp_path / "virgo.h5", "events"))
    assert len(told) == len(simulator.simulate().events)
    assert "truth/injections" in list_channels(tmp_path / "virgo.h5")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"glitches_per_hour": -1.0}, "must be >= 0"),
        ({"injection_snr": (9.0, 3.0)}, "must rise"),
        ({"gaps_s": ((5.0, 2.0),)}, "must begin"),
    ],
)
def test_impossible_scenes_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scene(**changes)
