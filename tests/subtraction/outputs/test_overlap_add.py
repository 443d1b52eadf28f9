import numpy as np
import pytest

from lightning_itwin.subtraction.outputs.overlap_add import OverlapAdd, window_weight


def whole(parts, samples, count):
    return np.concatenate(list(parts.blocks(0, samples, count)))


@pytest.mark.parametrize(("window", "stride", "edge"), [(64, 32, 0), (64, 48, 6), (50, 50, 0), (64, 16, 20)])
def test_windows_of_one_series_add_up_to_it(tmp_path, window, stride, edge):
    series = np.random.default_rng(0).standard_normal(306)
    starts = np.append(np.arange(0, 306 - window, stride), 306 - window)
    parts = [OverlapAdd(tmp_path, 306, part) for part in range(2)]
    for number, start in enumerate(starts):
        parts[number % 2].add(np.array([start]), series[None, start : start + window], edge)
    for part in parts:
        part.close()
    np.testing.assert_allclose(whole(parts[0], 306, 2), series, rtol=1e-9)


def test_edges_count_only_where_there_is_nothing_else(tmp_path):
    parts = OverlapAdd(tmp_path, 24)
    good, bad = np.ones(16), np.ones(16)
    bad[:4] = bad[-4:] = 100.0
    parts.add(np.array([0, 8]), np.stack([bad, bad]), edge=4)
    found = whole(parts, 24, 1)
    np.testing.assert_allclose(found[4:20], good, rtol=3e-3)
    np.testing.assert_allclose(found[:4], 100.0)


def test_where_no_window_lay_there_is_nothing(tmp_path):
    parts = OverlapAdd(tmp_path, 100)
    parts.add(np.array([20]), np.ones((1, 30)))
    found = whole(parts, 100, 1)
    assert np.flatnonzero(np.isfinite(found)).tolist() == list(range(20, 50))


def test_what_a_killed_process_left_is_written_over(tmp_path):
    OverlapAdd(tmp_path, 10).add(np.array([0]), np.ones((1, 10)))
    again = OverlapAdd(tmp_path, 10)
    assert np.isnan(whole(again, 10, 1)).all()


def test_weights_are_symmetric_and_never_zero():
    for size in (1, 2, 7, 64):
        for edge in (0, 3, 100):
            weight = window_weight(size, edge)
            assert (weight > 0).all()
            np.testing.assert_allclose(weight, weight[::-1])


def test_windows_that_cannot_be_are_refused(tmp_path):
    parts = OverlapAdd(tmp_path, 10)
    with pytest.raises(ValueError, match="A window of 4 samples begins at 8 to 8; the series has 10"):
        parts.add(np.array([8]), np.ones((1, 4)))
    with pytest.raises(ValueError, match="begins at -1"):
        parts.add(np.array([-1]), np.ones((1, 4)))
    with pytest.raises(ValueError, match="begins at sample 2 is not finite"):
        parts.add(np.array([2]), np.full((1, 4), np.nan))
