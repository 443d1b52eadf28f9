"""Subtraction of data as they come: how many times faster than real time one core is, block by block.

A filter is fitted, and filled up with further features of the library, since evidence takes fewer than are
asked for. The blocks of a test stretch then pass one by one; every round times all lengths of blocks. What
comes out is held against the filter of the whole series, and against cutting the data elsewhere.

Run from the repository: python benchmarks/virgo_streaming.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from result_page import command_line, write_page
from virgo_subtraction import BAND_HZ, RATE_HZ, Stretch

from lightning_itwin.subtraction.noise_filter import NoiseFilter
from lightning_itwin.subtraction.streaming import StreamingSubtractor

_SMALL = 1e-3  # of a fitted response: what fills the filter up adds little
_GOAL_SPEED, _GOAL_LOOK_AHEAD_S = 100.0, 1.0


@dataclass(frozen=True, kw_only=True)
class Passage:
    """What one pass of the test stretch gave.

    Args:
        cleaned: strain, (T,).
        cpu_s: processor time of all blocks.
        block_s: wall time of each block.
    """

    cleaned: np.ndarray
    cpu_s: float
    block_s: list[float]


def filled_up(found: NoiseFilter, features: int) -> NoiseFilter:
    """Give a filter of more features, of which those that were not chosen do little.

    Raises:
        ValueError: the library has fewer.
    """
    more = [one for one in found.library.features() if one not in found.features]
    if len(found.features) + len(more) < features:
        raise ValueError(
            f"The library has {len(found.features) + len(more)} features, fewer than {features}: "
            "ask for fewer, or for more --neighbours."
        )
    small = _SMALL * np.resize(found.taps, (features, found.taps.shape[1]))
    taps = np.concatenate([found.taps, small])[:features]
    return replace(found, features=[*found.features, *more][:features], taps=taps)


def passed(noise_filter: NoiseFilter, values: np.ndarray, block_s: float, guard_s: float) -> Passage:
    """Pass a stretch, (C, T), the strain first, block by block."""
    stream, length = StreamingSubtractor(noise_filter, BAND_HZ, guard_s), round(block_s * RATE_HZ)
    pieces, walls_s, begun_s = [], [], time.process_time()
    for at in range(0, values.shape[1], length):
        block = values[:, at : at + length]
        block_begun_s = time.perf_counter()
        pieces.append(stream.push(block[1:], block[0]))
        walls_s.append(time.perf_counter() - block_begun_s)
    pieces.append(stream.flush())
    cpu_s = time.process_time() - begun_s
    return Passage(cleaned=np.concatenate(pieces), cpu_s=cpu_s, block_s=walls_s)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--features", type=int, default=60)
    parser.add_argument("--neighbours", type=int, default=1, help="sensors beside those of the detector")
    parser.add_argument("--blocks_s", type=float, nargs="+", default=[0.25, 0.5, 1.0, 4.0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--train_s", type=float, default=512.0)
    parser.add_argument("--test_s", type=float, default=128.0)
    parser.add_argument("--instrument", type=int, default=0)
    given = parser.parse_args(arguments)
    detector = {"neighbours": given.neighbours}
    train = Stretch.of(given.train_s, given.instrument, 1000 + given.instrument, **detector)
    fitted = train.fit()[0].filter
    noise_filter = filled_up(fitted, given.features)
    values = Stretch.of(given.test_s, given.instrument, 2000 + given.instrument, **detector).values
    look_ahead_s = StreamingSubtractor(noise_filter, BAND_HZ).look_ahead_s
    whole = values[0] - noise_filter(values[1:])
    guarded: dict[float, list[Passage]] = {one: [] for one in given.blocks_s}
    bare: dict[float, list[Passage]] = {one: [] for one in given.blocks_s}
    for _ in range(given.rounds):
        for block_s in given.blocks_s:
            guarded[block_s].append(passed(noise_filter, values, block_s, guard_s=16.0))
            bare[block_s].append(passed(noise_filter, values, block_s, guard_s=0.0))
    loudest = float(np.abs(whole).max())
    lines = [
        f"{given.features} features of {values.shape[0] - 1} witnesses at {RATE_HZ:g} Hz, responses of "
        f"{noise_filter.taps.shape[1]} taps ({len(fitted.features)} features are those of a fit, the others "
        f"fill it up); {given.test_s:g} s of noise never trained on, {given.rounds} interleaved rounds, "
        f"processor time: median, and slowest to quickest round. Look-ahead: {look_ahead_s:.3f} s (goal: "
        f"{_GOAL_LOOK_AHEAD_S:g} s); a sample leaves with the block that completes it. Guard: the last 16 s, "
        "looked at every half second of data.",
        "",
        "| block | times real time | without the guard | wall time of a block, median; 99 % | largest "
        "difference from the whole series | from blocks cut elsewhere, guard on |",
        "|---|---|---|---|---|---|",
    ]
    slowest = np.inf
    for number, block_s in enumerate(given.blocks_s):
        speeds = sorted(given.test_s / one.cpu_s for one in guarded[block_s])
        free = statistics.median(given.test_s / one.cpu_s for one in bare[block_s])
        walls_ms = 1e3 * np.concatenate([one.block_s for one in guarded[block_s]])
        off = np.abs(bare[block_s][0].cleaned - whole).max() / loudest
        other = guarded[given.blocks_s[number - 1]][0].cleaned
        cut = np.abs(guarded[block_s][0].cleaned - other).max() / loudest
        slowest = min(slowest, statistics.median(speeds))
        lines.append(
            f"| {block_s:g} s | {statistics.median(speeds):.0f} ({speeds[0]:.0f} to {speeds[-1]:.0f}) | "
            f"{free:.0f} | {np.median(walls_ms):.1f} ms; {np.quantile(walls_ms, 0.99):.1f} ms | {off:.0e} | "
            f"{cut:.0e} |"
        )
    lines += [
        "",
        "Differences are in units of the loudest sample of the cleaned strain; the ends of the series count, "
        f"too. Slowest median: {slowest:.0f} times real time (goal: {_GOAL_SPEED:g}).",
    ]
    write_page("virgo_streaming", "Subtraction block by block", command_line(), lines, "one thread")


if __name__ == "__main__":
    main()
