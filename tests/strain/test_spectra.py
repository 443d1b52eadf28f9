import numpy as np
import pytest
from scipy import signal

from lightning_itwin.strain.spectra import CoherenceSums, median_asd, power_spectrum

RATE_HZ = 256.0


@pytest.mark.parametrize("average", ["mean", "median"])
def test_power_is_that_of_scipy_for_one_series_or_several(average):
    values = np.random.default_rng(0).standard_normal((3, 8192))
    frequency_hz, psd = power_spectrum(values, RATE_HZ, 2.0, average)
    expected = signal.welch(values, RATE_HZ, nperseg=512, average=average)
    np.testing.assert_allclose(frequency_hz, expected[0])
    np.testing.assert_allclose(psd, expected[1])
    np.testing.assert_allclose(psd.mean(), 2 / RATE_HZ, rtol=0.05)


def test_the_median_does_not_hear_a_loud_second():
    values = np.random.default_rng(0).standard_normal(64 * 256)
    loud = values.copy()
    loud[:512] *= 1e3
    _, asd = median_asd(loud, RATE_HZ, 2.0)
    np.testing.assert_allclose(asd.mean(), median_asd(values, RATE_HZ, 2.0)[1].mean(), rtol=0.05)


def test_coherence_is_that_of_scipy():
    rng = np.random.default_rng(0)
    one = rng.standard_normal((2, 8192))
    other = signal.lfilter([1.0, 0.5], [1.0], one[:1]) + rng.standard_normal((3, 8192))
    sums = CoherenceSums(RATE_HZ, 1.0)
    sums.add(one, other)
    assert sums.segments == 63
    for a in range(2):
        for b in range(3):
            _, expected = signal.coherence(one[a], other[b], RATE_HZ, nperseg=256)
            np.testing.assert_allclose(sums.coherence()[a, b], expected, atol=1e-9)


def test_coherence_of_nothing():
    sums = CoherenceSums(RATE_HZ, 1.0)
    with pytest.raises(ValueError, match="no segment"):
        sums.coherence()
    sums.add(np.ones((1, 512)), np.ones((1, 512)))
    assert (sums.coherence() == 0).all()
