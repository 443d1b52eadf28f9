from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from lightning_itwin.subtraction.fitting import fit
from lightning_itwin.subtraction.noise_filter import NoiseFilter
from lightning_itwin.subtraction.streaming import StreamingSubtractor
from tests.subtraction.small_detector import BAND_HZ, RATE_HZ, stretch

CUTS = ([700, 100, 3, 1, 2000, 9000], [1024], [4096], [20_000])


@cache
def noise_filter() -> NoiseFilter:
    return fit(stretch().data).filter


def blocks(values: np.ndarray, lengths: Sequence[int]) -> Iterator[np.ndarray]:
    at, number = 0, 0
    while at < values.shape[1]:
        length = lengths[number % len(lengths)]
        yield values[:, at : at + length]
        at, number = at + length, number + 1


def streamed(stream: StreamingSubtractor, values: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
    pieces = [stream.push(block[1:], block[0]) for block in blocks(values, lengths)]
    return np.concatenate([*pieces, stream.flush()])


def test_a_sample_leaves_once_all_that_it_depends_on_is_there_in_less_than_a_second() -> None:
    stream, values = StreamingSubtractor(noise_filter(), BAND_HZ), stretch(noise_seed=2).values
    assert stream.look_ahead_s <= 1.0
    came, left = 0, 0
    for block in blocks(values[:, : round(24 * RATE_HZ)], CUTS[0]):
        came += block.shape[1]
        left += len(stream.push(block[1:], block[0]))
        assert left == max(0, came - noise_filter().reach)
    assert left + len(stream.flush()) == came


@pytest.mark.parametrize("lengths", CUTS)
def test_blocks_of_any_length_give_what_the_whole_gives_to_both_ends(lengths: list[int]) -> None:
    values = stretch(noise_seed=2).values[:, : round(24 * RATE_HZ)]
    stream = StreamingSubtractor(noise_filter(), BAND_HZ, guard_s=0.0)
    whole = values[0] - noise_filter()(values[1:])
    for _ in range(2):  # after a flush it begins anew
        cleaned = streamed(stream, values, lengths)
        np.testing.assert_allclose(cleaned, whole, rtol=0, atol=1e-12 * np.abs(whole).max())


@pytest.mark.parametrize("samples", [1, 300, 1500])
def test_data_shorter_than_the_filter_are_filtered_as_the_whole(samples: int) -> None:
    values = stretch(noise_seed=2).values[:, :samples]
    stream = StreamingSubtractor(noise_filter(), BAND_HZ)
    whole = values[0] - noise_filter()(values[1:])
    cleaned = streamed(stream, values, [200])
    np.testing.assert_allclose(cleaned, whole, rtol=0, atol=1e-12 * np.abs(values[0]).max())
    assert not len(stream.flush())


def test_a_filter_without_features_leaves_the_strain_as_it_is() -> None:
    nothing = replace(noise_filter(), features=[], taps=np.zeros((0, 1107)))
    values = stretch(noise_seed=2).values[:, :5000]
    assert np.array_equal(streamed(StreamingSubtractor(nothing, BAND_HZ), values, [1024]), values[0])


def test_of_another_instrument_nothing_is_subtracted_after_a_while_wherever_blocks_end() -> None:
    changed = stretch(noise_seed=3, instrument_seed=7)
    right = stretch(noise_seed=2).values[:, : round(24 * RATE_HZ)]
    values = np.concatenate([right, changed.values[:, : round(40 * RATE_HZ)]], axis=1)
    first, *others = (
        streamed(StreamingSubtractor(noise_filter(), BAND_HZ), values, lengths) for lengths in CUTS
    )
    whole = values[0] - noise_filter()(values[1:])
    early, late = slice(0, round(20 * RATE_HZ)), slice(round(44 * RATE_HZ), None)
    np.testing.assert_allclose(first[early], whole[early], rtol=0, atol=1e-12 * np.abs(whole).max())
    assert np.array_equal(first[late], values[0, late])
    for other in others:
        np.testing.assert_allclose(other, first, rtol=0, atol=1e-12 * np.abs(whole).max())


def test_what_is_kept_does_not_grow_with_the_data() -> None:
    stream, values = StreamingSubtractor(noise_filter(), BAND_HZ), stretch(noise_seed=2).values
    kept = []
    for block in blocks(values[:, : round(60 * RATE_HZ)], [512]):
        stream.push(block[1:], block[0])
        kept.append(stream._waiting.size + stream._features._kept.size + stream._filter._past.size)
    assert max(kept[40:]) == kept[40]


def test_blocks_that_do_not_fit_are_refused() -> None:
    stream = StreamingSubtractor(noise_filter(), BAND_HZ)
    with pytest.raises(ValueError, match=r"same samples, not arrays of shape \(10, 5\) and \(6,\)"):
        stream.push(np.zeros((10, 5)), np.zeros(6))
    with pytest.raises(ValueError, match="takes 10 witnesses, those of the filter, not 9"):
        stream.push(np.zeros((9, 5)), np.zeros(5))
