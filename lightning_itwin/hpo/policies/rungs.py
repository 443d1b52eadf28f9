"""Rungs: the epochs at which configurations are compared, and who of them may go on.

Successive halving (Jamieson and Talwalkar, AISTATS 2016) without waiting for a rung to fill: ASHA (Li et al.,
MLSys 2020, https://arxiv.org/abs/1810.05934), algorithm 2 with its pausing and promoting.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from lightning_itwin.hpo.policies.configurations import Configuration


def rung_ladder(first: int, max_epochs: int, eta: int) -> tuple[int, ...]:
    """Give the rungs, the last of them the whole training.

    >>> rung_ladder(3, 40, 3)
    (3, 9, 27, 40)
    >>> rung_ladder(1, 243, 3)
    (1, 3, 9, 27, 81, 243)

    Args:
        first: epochs of the first rung.
        max_epochs: epochs of a whole training.
        eta: how many times more epochs each next rung has.

    Raises:
        ValueError: the first rung is not within the training, or ``eta`` below 2.
    """
    if not 1 <= first <= max_epochs:
        raise ValueError(f"first rung {first}: it has to be within 1 and max_epochs, {max_epochs}")
    if eta < 2:
        raise ValueError(f"eta {eta}: a rung is at least 2 times the one before")
    rungs = []
    while first < max_epochs:
        rungs.append(first)
        first *= eta
    return (*rungs, max_epochs)


def default_first_rung(max_epochs: int) -> int:
    """Give a thirteenth of a training: with a lower one, what starts slowly and ends well is dropped.

    >>> [default_first_rung(epochs) for epochs in (1, 5, 40, 100)]
    [1, 1, 3, 8]
    """
    return max(1, round(max_epochs / 13))


def promotable(
    configurations: Sequence[Configuration], rungs: Sequence[int], eta: int
) -> tuple[Configuration, int] | None:
    """Find who is to be resumed and to which rung, from the highest rung down.

    At a rung that ``n`` configurations have reached, the best ``floor(n / eta)`` go on.

    Args:
        configurations: all of the study.
        rungs: of :func:`rung_ladder`.
        eta: share of a rung that goes on, inverted.
    """
    for rung, following in reversed(list(pairwise(rungs))):
        reached = [one for one in configurations if one.reached >= rung]
        reached.sort(key=lambda one: (one.best(rung), one.number))
        for one in reached[: len(reached) // eta]:
            if one.epochs == rung and not (one.busy or one.ended or one.diverged):
                return one, following
    return None
