import numpy as np
import pytest
from scipy import signal

from lightning_itwin.strain.channel_pieces import ChannelError
from lightning_itwin.strain.resampling import Resampler, rate_ratio, reach_s, resample, resampled_blocks

RATES = [(16384, 1024), (20000, 1024), (50, 1024), (1024, 16384), (1000, 1024), (64, 512), (512, 512)]


def tone(time_s):
    return sum(np.sin(2 * np.pi * hz * time_s + phase) for hz, phase in ((3.3, 0.1), (7.0, 0.2), (11.7, 1)))


@pytest.mark.parametrize("start_s", [0.0, -0.37, 0.123, 1 / 3000])
@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_a_sum_of_tones_keeps_its_phase_onto_any_clock(from_hz, to_hz, start_s):
    values = tone(np.arange(from_hz * 6) / from_hz + start_s)
    resampler = Resampler("x", from_hz, to_hz, start_s)
    found = np.concatenate([resampler.push(values), resampler.flush()])
    time_s = (resampler.first + np.arange(len(found))) / to_hz
    assert 0 <= time_s[0] - start_s < 1 / to_hz + 1e-9
    assert 0 < start_s + 6 - time_s[-1] <= 1 / to_hz + 1e-9
    inner = (time_s > start_s + 0.8) & (time_s < start_s + 5.2)
    np.testing.assert_allclose(found[inner], tone(time_s[inner]), atol=1e-4)


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_blocks_change_nothing(from_hz, to_hz):
    rng = np.random.default_rng(0)
    values = rng.standard_normal(from_hz * 5)
    cuts = np.sort(rng.integers(0, len(values), 7))
    blocks = np.split(values, cuts)
    found = np.concatenate(list(resampled_blocks(iter(blocks), from_hz, to_hz, 0.25)))
    whole = np.concatenate(list(resampled_blocks(iter([values]), from_hz, to_hz, 0.25)))
    np.testing.assert_allclose(found, whole, atol=1e-12)


@pytest.mark.parametrize("to_hz", [1024, 512, 1000])
def test_what_lies_above_the_new_nyquist_frequency_is_gone(to_hz):
    time_s = np.arange(4096 * 8) / 4096
    above = np.sin(2 * np.pi * (to_hz / 2 + 5) * time_s)
    assert np.abs(resample(above, 4096, to_hz)[to_hz:-to_hz]).max() < 5e-5
    passed = np.sin(2 * np.pi * 0.39 * to_hz * time_s)
    found = resample(passed, 4096, to_hz)
    assert np.sqrt(2) * found[to_hz:-to_hz].std() == pytest.approx(1.0, abs=3e-4)


def test_a_constant_stays_one_exactly():
    # else a large mean would leave lines at the channel's own rate
    np.testing.assert_allclose(resample(np.full(400, 1e6), 50, 1024), 1e6, rtol=1e-14)


def test_it_is_the_filter_of_scipy_with_our_taps():
    rng = np.random.default_rng(0)
    values = rng.standard_normal(4096)
    resampler = Resampler("x", 1024, 256, 0.0)
    taps = resampler._response(np.arange(-200, 201.0))
    expected = signal.upfirdn(taps / taps.sum(), values, 1, 4)[50 : 50 + 1024]
    np.testing.assert_allclose(resample(values, 1024, 256)[50:-50], expected[50:-50], atol=1e-12)


def test_rates_that_fit_pass_unchanged():
    values = np.random.default_rng(0).standard_normal(100)
    assert np.array_equal(resample(values, 256, 256), values)
    assert reach_s(256, 256) == 0.0
    assert reach_s(50, 1024) == pytest.approx(0.711, abs=1e-3)


def test_rates_without_a_whole_ratio_and_short_runs_are_refused():
    assert rate_ratio("x", 20000, 1024).denominator == 625
    with pytest.raises(ChannelError, match=r"x: 1024 Hz and 511\.235 Hz have no ratio"):
        rate_ratio("x", 1024, 511.2345678)
    with pytest.raises(ChannelError, match="A run of 10 samples is shorter than"):
        resample(np.zeros(10), 1024, 256)
