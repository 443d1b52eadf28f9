"""What a veto catches, and what it costs."""

# K thresholds, N moments

from __future__ import annotations

import numpy as np

from lightning_itwin.strain.segments import duration, intersection
from lightning_itwin.subtraction.outputs.veto_list import VetoList
from lightning_itwin.subtraction.report.evidence import Injections, Subtraction, Transients, VetoCurve

_MOST_THRESHOLDS = 200
_NAMES = {"witnessed": "glitches with a witness", "unwitnessed": "glitches without"}


def veto_curve(
    subtraction: Subtraction, transients: Transients, injections: Injections | None
) -> VetoCurve | None:
    """Give efficiency against dead time of a veto list, as its threshold falls from 1 to 0.

    Args:
        subtraction: holds the vetoes.
        transients: that a veto should catch.
        injections: signals, which it should not.

    Returns:
        The curve; None where there is no veto or no loud moment.
    """
    vetoes = subtraction.vetoes
    if not len(vetoes) or not len(transients.gps_s):
        return None
    live_s = np.asarray(subtraction.data.clock.gps_s(subtraction.covered), dtype=np.float64)
    thresholds = np.unique(vetoes.probability)[::-1]
    if len(thresholds) > _MOST_THRESHOLDS:
        thresholds = thresholds[np.linspace(0, len(thresholds) - 1, _MOST_THRESHOLDS).astype(int)]
    kinds = np.array(transients.kind)
    by_kind = {
        name: transients.gps_s[kinds == kind] for kind, name in _NAMES.items() if (kinds == kind).any()
    }
    moments = by_kind or {"loud moments": transients.gps_s}
    if injections is not None and not injections.software:
        moments = moments | {"signals": injections.gps_s}
    at_moment = {name: vetoes.probability_at(gps_s) for name, gps_s in moments.items()}
    return VetoCurve(
        threshold=thresholds,
        dead_time=_dead_time(vetoes, thresholds, live_s),
        efficiency={
            name: np.array([(found >= threshold).mean() for threshold in thresholds])
            for name, found in at_moment.items()
        },
    )


def _dead_time(vetoes: VetoList, thresholds: np.ndarray, live_s: np.ndarray) -> np.ndarray:
    total_s = duration(live_s)
    return np.array(
        [duration(intersection(vetoes.segments(threshold), live_s)) / total_s for threshold in thresholds]
    )
