from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, signal

from lightning_itwin.strain.simulator import SimulatedData, VirgoSimulator
from lightning_itwin.strain.simulator.background import Background
from tests.strain.simulator.channels_of import coherence, witness

RATE_HZ = 1024.0


def test_scattered_light_follows_the_bench(strong_data: SimulatedData, strong: VirgoSimulator) -> None:
    slow = signal.butter(4, 2.0, fs=RATE_HZ, output="sos")
    bench_um = signal.sosfiltfilt(slow, witness(strong_data, "BENCH_POSITION"))
    assert np.std(bench_um) == pytest.approx(7.0, rel=0.01)
    phase = 4 * np.pi * bench_um / 1.064 + strong.instrument.scattering_phase_rad
    scattered = strong_data.part("scattering/BENCH_POSITION")
    inside = slice(4096, -4096)  # a filter's ends are worse
    assert np.corrcoef(scattered[inside], np.sin(phase)[inside])[0, 1] > 0.999
    frequency_hz, psd = signal.welch(scattered, RATE_HZ, nperseg=4096)
    at_20_hz = np.sqrt(psd[np.abs(frequency_hz - 20) < 3].mean()) / Background(scale=2.35).asd_at(20.0)
    assert at_20_hz == pytest.approx(strong.instrument.scattering_strength, rel=0.3)


def test_the_bench_moves_at_the_frequencies_of_the_microseism(strong_data: SimulatedData) -> None:
    frequency_hz, psd = signal.welch(witness(strong_data, "BENCH_POSITION"), RATE_HZ, nperseg=65536)
    inside = (frequency_hz > 0.07) & (frequency_hz < 0.5)
    assert psd[inside].sum() > 0.98 * psd.sum()
    # above, the noise of the sensor alone: 10 nm over 512 Hz
    noise = np.sqrt(psd[frequency_hz > 5].sum() * frequency_hz[1])
    assert noise == pytest.approx(0.01, rel=0.05)


def test_the_microphones_gain_is_a_polynomial_of_an_angle(
    strong_data: SimulatedData, strong: VirgoSimulator
) -> None:
    instrument = strong.instrument
    angle = witness(strong_data, ("ANGLE_PITCH", "ANGLE_YAW")[instrument.acoustic_angle])
    gain = 0.5 + 0.8 * angle + 0.3 * (angle**2 - 1)
    near = (RATE_HZ, instrument.acoustic.frequency_hz - 3, instrument.acoustic.frequency_hz + 3)
    coupled, sensed = strong_data.part("nonstationary/MICROPHONE"), witness(strong_data, "MICROPHONE")
    assert coherence(coupled, sensed * gain, *near) > 0.98
    assert coherence(coupled, sensed, *near) < 0.7
    assert coherence(coupled, sensed * angle, *near) < 0.9


def test_the_monitor_sees_what_saturates_on_its_way(
    strong_data: SimulatedData, strong: VirgoSimulator
) -> None:
    monitored = witness(strong_data, "MONITOR")
    # near what is louder than five times the sensor's noise
    seen = monitored * (ndimage.maximum_filter1d(np.abs(monitored), 41) > 0.05)
    path, part = strong.instrument.glitch, strong_data.part("glitches/witnessed")
    frequency_hz = np.fft.rfftfreq(len(part), 1 / RATE_HZ)

    def behind(values: np.ndarray) -> np.ndarray:
        strain = np.fft.irfft(np.fft.rfft(values) * path.response(frequency_hz), len(values))
        return strain * Background(scale=2.35).asd_at(path.frequency_hz)

    left = part - behind(np.tanh(seen))
    assert np.sum(left**2) < 1e-3 * np.sum(part**2)
    straight = part - behind(seen)
    assert np.sum(straight**2) > 0.1 * np.sum(part**2)


def test_the_instrument_changes_at_its_time() -> None:
    scene = {"change_at_s": 16.0, "changed_instrument_seed": 7}
    given = {"duration_s": 32.0, "scene": scene}
    changed = VirgoSimulator.strong(**given).simulate().strain.values
    first = VirgoSimulator.strong(duration_s=32.0).simulate().strain.values
    second = VirgoSimulator.strong(duration_s=32.0, instrument_seed=7).simulate().strain.values
    begin, end = round(15.75 * RATE_HZ), round(16.0 * RATE_HZ)
    np.testing.assert_array_equal(changed[:begin], first[:begin])
    np.testing.assert_array_equal(changed[end:], second[end:])
    # no step: nothing that is louder than the noise of one instrument or the other
    steps = np.abs(np.diff(np.stack([changed, first, second])))
    assert steps[0, begin - 5 : end + 5].max() < 1.5 * steps[1:].max()
