import numpy as np
import pytest
from scipy import integrate

from lightning_itwin.strain.bns_range import bns_range_mpc
from lightning_itwin.strain.chirp import binary_chirp
from lightning_itwin.strain.matched_filter import MatchedFilter, subtracted_fraction
from lightning_itwin.strain.simulator.virgo_instrument import virgo_asd
from lightning_itwin.waveforms.constants import MEGAPARSEC_M, SOLAR_MASS_M, SOLAR_MASS_S

RATE_HZ = 1024.0
FREQUENCY_HZ = np.arange(0.0, 512.1, 0.5)
PSD = virgo_asd(FREQUENCY_HZ) ** 2


def coloured(samples, seed, scale=1.0):
    rng = np.random.default_rng(seed)
    white = np.fft.rfft(rng.standard_normal(samples)) * np.sqrt(RATE_HZ / 2)
    return scale * np.fft.irfft(white * virgo_asd(np.fft.rfftfreq(samples, 1 / RATE_HZ)), samples)


@pytest.fixture(scope="module")
def chirp():
    return binary_chirp(30.0, 30.0, RATE_HZ, distance_mpc=1000.0, lowest_hz=20.0).values


def test_an_inspiral_at_the_horizon_has_the_snr_of_the_range():
    # h(f) of a face-on inspiral at leading order, Finn and Chernoff 1993, eq. 3.19
    mass_1 = mass_2 = 1.4
    chirp_mass = (mass_1 * mass_2) ** 0.6 / (mass_1 + mass_2) ** 0.2
    horizon_mpc = 2.2648 * bns_range_mpc(PSD, FREQUENCY_HZ, minimum_frequency_hz=40.0)  # Allen et al. 2012
    made = 32 * round(RATE_HZ)
    frequency_hz = np.fft.rfftfreq(made, 1 / RATE_HZ)
    spectrum = np.zeros(len(frequency_hz), complex)
    band = frequency_hz > 30
    size = np.sqrt(5 / 24) * np.pi ** (-2 / 3) * (chirp_mass * SOLAR_MASS_S) ** (5 / 6)
    size /= horizon_mpc * MEGAPARSEC_M / SOLAR_MASS_M * SOLAR_MASS_S
    phase = 3 / 128 * (np.pi * chirp_mass * SOLAR_MASS_S * frequency_hz[band]) ** (-5 / 3)
    spectrum[band] = size * frequency_hz[band] ** (-7 / 6) * np.exp(-1j * phase)
    template = np.roll(np.fft.irfft(spectrum, made) * RATE_HZ, made - 1000)
    matched = MatchedFilter(template, RATE_HZ, PSD, FREQUENCY_HZ, band_hz=(40.0, 500.0))
    assert matched.optimal_snr == pytest.approx(8.0, rel=0.01)


def test_the_optimal_snr_is_the_integral(chirp):
    matched = MatchedFilter(chirp, RATE_HZ, PSD, FREQUENCY_HZ)
    made = 2**15
    spectrum = np.abs(np.fft.rfft(chirp, made)) / RATE_HZ
    frequency_hz = np.fft.rfftfreq(made, 1 / RATE_HZ)
    inside = (frequency_hz >= 10.0) & (frequency_hz <= 0.98 * 512)
    by_hand = 4 * integrate.simpson(
        spectrum[inside] ** 2 / virgo_asd(frequency_hz[inside]) ** 2, x=frequency_hz[inside]
    )
    assert matched.optimal_snr == pytest.approx(np.sqrt(by_hand), rel=2e-3)


def test_in_noise_it_has_mean_and_variance(chirp):
    matched = MatchedFilter(chirp, RATE_HZ, PSD, FREQUENCY_HZ)
    strain = coloured(2**18, seed=0)
    alone = matched.series(strain)
    assert np.mean(np.abs(alone) ** 2) == pytest.approx(2.0, rel=0.1)
    assert np.abs(np.mean(alone)) < 0.1
    starts = range(1000, 2**18 - 2 * len(chirp), 4096)
    found = []
    for start in starts:
        there = strain.copy()
        there[start : start + len(chirp)] += chirp
        found.append(matched.snr(there, start) - matched.optimal_snr)
    assert np.mean(found) == pytest.approx(0.0, abs=4 / np.sqrt(len(found)))
    assert np.std(found) == pytest.approx(1.0, abs=4 / np.sqrt(2 * len(found)))


