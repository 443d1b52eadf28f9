"""An axis of leads, and which of many leads are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lightning_itwin.figure_style import INK, SIZE_PT

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def by_lead(axes: Axes, leads: np.ndarray) -> None:
    """Make the axis across one of leads: square roots of days, so that short leads have their room."""
    axes.set_xscale("function", functions=(_root, _square))
    axes.set_xticks(leads, [str(lead) for lead in _thinned(leads)])
    axes.set_xticks([], minor=True)
    axes.set_xlim(float(leads[0]) - 0.15, float(leads[-1]) * 1.02 + 0.5)
    axes.set_xlabel("lead (days)", color=INK, fontsize=SIZE_PT)


def shown_leads(leads: np.ndarray, count: int = 4) -> list[int]:
    """Give the indices of some leads, first and last among them, closer together where they are short.

    >>> shown_leads(np.array([1, 3, 7, 14, 21, 30, 45, 60]))
    [0, 2, 5, 7]
    """
    if len(leads) <= count:
        return list(range(len(leads)))
    roots = np.cbrt(leads)
    wanted = np.linspace(roots[0], roots[-1], count)
    return sorted({int(np.abs(roots - root).argmin()) for root in wanted})


def _root(days: np.ndarray) -> np.ndarray:
    return np.sign(days) * np.sqrt(np.abs(days))


def _square(roots: np.ndarray) -> np.ndarray:
    return np.sign(roots) * np.square(roots)


def _thinned(leads: np.ndarray) -> list[object]:
    """Leave out the labels of leads that stand too near to the one before."""
    roots = np.sqrt(leads.astype(float))
    least, last = 0.055 * max(roots[-1] - roots[0], 1e-9), -np.inf
    found: list[object] = []
    for lead, root in zip(leads, roots):
        near = root - last < least
        found.append("" if near else int(lead))
        last = last if near else root
    return found
