"""Random numbers of numbered events: event i has its own, whatever is drawn beside it."""

# N events, U uniforms an event

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_WORDS = 4  # 64-bit words of one Philox block
_LARGEST_GAP = 32  # events between two wanted ones that are cheaper to draw than a new generator
_PRIOR_STREAM = 0x7072696F72  # "prior" in ASCII: keeps these draws apart from others with the same seed


def event_uniforms(
    indices: Sequence[int] | np.ndarray, num: int, seed: int, attempt: int = 0, stream: int = _PRIOR_STREAM
) -> np.ndarray:
    """Draw the uniforms of some events.

    A counter-based generator: the key is (seed, stream), the counter is made of event and attempt. Runs of
    ascending events without wide gaps cost one call, so that a million takes a fraction of a second.

    Args:
        indices: numbers of the events, at least 0, (N,).
        num: uniforms an event.
        seed: at least 0, below 2^64.
        attempt: which draw of the event this is: the next one is independent.
        stream: one for each use of the same seed.

    Returns:
        Uniforms in the open interval (0, 1), (N, num) float64.

    Raises:
        ValueError: a negative index or seed.

    Reference:
        Philox4x64-10: Salmon et al. 2011, doi:10.1145/2063384.2063405, as in ``numpy.random.Philox``.

    >>> together, alone = event_uniforms(range(100), 3, seed=5), event_uniforms([42], 3, seed=5)
    >>> bool((together[42] == alone[0]).all())
    True
    """
    index_N = np.asarray(indices, dtype=np.int64).reshape(-1)
    if seed < 0 or (index_N < 0).any():
        raise ValueError("Seed and event numbers must be at least 0.")
    blocks = -(-num // _WORDS)
    uniforms = np.empty((len(index_N), num))
    steps = np.diff(index_N, prepend=-2 * _LARGEST_GAP)
    begins = np.flatnonzero((steps < 1) | (steps > _LARGEST_GAP))
    for begin, end in zip(begins, [*begins[1:], len(index_N)]):
        rows = index_N[begin:end] - index_N[begin]
        counter = [int(index_N[begin]) * blocks, attempt, 0, 0]
        philox = np.random.Philox(key=[seed, stream], counter=counter)
        words = philox.random_raw((int(rows[-1]) + 1) * blocks * _WORDS).reshape(-1, blocks * _WORDS)
        # 52 bits and a half: neither 0 nor 1, where an inverse distribution may be infinite.
        uniforms[begin:end] = ((words[rows, :num] >> np.uint64(12)) + 0.5) * 2.0**-52
    return uniforms