def test_it_finds_the_time_and_the_phase(chirp):
    matched = MatchedFilter(chirp, RATE_HZ, PSD, FREQUENCY_HZ)
    strain = coloured(2**15, seed=1)
    strain[9000 : 9000 + len(chirp)] += 3 * chirp
    series = matched.series(strain)
    assert len(series) == len(strain) - len(chirp) + 1
    start, snr = matched.loudest(strain)
    assert start == 9000
    assert snr == pytest.approx(3 * matched.optimal_snr, abs=4)
    assert series[9000].real == pytest.approx(matched.snr(strain, 9000), rel=1e-9)
    turned = np.fft.irfft(np.fft.rfft(chirp, 2**15) * -1j, 2**15)
    at = matched.series(np.roll(turned, 9000))[9000]
    assert at.imag == pytest.approx(matched.optimal_snr, rel=1e-2)
    assert abs(at.real) < 1e-2 * matched.optimal_snr


def test_less_noise_gives_more_snr(chirp):
    noise, start = coloured(2**14, seed=2), 5000
    raw = MatchedFilter(chirp, RATE_HZ, 4 * PSD, FREQUENCY_HZ)
    cleaned = MatchedFilter(chirp, RATE_HZ, PSD, FREQUENCY_HZ)
    strain = noise.copy()
    strain[start : start + len(chirp)] += chirp
    before, after = raw.snr(strain + noise, start), cleaned.snr(strain, start)
    assert after > 1.5 * before
    assert cleaned.optimal_snr == pytest.approx(2 * raw.optimal_snr)


def test_a_safe_subtraction_takes_nothing_and_an_unsafe_one_its_share(chirp):
    matched = MatchedFilter(chirp, RATE_HZ, PSD, FREQUENCY_HZ)
    noise = coloured(2**14, seed=3)
    strain = noise.copy()
    strain[5000 : 5000 + len(chirp)] += chirp
    safe = coloured(2**14, seed=4)
    assert subtracted_fraction(safe, safe, matched, 5000) == 0.0
    assert subtracted_fraction(0.3 * strain, 0.3 * noise, matched, 5000) == pytest.approx(0.3, rel=1e-6)
    assert matched.fraction(chirp, 0) == pytest.approx(1.0)


def test_a_signal_over_the_end_counts_as_far_as_it_is_there(chirp):
    matched = MatchedFilter(chirp, RATE_HZ, PSD, FREQUENCY_HZ)
    merger = int(np.abs(chirp).argmax())
    assert matched.fraction(chirp[merger - 100 :], 100 - merger) == pytest.approx(1.0, abs=0.6)
    assert matched.fraction(np.ones(10), 10**6) == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"band_hz": (10.0, 600.0)}, "does not cover the band from 10 to 600 Hz"),
        ({"psd": np.where(FREQUENCY_HZ > 300, 0.0, PSD)}, "must be positive from 10 to"),
        ({"psd": PSD[:-1]}, r"must be \(N,\)"),
        ({"template": np.zeros(100)}, "holds nothing"),
    ],
)
def test_what_cannot_be_a_filter_is_refused(chirp, changes, message):
    given = {"template": chirp, "psd": PSD, "frequency_hz": FREQUENCY_HZ, "sample_rate_hz": RATE_HZ}
    with pytest.raises(ValueError, match=message):
        MatchedFilter(**given | changes)


def test_a_strain_that_is_too_short_or_another_shape_is_refused(chirp):
    matched = MatchedFilter(chirp, RATE_HZ, PSD, FREQUENCY_HZ)
    with pytest.raises(ValueError, match="at least as long as the template"):
        matched.series(np.zeros(100))
    with pytest.raises(ValueError, match="same samples"):
        subtracted_fraction(np.zeros(10), np.zeros(11), matched, 0)
