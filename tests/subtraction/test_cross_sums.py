from __future__ import annotations

import numpy as np

from lightning_itwin.subtraction.cross_sums import CoherenceSums, CrossSums

SEGMENT = 64
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((3, 640)), RNG.standard_normal(640)


def summed(begin: int, end: int) -> CrossSums:
    sums = CrossSums.zeros(3, SEGMENT)
    sums.update(X[:, begin:end], Y[begin:end])
    return sums


def test_sums_are_those_of_the_definition() -> None:
    window = np.hanning(SEGMENT + 1)[:-1]
    cuts = [slice(at, at + SEGMENT) for at in range(0, 640 - SEGMENT + 1, SEGMENT // 2)]
    x = np.stack([np.fft.rfft(X[:, cut] * window) for cut in cuts])
    y = np.stack([np.fft.rfft(Y[cut] * window) for cut in cuts])
    sums = summed(0, 640)
    assert sums.segments == len(cuts) == 19
    np.testing.assert_allclose(sums.xx, np.einsum("sfn,sgn->nfg", x.conj(), x), atol=1e-9)
    np.testing.assert_allclose(sums.xy, np.einsum("sfn,sn->nf", x.conj(), y), atol=1e-9)
    np.testing.assert_allclose(sums.yy, (np.abs(y) ** 2).sum(axis=0))


def test_blocks_merge_to_the_whole_and_part_again() -> None:
    whole, one, two = summed(0, 640), summed(0, 320), summed(320 - SEGMENT // 2, 640)
    merged = one.merge(two)
    np.testing.assert_allclose(merged.flat(), whole.flat(), atol=1e-9)
    np.testing.assert_allclose(merged.merge(two, sign=-1.0).flat(), one.flat(), atol=1e-9)


def test_the_whole_state_is_one_series() -> None:
    sums = summed(0, 640)
    again = CrossSums.zeros(3, SEGMENT).filled(sums.flat())
    assert np.array_equal(again.flat(), sums.flat())
    alone = CoherenceSums.zeros(3, SEGMENT)
    alone.update(X, Y)
    assert np.array_equal(CoherenceSums.zeros(3, SEGMENT).filled(alone.flat()).flat(), alone.flat())
    np.testing.assert_allclose(alone.xy, sums.xy, atol=1e-9)


def test_the_residual_is_what_least_squares_leaves() -> None:
    sums = summed(0, 640)
    response = np.linalg.solve(sums.xx, sums.xy[..., None])[..., 0]
    left = sums.residual(response)
    assert (left < sums.yy).all()
    assert (left <= sums.residual(1.1 * response)).all()
    np.testing.assert_allclose(sums.residual(0 * response), sums.yy)
