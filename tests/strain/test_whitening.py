from pathlib import Path

import numpy as np
import pytest
from scipy import signal

from lightning_itwin.strain.hdf5_channels import read_channels
from lightning_itwin.strain.simulator.virgo_instrument import virgo_asd
from lightning_itwin.strain.simulator.virgo_simulator import VirgoSimulator
from lightning_itwin.strain.spectra import median_asd
from lightning_itwin.strain.whitening import equalising_filter, whitening_filter

RATE_HZ = 512.0
BAND_HZ = (20.0, 200.0)


def coloured(seconds=120.0, seed=0):
    return VirgoSimulator(duration_s=seconds, noise_seed=seed, coupling_strength=0.0).simulate().strain.values


def in_band(frequency_hz, margin_hz=2.0):
    return (frequency_hz > BAND_HZ[0] + margin_hz) & (frequency_hz < BAND_HZ[1] - margin_hz)


def test_the_asd_of_known_noise_is_found():
    frequency_hz, asd = median_asd(coloured(), RATE_HZ, 2.0)
    inside = in_band(frequency_hz)
    np.testing.assert_allclose(asd[inside], virgo_asd(frequency_hz[inside]), rtol=0.25)
    assert np.mean(asd[inside] / virgo_asd(frequency_hz[inside])) == pytest.approx(1.0, abs=0.01)


def test_unseen_noise_comes_out_flat_in_the_band_and_gone_outside():
    flatten = whitening_filter(coloured(seed=0), RATE_HZ, BAND_HZ, 2.0)
    white = flatten(coloured(seed=1))
    assert white.std() == pytest.approx(1.0, abs=0.02)
    frequency_hz, asd = median_asd(white, RATE_HZ, 4.0)
    level = 1 / np.sqrt(BAND_HZ[1] - BAND_HZ[0])
    np.testing.assert_allclose(asd[in_band(frequency_hz)], level, rtol=0.4)
    assert np.mean(asd[in_band(frequency_hz)]) == pytest.approx(level, rel=0.03)
    outside = (frequency_hz < BAND_HZ[0] - 4) | (frequency_hz > BAND_HZ[1] + 4)
    assert asd[outside].max() < 0.02 * level


def test_the_filter_delays_nothing():
    flatten = whitening_filter(coloured(), RATE_HZ, BAND_HZ, 2.0)
    np.testing.assert_allclose(flatten.taps, flatten.taps[::-1], atol=1e-9 * np.abs(flatten.taps).max())
    impulse = np.zeros(4096)
    impulse[2048] = 1.0
    response = flatten(impulse + flatten.offset)
    assert len(response) == 4096 - len(flatten.taps) + 1
    assert np.argmax(np.abs(response)) + len(flatten.taps) // 2 == 2048


def test_a_witness_keeps_its_slow_and_its_fast_part_at_unit_variance():
    rng = np.random.default_rng(0)
    time_s = np.arange(round(120 * RATE_HZ)) / RATE_HZ
    slow = 1e3 * np.sin(2 * np.pi * 0.2 * time_s)
    fast = 1e-2 * rng.standard_normal(len(time_s))
    equalise = equalising_filter(7.0 + slow + fast, RATE_HZ, BAND_HZ, 2.0, bandwidth_hz=256.0)
    both = equalise(7.0 + slow + fast)
    low_pass = signal.firwin(1025, 10.0, fs=RATE_HZ)
    kept_slow = signal.fftconvolve(both, low_pass, mode="valid")
    assert kept_slow.std() == pytest.approx(1.0, abs=0.05)
    assert (both[512:-512] - kept_slow).std() == pytest.approx(1.0, abs=0.05)
    original = slow[len(equalise.taps) // 2 :][512:][: len(kept_slow)]
    assert np.corrcoef(kept_slow, original)[0, 1] > 0.999


def test_what_a_slowly_sampled_witness_cannot_carry_is_not_amplified():
    rng = np.random.default_rng(0)
    slow = signal.resample_poly(rng.standard_normal(120 * 32), 16, 1)  # nothing above 16 Hz
    equalised = equalising_filter(slow, RATE_HZ, BAND_HZ, 2.0, bandwidth_hz=16.0)(slow)
    frequency_hz, asd = median_asd(equalised, RATE_HZ, 4.0)
    assert asd[frequency_hz > 10].max() < 1e-2 * asd.max()


def test_real_strain_is_whitened():
    file = Path(__file__).parent / "fixtures" / "H-H1_LOSC_4_V2-1126259460-4.hdf5"
    (strain,) = read_channels(file, ["strain/Strain"])
    white = whitening_filter(strain.values, strain.sample_rate_hz, (35.0, 350.0), 1.0)(strain.values)
    assert white.std() == pytest.approx(1.0, abs=1e-6)
    # GW150914 reached Hanford at GPS 1126259462.42; whitened, it is the loudest of these four seconds.
    loudest_s = strain.gps_start_s + (np.argmax(np.abs(white)) + 2047) / strain.sample_rate_hz
    assert loudest_s == pytest.approx(1126259462.42, abs=0.02)
