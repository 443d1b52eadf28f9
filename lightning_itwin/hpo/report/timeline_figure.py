"""The figure of who worked when."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_itwin.hpo.report.drawing import (
    Drawing,
    chart,
    colour,
    data,
    duration,
    rounded,
    state_colour,
    time_unit,
    tooltip,
)
from lightning_itwin.hpo.report.slots import Work, busy_percent
from lightning_itwin.hpo.study_reading import StudyRecord


def timeline(study: StudyRecord, found: Sequence[Work]) -> Drawing:
    """Draw which row was trained when and in which slot.

    Args:
        study: the rows.
        found: of :func:`~lightning_itwin.hpo.report.slots.work`.
    """
    if not found:
        return Drawing(
            name="timeline",
            title="Time line of the slots",
            caption="",
            description="No training has begun.",
            chart=None,
            wide=True,
        )
    unit, divisor = time_unit(max(one.end_s for one in found))
    slots = [name for _, name in sorted({(one.place, one.slot) for one in found})]
    bars = [
        {
            "slot": one.slot,
            "x": rounded(one.start_s / divisor),
            "x2": rounded(one.end_s / divisor),
            "state": one.row.state,
            "name": f"{one.row.configuration}, row {one.row.number}",
            "epochs": f"{one.row.from_epoch + 1} to {one.row.from_epoch + one.row.epochs}"
            if one.row.epochs
            else "none",
            "time": duration(one.end_s - one.start_s),
        }
        for one in found
    ]
    height = max(4, min(26, round(520 / len(slots))))
    layer = {
        "data": data(bars),
        "mark": {
            "type": "bar",
            "height": {"band": 0.82},
            "stroke": colour("paper"),
            "strokeWidth": 0.6,
            "cornerRadius": 2 if height > 10 else 0,
        },
        "encoding": {
            "x": {
                "field": "x",
                "type": "quantitative",
                "title": f"since the first training began ({unit})",
                "scale": {"nice": False},
                "axis": {"tickCount": 8, "labelOverlap": "greedy"},
            },
            "x2": {"field": "x2"},
            "y": {
                "field": "slot",
                "type": "ordinal",
                "sort": slots,
                "title": None if any(" " in name for name in slots) else "slot",
                "axis": {"labelOverlap": "greedy", "labelLimit": 120},
            },
            "color": state_colour(bar["state"] for bar in bars),
            "tooltip": tooltip(
                ("name", "configuration"), ("state", "state"), ("epochs", "epochs"), ("time", "took")
            ),
        },
    }
    share = busy_percent(tuple(found))
    return Drawing(
        name="timeline",
        title="Time line of the slots",
        caption="A bar is one segment: one launch of one configuration, in the colour of how it ended.",
        description=(
            f"{len(found)} segments in {len(slots)} slot{'' if len(slots) == 1 else 's'} over "
            f"{duration(max(one.end_s for one in found))}"
            + (f"; the slots were busy {share:.0f} % of it" if share is not None else "")
            + "."
        ),
        chart=chart(layer),
        height=max(60, height * len(slots)),
        wide=True,
    )
