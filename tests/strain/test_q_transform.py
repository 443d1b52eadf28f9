"""The Q-transform against its definition, against white noise, and against gwpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lightning_itwin.strain.q_transform import loudest_q_transform, q_transform

RATE_HZ = 1024.0


def sine_gaussian(duration_s: float, at_s: float, frequency_hz: float, q: float) -> np.ndarray:
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ - at_s
    width_s = q / (2 * np.pi * frequency_hz)
    return np.exp(-((time_s / width_s) ** 2)) * np.cos(2 * np.pi * frequency_hz * time_s)


def test_the_loudest_tile_of_a_sine_gaussian() -> None:
    burst = sine_gaussian(4.0, 1.5, 120.0, 12.0)
    scan = q_transform(burst, RATE_HZ, q=12.0, rows=200)
    time_s, frequency_hz, energy = scan.loudest
    assert time_s == pytest.approx(1.5, abs=1 / 128)
    assert frequency_hz == pytest.approx(120.0, rel=0.01)
    # The bisquare window and a Gaussian of the same Q overlap by more than 99 %: half the squared SNR.
    assert energy == pytest.approx(0.5 * np.sum(burst**2), rel=0.01)


def test_a_tile_is_the_defining_integral() -> None:
    rng = np.random.default_rng(0)
    series = rng.standard_normal(2048)
    scan = q_transform(series, RATE_HZ, q=8.0, frequency_range_hz=(40.0, 200.0), rows=5, time_step_s=1 / 64)
    # Independently: a sum over samples with the window's own Fourier integral, by Simpson's rule.
    integrate = pytest.importorskip("scipy.integrate")
    lag_s = (np.arange(2048) / RATE_HZ + 1.0) % 2.0 - 1.0
    for row in (0, 2, 4):
        at_hz = scan.frequency_hz[row]
        half_hz = at_hz * np.sqrt(11.0) / 8.0
        offset_hz = np.linspace(-half_hz, half_hz, 4001)
        shape = (1 - (offset_hz / half_hz) ** 2) ** 2
        atom = integrate.simpson(shape * np.exp(2j * np.pi * np.outer(lag_s, offset_hz + at_hz)), x=offset_hz)
        atom /= np.sqrt(np.sum(np.abs(atom) ** 2))
        for column in (20, 70, 100):
            shifted = np.roll(atom, round(scan.time_s[column] * RATE_HZ))
            expected = np.abs(np.vdot(shifted, series)) ** 2
            assert scan.energy[row, column] == pytest.approx(expected, rel=0.03, abs=0.02)


def test_white_noise_has_exponential_energy_of_mean_one() -> None:
    noise = torch.randn(4, 65536, generator=torch.Generator().manual_seed(1))
    scan = q_transform(noise, RATE_HZ)
    assert scan.energy.shape[0] == 4
    assert scan.energy.mean() == pytest.approx(1.0, abs=0.02)
    assert np.mean(scan.energy > 3.0) == pytest.approx(np.exp(-3.0), rel=0.05)
    assert np.median(scan.energy) == pytest.approx(np.log(2.0), rel=0.03)


def test_normalised_rows_have_the_median_of_white_noise() -> None:
    noise = 7.0 * np.random.default_rng(2).standard_normal(8192)
    scan = q_transform(noise, RATE_HZ, normalise=True)
    np.testing.assert_allclose(np.median(scan.energy, axis=-1), np.log(2.0), rtol=0.02)


def test_a_batch_is_its_series_one_by_one() -> None:
    series = np.random.default_rng(3).standard_normal((2, 3, 1024))
    together = q_transform(series, RATE_HZ).energy
    for first in range(2):
        for second in range(3):
            np.testing.assert_allclose(
                together[first, second], q_transform(series[first, second], RATE_HZ).energy
            )


def test_times_and_rows_are_what_was_asked_for() -> None:
    scan = q_transform(np.zeros(3000), RATE_HZ, frequency_range_hz=(20.0, 200.0), rows=33, time_step_s=0.01)
    assert scan.energy.shape == (33, 293)
    np.testing.assert_allclose(np.diff(scan.time_s), 3000 / RATE_HZ / 293)
    assert scan.frequency_hz[[0, -1]] == pytest.approx([20.0, 200.0])


def test_the_best_q_is_the_bursts_own() -> None:
    assert loudest_q_transform(sine_gaussian(4.0, 2.0, 150.0, 16.0), RATE_HZ).q == 16.0
    assert loudest_q_transform(sine_gaussian(4.0, 2.0, 150.0, 5.7), RATE_HZ).q == 5.7


def test_agrees_with_gwpy() -> None:
    timeseries = pytest.importorskip("gwpy.timeseries")
    qtransform = pytest.importorskip("gwpy.signal.qtransform")
    rng = np.random.default_rng(4)
    series = rng.standard_normal(16 * 1024) + 5 * sine_gaussian(16.0, 8.0, 90.0, 10.0)
    theirs = timeseries.TimeSeries(series, sample_rate=RATE_HZ)
    ours = q_transform(series, RATE_HZ, q=10.0, frequency_range_hz=(90.0, 91.0), rows=2, normalise=True)
    tile = qtransform.QTile(10.0, 90.0, 16.0, RATE_HZ)
    energy = tile.transform(theirs.fft(), norm="median", epoch=0)
    peak_s = float(energy.times.value[int(np.argmax(energy.value))])
    assert ours.time_s[int(np.argmax(ours.energy[0]))] == pytest.approx(peak_s, abs=1 / 64)
    # gwpy divides by the median, this by the median over ln 2; the rest is its window, a bin beside.
    assert ours.energy[0].max() == pytest.approx(float(energy.value.max()) * np.log(2.0), rel=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"q": 3.0}, r"sqrt\(11\)"),
        ({"frequency_range_hz": (10.0, 500.0)}, "between 0 and 401"),
        ({"frequency_range_hz": (0.5, None)}, "narrower than one bin"),
        ({"rows": 0}, "rows must be at least 1"),
    ],
)
def test_refuses(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        q_transform(np.zeros(2048), RATE_HZ, **options)  # type: ignore[arg-type]


def test_refuses_gaps_and_no_q() -> None:
    with pytest.raises(ValueError, match="not finite"):
        q_transform(np.full(2048, np.nan), RATE_HZ)
    with pytest.raises(ValueError, match="at least one quality factor"):
        loudest_q_transform(np.zeros(2048), RATE_HZ, qs=())
