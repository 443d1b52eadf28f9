"""The scores as a table of the page, as CSV and as JSON."""

# L leads

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from lightning_itwin.forecasts.figures import spoken
from lightning_itwin.forecasts.headline import pretty_unit
from lightning_itwin.forecasts.layout import ForecastTarget
from lightning_itwin.forecasts.scores import VerificationScores

_Column = tuple[str, str, np.ndarray, str]  # title, unit, values, format


def lead_table(scores: VerificationScores, target: ForecastTarget) -> str:
    """Give the table, a row a lead; a star marks the lowest CRPS among the forecast and its references."""
    crps = {"forecast": scores.crps} | {spoken(name): value for name, value in scores.reference_crps.items()}
    rows = np.stack(list(crps.values()))
    lowest = np.nanmin(np.where(np.isnan(rows), np.inf, rows), axis=0)
    columns = _columns(scores, target)
    unit = "σ" if target.anomaly else "standardised"
    head = '<th scope="col" class="text">Lead<small>days</small></th>'
    head += "".join(f'<th scope="col">CRPS<small>{escape(name)}, {unit}</small></th>' for name in crps)
    head += "".join(
        f'<th scope="col">{escape(title)}<small>{escape(under) or "&nbsp;"}</small></th>'
        for title, under, _, _ in columns
    )
    body = []
    for place, lead in enumerate(scores.leads):
        cells = "".join(
            _cell(
                f"CRPS of {name}", values[place], ".3f", best=len(crps) > 1 and values[place] == lowest[place]
            )
            for name, values in crps.items()
        )
        cells += "".join(
            _cell(f"{title} {under}".strip(), values[place], form) for title, under, values, form in columns
        )
        body.append(f'<tr><th scope="row">{lead}</th>{cells}</tr>')
    return f'<table class="leads"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'


def scores_csv(scores: VerificationScores) -> str:
    """Give every score that has a number a lead as CSV, a row a lead; an empty field is unknown."""
    columns, text = scores.columns(), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values()):
        writer.writerow(["" if np.isnan(value) else value.item() for value in row])
    return text.getvalue()


def scores_json(scores: VerificationScores, about: Mapping[str, str]) -> str:
    """Give all scores but the maps as JSON; null is unknown."""
    found: dict[str, Any] = {
        "about": dict(about),
        "levels": scores.levels,
        "by_lead": scores.columns(),
        "coverages": scores.coverages,
    }
    if scores.coverage_by_state is not None:
        found["coverage_by_decile_lead_interval"] = scores.coverage_by_state
    if scores.pit is not None:
        found["pit_by_lead_bin"] = scores.pit
    if scores.events is not None:
        found["reliability_by_lead_percentile_bin"] = {
            "percentiles": scores.percentiles,
            "forecast": scores.events.reliability_forecast,
            "observed": scores.events.reliability_observed,
            "samples": scores.events.reliability_count,
        }
    return json.dumps(_plain(found), indent=1, allow_nan=False) + "\n"


def _columns(scores: VerificationScores, target: ForecastTarget) -> list[_Column]:
    found: list[_Column] = []
    for name, values in scores.skill.items():
        found.append(("CRPS skill", f"vs {spoken(name)}", values, ".2f"))
    if scores.events is not None:
        first = next(iter(scores.events.skill), None)
        for number, percentile in enumerate(scores.percentiles):
            if first is not None:
                values = scores.events.skill[first][:, number]
                found.append((f"Brier skill P{percentile}", f"vs {spoken(first)}", values, ".2f"))
        for number, percentile in enumerate(scores.percentiles[:1]):
            found.append((f"ROC area P{percentile}", "", scores.events.roc_area[:, number], ".2f"))
    for number, share in enumerate(scores.coverages):
        if share == 0.8 or len(scores.coverages) == 1:
            found.append(
                (f"{100 * share:.0f} % interval", "held, %", 100 * scores.coverage[:, number], ".1f")
            )
            if scores.coverage_by_state is not None:
                driest = 100 * scores.coverage_by_state[0, :, number]
                found.append((f"{100 * share:.0f} % interval", "driest decile, %", driest, ".1f"))
    found.append(("NSE", "anomaly" if target.anomaly else "standardised", scores.anomaly.nse, ".2f"))
    if len(scores.map_leads) == len(scores.leads) and np.isfinite(scores.cell_kge).any():
        found.append(("NSE", "median of cells", scores.cell_nse, ".2f"))
        found.append(("KGE", "median of cells", scores.cell_kge, ".2f"))
    if scores.value is not None:
        least = float(np.nanmin(scores.value.rmse, initial=np.inf))
        digits = int(np.clip(2 - np.floor(np.log10(least)), 0, 8)) if 0 < least < np.inf else 3
        found.append(("RMSE", pretty_unit(target.units), scores.value.rmse, f".{digits}f"))
    return [column for column in found if not np.isnan(column[2].astype(float)).all()]


def _cell(label: str, value: float, form: str, best: bool = False) -> str:
    label = escape(label, quote=True)
    if not np.isfinite(value):
        return f'<td data-label="{label}" class="none">n/a</td>'
    kind = ' class="best"' if best else ""
    text = format(value, form).replace("-", "−")
    return f'<td data-label="{label}"{kind}><span>{text}</span></td>'


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
