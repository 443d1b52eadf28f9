"""What a verification found, in words."""

from __future__ import annotations

import re

import numpy as np

from lightning_itwin.forecasts.figures import spoken
from lightning_itwin.forecasts.layout import ForecastTarget
from lightning_itwin.forecasts.scores import VerificationScores
from lightning_itwin.pages import Finding

_LEAST_SKILL = 0.005
_CALIBRATED, _NEARLY = 0.02, 0.05


def pretty_unit(unit: str) -> str:
    """Write a unit as people do.

    >>> pretty_unit("m3 m-3"), pretty_unit("mm d-1"), pretty_unit("1")
    ('m³ m⁻³', 'mm d⁻¹', '')
    """
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    if unit == "1":
        return ""
    return re.sub(r"(?<=[A-Za-z])-?\d+", lambda found: found.group().translate(raised), unit)


def better_until(leads: np.ndarray, skill: np.ndarray) -> int | None:
    """Give the lead up to which skill is positive at every lead; None if not even at the first.

    >>> better_until(np.array([1, 7, 30]), np.array([0.8, 0.3, -0.1]))
    7
    """
    good = skill > _LEAST_SKILL
    if not len(good) or not good[0]:
        return None
    bad = np.flatnonzero(~good)
    return int(leads[-1] if not bad.size else leads[bad[0] - 1])


def headline(scores: VerificationScores, target: ForecastTarget) -> str:
    """Say in a sentence or three what the forecasts are worth."""
    return " ".join(part for part in (_skill_sentence(scores), _calibration_sentence(scores)) if part) or (
        _accuracy_sentence(scores, target)
    )


def findings(scores: VerificationScores, target: ForecastTarget) -> list[Finding]:
    """Give what the page says first, three or four things."""
    found = []
    for name, skill in scores.skill.items():
        until = better_until(scores.leads, skill)
        at = _reading_lead(scores.leads)
        value, lead = float(skill[at]), int(scores.leads[at])
        verdict = _skill_verdict(scores.leads, until)
        if len(scores.leads) == 1:
            answer, unit = f"{value:.2f}", "CRPS skill"
        else:
            answer, unit = (
                ("never", "") if until is None else (f"to {until}", f"day{'' if until == 1 else 's'}")
            )
        found.append(
            Finding(
                question=f"{'beats' if len(scores.leads) > 1 else 'against'} {spoken(name)}",
                answer=answer,
                unit=unit,
                verdict=verdict,
                why=f"CRPS {_percent_lower(value).removesuffix(' than')} {_ahead(lead)}",
            )
        )
    if len(scores.coverages):
        found.append(_coverage_finding(scores))
    if scores.value is not None and len(found) < 4:
        at = _reading_lead(scores.leads)
        unit = pretty_unit(target.units)
        nse = scores.cell_nse if np.isfinite(scores.cell_nse).any() else scores.value.nse
        words = "median of cells" if nse is scores.cell_nse else "all cells together"
        at_map = min(at, len(nse) - 1)
        found.append(
            Finding(
                question="error of the median",
                answer=f"{scores.value.rmse[at]:.3g}",
                unit=unit,
                why=f"RMSE {_ahead(int(scores.leads[at]))}; NSE {nse[at_map]:.2f}, {words}",
            )
        )
    return found


def _skill_sentence(scores: VerificationScores) -> str:
    if not scores.skill:
        return ""
    if len(scores.leads) == 1:
        parts = [
            f"{_percent_lower(float(skill[0]))} {spoken(name)}'s" for name, skill in scores.skill.items()
        ]
        return f"The CRPS is {_listed(parts)}."
    parts, never = [], []
    for name, skill in scores.skill.items():
        until = better_until(scores.leads, skill)
        if until is None:
            never.append(spoken(name))
        else:
            parts.append(f"{spoken(name)} up to {until} day{'' if until == 1 else 's'} ahead")
    said = f"The forecasts beat {_listed(parts)}." if parts else ""
    if never:
        said += (
            f" They do not beat {_listed(never)}." if said else f"The forecasts do not beat {_listed(never)}."
        )
    at = _reading_lead(scores.leads)
    lead = int(scores.leads[at])
    first, skill = next(iter(scores.skill.items()))
    said += (
        f" {_ahead(lead).capitalize()} their CRPS is {_percent_lower(float(skill[at]))} {spoken(first)}'s."
    )
    return said.strip()


def _calibration_sentence(scores: VerificationScores) -> str:
    if not len(scores.coverages):
        return ""
    which = int(np.abs(scores.coverages - 0.8).argmin())
    share, held = scores.coverages[which], scores.coverage[:, which]
    word = _calibration(held - share, scores.months)[0]
    return f"The {100 * share:.0f} % intervals held {_range(held)} of what came: {word}."


def _accuracy_sentence(scores: VerificationScores, target: ForecastTarget) -> str:
    errors = scores.value or scores.anomaly
    unit = pretty_unit(target.units) if scores.value is not None else ""
    return f"The RMSE is {errors.rmse[0]:.3g} {unit}".rstrip() + f", the NSE {errors.nse[0]:.2f}."


def _coverage_finding(scores: VerificationScores) -> Finding:
    which = int(np.abs(scores.coverages - 0.8).argmin())
    share, held = scores.coverages[which], scores.coverage[:, which]
    why = "over all leads" if len(held) > 1 else ""
    if scores.coverage_by_state is not None:
        driest = scores.coverage_by_state[0, :, which]
        why += f"{'; ' if why else ''}issued in the driest decile {_range(driest)}"
    return Finding(
        question=f"{100 * share:.0f} % intervals held",
        answer=_range(held).removesuffix(" %"),
        unit="%",
        verdict=_calibration(held - share, scores.months),
        why=why,
    )


def _calibration(off: np.ndarray, months: int) -> tuple[str, str]:
    """Judge a coverage by its worst lead, if there are months enough to tell."""
    known = off[np.isfinite(off)]
    if not known.size:
        return "unknown", ""
    worst = float(np.abs(known).max())
    if worst <= _CALIBRATED:
        return "calibrated", "good"
    if worst <= _NEARLY:
        return "nearly calibrated", "warn"
    if worst <= 2 * 0.4 / max(months, 1) ** 0.5:  # twice the deviation of an 80 % coverage that is right
        return "too few months to tell", "warn"
    return ("too narrow", "bad") if known[np.abs(known).argmax()] < 0 else ("too wide", "bad")


def _skill_verdict(leads: np.ndarray, until: int | None) -> tuple[str, str]:
    if until is None:
        return "no skill", "bad"
    if len(leads) == 1:
        return "skill", "good"
    return ("at every lead", "good") if until == int(leads[-1]) else ("at short leads", "warn")


def _reading_lead(leads: np.ndarray) -> int:
    """Give the index of the lead that sentences speak of: that nearest to a week."""
    return int(np.abs(leads - 7).argmin())


def _ahead(lead: int) -> str:
    return "on the same day" if lead == 0 else f"{lead} day{'' if lead == 1 else 's'} ahead"


def _percent_lower(skill: float) -> str:
    if not np.isfinite(skill):
        return "of unknown size against"
    return f"{abs(100 * skill):.0f} % {'lower' if skill >= 0 else 'higher'} than"


def _range(shares: np.ndarray) -> str:
    known = 100 * shares[np.isfinite(shares)]
    if not known.size:
        return "an unknown share"
    low, high = f"{known.min():.0f}", f"{known.max():.0f}"
    return f"{low} %" if low == high else f"{low} to {high} %"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
