"""What the report's intervals and rankings are worth, against simulated sweeps whose truth is known.

Coverage: how often the 95 % interval of an epoch time holds the true median. Ranking: how often the faster of
two strategies is found, when a round (all strategies one after another) shares the slowness of its hour.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from result_page import command_line, write_page

from lightning_itwin.reports.statistics import compare, median_interval

TRUE_TIME_S = 12.0
Noise = Callable[[np.random.Generator, int], np.ndarray]

# factors on a time; each has median 1
NOISES: dict[str, Noise] = {
    "normal, 3 %": lambda rng, count: 1 + 0.03 * rng.normal(size=count),
    "normal, 15 %": lambda rng, count: np.maximum(1 + 0.15 * rng.normal(size=count), 0.05),
    "log-normal, sigma 0.3 (skewed)": lambda rng, count: np.exp(0.3 * rng.normal(size=count)),
    "exponential tail, 10 % (skewed)": lambda rng, count: 1 + 0.1 * (rng.exponential(size=count) - np.log(2)),
    "Student's t, 3 degrees, 3 %": lambda rng, count: np.maximum(
        1 + 0.03 * rng.standard_t(3, size=count), 0.05
    ),
    "two states: 30 % of runs 10 % slower": lambda rng, count: (
        (1 + 0.1 * (rng.random(count) < 0.3)) * (1 + 0.01 * rng.normal(size=count))
    ),
}


def true_median(noise: Noise) -> float:
    return float(np.median(noise(np.random.default_rng(99), 4_000_000)))


def coverage(noise: Noise, repeats: int, sweeps: int, seed: int) -> tuple[float, float]:
    """Give the share of sweeps whose interval holds the truth, and its median width, in percent."""
    rng = np.random.default_rng(seed)
    truth = TRUE_TIME_S * true_median(noise)
    held, widths = 0, []
    for _ in range(sweeps):
        found = median_interval(list(TRUE_TIME_S * noise(rng, repeats)))
        held += found.low <= truth <= found.high
        widths.append((found.high - found.low) / found.value)
    return 100 * held / sweeps, 100 * float(np.median(widths))


def ranking(
    difference: float, noise: float, round_noise: float, repeats: int, sweeps: int, seed: int
) -> tuple[float, float, float, float]:
    """Simulate sweeps of two strategies, one of them slower by ``difference``.

    Returns:
        in percent of the sweeps: the faster one came first; the same by comparing medians without pairing;
        called decided and right; called decided and wrong.
    """
    rng = np.random.default_rng(seed)
    right = by_medians = decided = wrong = 0
    for _ in range(sweeps):
        rounds = np.exp(round_noise * rng.normal(size=repeats))
        fast = TRUE_TIME_S * rounds * (1 + noise * rng.normal(size=repeats))
        slow = TRUE_TIME_S * (1 + difference) * rounds * (1 + noise * rng.normal(size=repeats))
        found = compare(dict(enumerate(slow)), dict(enumerate(fast)))
        right += found.ratio > 1
        by_medians += np.median(slow) > np.median(fast)
        decided += found.decided and found.ratio > 1
        wrong += found.decided and found.ratio < 1
    return tuple(100 * count / sweeps for count in (right, by_medians, decided, wrong))


def tables(sweeps: int) -> tuple[list[str], bool]:
    counts = (2, 3, 5, 8, 10, 20)
    lines = [
        f"## Coverage of the 95 % interval of an epoch time ({sweeps} sweeps each)",
        "",
        "In percent of the sweeps; in brackets the interval's median width in percent of the time. "
        "Goal: 90 to 98 % for 20 repeats.",
        "",
        "| noise of a run | " + " | ".join(f"{count} repeats" for count in counts) + " |",
        "|---|" + "---|" * len(counts),
    ]
    good = True
    for number, (name, noise) in enumerate(NOISES.items()):
        cells = []
        for count in counts:
            held, width = coverage(noise, count, sweeps, seed=1000 * number + count)
            cells.append(f"{held:.1f} ({width:.1f})")
            good &= count != 20 or 90 <= held <= 98
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"## A true difference of 3 % between two strategies ({10 * sweeps} sweeps each)",
        "",
        "Rounds differ by 5 % among each other. In percent of the sweeps. Goal: ranked right in 95 % or "
        "more for 20 repeats.",
        "",
        "| repeats | noise of a run | ranked right | by medians alone | decided, right | decided, wrong |",
        "|---|---|---|---|---|---|",
    ]
    for repeats in (3, 5, 10, 20):
        for noise in (0.01, 0.02, 0.03):
            right, medians, decided, wrong = ranking(0.03, noise, 0.05, repeats, 10 * sweeps, seed=repeats)
            good &= repeats != 20 or right >= 95
            lines.append(
                f"| {repeats} | {100 * noise:.0f} % | {right:.1f} | {medians:.1f} | {decided:.1f} "
                f"| {wrong:.2f} |"
            )
    lines += [
        "",
        "## No difference at all: how often one is called decided (should be 5 %)",
        "",
        "| repeats | noise of a run | called decided |",
        "|---|---|---|",
    ]
    for repeats in (3, 5, 10, 20):
        _, _, above, below = ranking(0.0, 0.03, 0.05, repeats, 10 * sweeps, seed=50 + repeats)
        lines.append(f"| {repeats} | 3 % | {above + below:.1f} |")
    return lines, good


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sweeps", type=int, default=1000, help="simulated sweeps a case (default: 1000)")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(__file__).parent / "results" / "statistics_truth.md",
        help="where the tables go (default: benchmarks/results/statistics_truth.md)",
    )
    options = parser.parse_args()
    begun_s = time.monotonic()
    lines, good = tables(options.sweeps)
    verdict = "Every goal is reached." if good else "NOT every goal is reached."
    told = f"{time.monotonic() - begun_s:.0f} s. {verdict}"
    write_page(
        options.output, "Intervals and rankings against known truth", command_line(), [told, "", *lines]
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
