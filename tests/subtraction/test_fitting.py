from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from lightning_itwin.subtraction.fitting import Fit, FitSettings, fit
from tests.subtraction.small_detector import range_mpc, stretch


@cache
def fitted() -> Fit:
    return fit(stretch().data)


def recovered(found: Fit, noise_seed: int = 2) -> float:
    test = stretch(noise_seed=noise_seed)
    raw, ideal = range_mpc(test.values[0]), range_mpc(test.oracle)
    return (range_mpc(test.values[0] - found.filter(test.values[1:])) - raw) / (ideal - raw)


def test_nine_tenths_of_the_range_come_back_on_noise_never_seen() -> None:
    assert recovered(fitted()) > 0.9


def test_the_published_filters_recover_less() -> None:
    linear, bilinear = (
        recovered(fit(stretch().data, FitSettings(level=level))) for level in ("linear", "bilinear")
    )
    assert linear < bilinear < recovered(fitted())
    assert 0.1 < linear < 0.7


def test_the_factor_of_a_product_comes_with_it() -> None:
    features = fitted().filter.features
    factors = {one.fast for one in features if one.kind in ("product", "quadratic")}
    assert factors <= {one.fast for one in features if one.kind == "linear"}


def test_the_wavelength_of_scattered_light_is_found_in_any_units() -> None:
    data = stretch().data
    scale = np.array([0.37 if name.endswith("BENCH_POSITION") else 1.0 for name in data.names])[:, None]
    scaled = replace(data, read=lambda begin, end: scale * data.read(begin, end))
    found = fit(scaled, FitSettings(wavelengths=()))
    [wavelength] = {one.wavelength for one in found.filter.features if one.wavelength}
    assert wavelength == pytest.approx(0.37 * 1.064, rel=1e-3)


def test_no_witness_of_noise_is_called_unsafe() -> None:
    assert fitted().unsafe == []


def test_channels_that_do_something_lead_the_ranking() -> None:
    names = [name for name, _ in fitted().ranking]
    assert names[-1].endswith("DUMMY")
    assert sum(share for _, share in fitted().ranking) == pytest.approx(1.0)


@pytest.mark.parametrize("leak", [0.3, 3.0])
def test_a_channel_that_carries_the_strain_is_named_and_left_out(leak: float) -> None:
    found = fit(stretch(unsafe=leak).data)
    assert [name.rpartition("_")[2] for name in found.unsafe] == ["UNSAFE"]
    number = len(stretch(unsafe=leak).names) - 2
    assert all(number not in (one.fast, one.slow) for one in found.filter.features)


def test_blocks_of_two_processes_give_the_filter_of_one() -> None:
    data, barrier = stretch().data, threading.Barrier(2)
    given: list[np.ndarray] = [np.zeros(0), np.zeros(0)]

    def of_rank(rank: int) -> Fit:
        def reduce(series: np.ndarray) -> np.ndarray:
            given[rank] = series
            barrier.wait(120)
            total = given[0] + given[1]
            barrier.wait(120)
            return total

        return fit(replace(data, blocks=data.blocks[rank::2], reduce=reduce))

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(of_rank, (0, 1))
    whole = fitted()
    assert one.segments == other.segments == whole.segments
    assert np.array_equal(one.filter.taps, other.filter.taps)
    assert one.filter.features == whole.filter.features
    np.testing.assert_allclose(
        one.filter.taps, whole.filter.taps, rtol=0, atol=1e-6 * np.abs(whole.filter.taps).max()
    )


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="segment_s must be above 0"):
        FitSettings(segment_s=0.0)
    short = stretch(noise_seed=2)
    with pytest.raises(ValueError, match="Give more data"):
        fit(replace(short.data, blocks=[(0, 4096)]))
