from __future__ import annotations

import numpy as np

from lightning_itwin.subtraction.fitting import fit
from lightning_itwin.subtraction.streaming import StreamingSubtractor
from tests.subtraction.small_detector import BAND_HZ, RATE_HZ, stretch


def test_blocks_give_what_the_whole_gives_with_less_than_a_second_of_look_ahead() -> None:
    found, test = fit(stretch().data).filter, stretch(noise_seed=2)
    values = test.values[:, : round(24 * RATE_HZ)]
    stream = StreamingSubtractor(found, BAND_HZ)
    assert stream.look_ahead_s <= 1.0
    came, pieces = 0, []
    for end in (100, 1000, 3000, 3001, 12000, values.shape[1]):
        pieces.append(stream.push(values[1:, came:end], values[0, came:end]))
        came = end
        assert sum(map(len, pieces)) == max(0, end - found.reach)
    cleaned = np.concatenate([*pieces, stream.flush()])
    whole = values[0] - found(values[1:])
    assert len(cleaned) == len(whole)
    # The beginning of the data is an end, too, of which the whole knows more.
    inner = slice(found.reach, -found.reach)
    np.testing.assert_allclose(cleaned[inner], whole[inner], rtol=0, atol=1e-9 * np.abs(whole).max())


def test_of_another_instrument_nothing_is_subtracted_after_a_while() -> None:
    found, changed = fit(stretch().data).filter, stretch(noise_seed=3, instrument_seed=7)
    values = changed.values[:, : round(40 * RATE_HZ)]
    stream = StreamingSubtractor(found, BAND_HZ)
    hop = 1024
    blocks = [values[:, at : at + hop] for at in range(0, values.shape[1], hop)]
    cleaned = np.concatenate([stream.push(block[1:], block[0]) for block in blocks])
    late = slice(round(20 * RATE_HZ), len(cleaned))
    assert np.array_equal(cleaned[late], values[0, : len(cleaned)][late])
