"""What a number of workers brings: pure functions of times and throughputs.

A strong scaling shares fixed work among the workers, a weak one gives every worker the same work. Speedup
as a ratio of throughputs is true for both: for equal work it is the ratio of times.
"""

from __future__ import annotations


def strong_speedup(one_worker_s: float, time_s: float) -> float:
    """Give the speedup of fixed work: ``S(p) = T(1) / T(p)``.

    Args:
        one_worker_s: time of one worker, > 0.
        time_s: time of ``p`` workers for the same work, > 0.

    Reference:
        G. M. Amdahl, AFIPS Conference Proceedings 30, 483 (1967).

    >>> strong_speedup(10.0, 4.0)
    2.5
    """
    return one_worker_s / time_s


def throughput_speedup(one_worker_per_s: float, per_s: float) -> float:
    """Give the speedup of work that grows with the workers: ``S(p) = X(p) / X(1)``.

    Args:
        one_worker_per_s: samples a second of one worker, > 0.
        per_s: samples a second of ``p`` workers together.

    Reference:
        J. L. Gustafson, Communications of the ACM 31, 532 (1988).

    >>> throughput_speedup(100.0, 380.0)
    3.8
    """
    return per_s / one_worker_per_s


def efficiency(speedup: float, workers: int) -> float:
    """Give the parallel efficiency: ``E(p) = S(p) / p``; 1 is ideal.

    With the throughput's speedup this is ``T(1) / T(p)`` for a weak scaling, as it should be.

    >>> efficiency(3.0, 4)
    0.75
    """
    return speedup / workers


def serial_fraction(speedup: float, workers: int) -> float | None:
    """Give the experimentally determined serial fraction: ``f = (1/S - 1/p) / (1 - 1/p)``.

    Constant over ``p``: a serial part limits the speedup; growing with ``p``: communication does. None for
    one worker.

    Reference:
        A. H. Karp and H. P. Flatt, Communications of the ACM 33, 539 (1990).

    >>> round(serial_fraction(1.6, 2), 9), serial_fraction(4.0, 4), serial_fraction(1.0, 1)
    (0.25, 0.0, None)
    """
    if workers == 1:
        return None
    return (1 / speedup - 1 / workers) / (1 - 1 / workers)


def per_1000_samples(total: float, samples: int) -> float:
    """Give the share of a total that 1000 samples bear.

    >>> per_1000_samples(0.5, 2000)
    0.25
    """
    return 1000 * total / samples
