import numpy as np
import pytest
from scipy import signal

from lightning_itwin.strain.chirp import binary_chirp, chirp_time_s

RATE_HZ = 2048.0


def test_its_frequency_rises_as_the_leading_order_says():
    values, merger = binary_chirp(8.0, 8.0, RATE_HZ, lowest_hz=20.0)
    phase = np.unwrap(np.angle(signal.hilbert(values)))
    frequency_hz = np.gradient(phase) * RATE_HZ / (2 * np.pi)
    for hz in (30.0, 40.0):
        at = np.flatnonzero(frequency_hz[: merger - 20] < hz).max()
        time_s = (merger - at) / RATE_HZ
        # post-Newtonian terms add some per cent of it
        assert time_s == pytest.approx(chirp_time_s(8.0 / 2**0.2, hz), rel=0.12)


def test_it_is_what_lalsimulation_makes_of_the_same_binary():
    lal, lalsimulation = pytest.importorskip("lal"), pytest.importorskip("lalsimulation")
    values, merger = binary_chirp(30.0, 20.0, RATE_HZ, lowest_hz=20.0, distance_mpc=400.0)
    made = 16 * round(RATE_HZ)
    theirs, _ = lalsimulation.SimInspiralChooseFDWaveform(
        *(30.0 * lal.MSUN_SI, 20.0 * lal.MSUN_SI),
        *(0.0,) * 6,
        *(400e6 * lal.PC_SI, 0.0, 0.0, 0.0, 0.0, 0.0),
        *(RATE_HZ / made, 10.0, RATE_HZ / 2, 20.0),
        None,
        lalsimulation.IMRPhenomPv2,
    )
    padded = np.zeros(made)
    padded[: len(values)] = values
    ours = np.abs(np.fft.rfft(padded)) / RATE_HZ
    frequency_hz = np.fft.rfftfreq(made, 1 / RATE_HZ)
    inside = (frequency_hz > 22) & (frequency_hz < 200)
    expected = np.abs(theirs.data.data)[inside]
    assert np.median(np.abs(ours[inside] / expected - 1)) < 0.01
    assert np.abs(np.abs(values).argmax() - merger) < 0.01 * RATE_HZ


def test_it_begins_and_ends_in_silence_and_falls_as_the_distance():
    near, merger = binary_chirp(30.0, 30.0, RATE_HZ, distance_mpc=100.0)
    far, _ = binary_chirp(30.0, 30.0, RATE_HZ, distance_mpc=400.0)
    np.testing.assert_allclose(near, 4 * far, rtol=1e-5, atol=1e-6 * np.abs(near).max())
    assert np.abs(near[:100]).max() < 1e-3 * np.abs(near).max()
    assert np.abs(near[-100:]).max() < 1e-3 * np.abs(near).max()
    assert len(near) - merger == RATE_HZ / 2


def test_the_heavier_body_may_come_second():
    np.testing.assert_array_equal(
        binary_chirp(20.0, 30.0, RATE_HZ).values, binary_chirp(30.0, 20.0, RATE_HZ).values
    )


@pytest.mark.parametrize("changes", [{"lowest_hz": 1024.0}, {"distance_mpc": 0.0}])
def test_impossible_signals_are_refused(changes):
    with pytest.raises(ValueError, match="must be above 0"):
        binary_chirp(30.0, 30.0, RATE_HZ, **changes)
