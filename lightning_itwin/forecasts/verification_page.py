"""The page of a verification: one file that opens offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_itwin.figure_style import figure_card, png, settle
from lightning_itwin.forecasts.catalogue import Drawing, drawings
from lightning_itwin.forecasts.fan import FanExample
from lightning_itwin.forecasts.headline import findings, headline, pretty_unit
from lightning_itwin.forecasts.layout import ForecastGrid, ForecastTarget, without_paths
from lightning_itwin.forecasts.score_table import lead_table, scores_csv, scores_json
from lightning_itwin.forecasts.scores import VerificationScores
from lightning_itwin.forecasts.warning_levels import WarningRule
from lightning_itwin.forecasts.words import words
from lightning_itwin.pages import card, downloads, facts, finding, glossary, page, section, sentence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# what a verification has beyond the style of every page
_STYLE = """
.lead { font-size: clamp(1.08rem, 1.7vw, 1.3rem); line-height: 1.45; max-width: 68ch;
  margin: 0 0 20px; text-wrap: pretty; }
.under { margin: 10px 4px 0; font-size: 0.88rem; }
figure.card { display: flex; flex-direction: column; }
.drawing { display: block; width: 100%; max-width: 600px; height: auto; margin: auto; }
.choices { grid-template-columns: repeat(auto-fit, minmax(min(100%, 250px), 1fr)); }
@media (min-width: 1200px) { .figures { grid-template-columns: repeat(3, 1fr); } }
.leads th:first-child { position: sticky; left: 0; background: var(--card); }
@media (max-width: 760px) { .leads th:first-child { box-shadow: 1px 0 0 var(--line); } }
"""
_GROUPS = {
    "today": ("today", "Forecasts"),
    "scores": ("figures", "How good they are"),
    "maps": ("maps", "Where they are good"),
}


@dataclass(frozen=True, kw_only=True)
class About:
    """What the page says of the forecasts.

    Args:
        title: heading of the page.
        model: in words, such as "DroughtForecaster, LSTM of 128, quantiles, conformal calibration 2011-2014".
        period: of the forecasts that were verified, such as "2015-01-01 to 2018-12-31".
        target: what is forecast.
        rule: when a forecast is a watch, a warning or an alert.
        facts: more lines for the foot of the page by name: data, seeds, versions.
    """

    title: str = "Verification of drought forecasts"
    model: str = ""
    period: str = ""
    target: ForecastTarget = field(default_factory=ForecastTarget)
    rule: WarningRule = field(default_factory=WarningRule)
    facts: Mapping[str, str] = field(default_factory=dict)


def write_verification(
    folder: str | Path,
    scores: VerificationScores,
    about: About,
    grid: ForecastGrid | None = None,
    examples: Sequence[FanExample] = (),
) -> dict[str, Figure]:
    """Write ``verification.html``, ``scores.csv``, ``scores.json`` and ``figures/*.png``, on one rank.

    Args:
        folder: where to; made if needed.
        scores: from :meth:`Verification.compute`.
        about: what the page says of the forecasts.
        grid: for the maps.
        examples: forecasts of single cells for fan charts.

    Returns:
        The figures by name, for TensorBoard: ``writer.add_figure(f"test/{name}", figure, step)``.

    Raises:
        ValueError: there is no score: nothing that was forecast has come.
        MissingExtraError: matplotlib is not installed.
    """
    if not scores.count.any():
        raise ValueError("There is nothing to verify: no forecast has a day on which the truth is known.")
    folder = Path(folder)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    drawn = drawings(scores, about.rule, grid, examples)
    told = _facts(scores, about)
    files = {"scores.csv": scores_csv(scores), "scores.json": scores_json(scores, told)}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    for drawing in drawn:
        settle(drawing.figure)
        (folder / "figures" / f"{drawing.name}.png").write_bytes(png(drawing.figure))
    (folder / "verification.html").write_text(_page(scores, about, drawn, files, told), encoding="utf-8")
    return {drawing.name: drawing.figure for drawing in drawn}


def _page(
    scores: VerificationScores,
    about: About,
    drawn: Sequence[Drawing],
    files: Mapping[str, str],
    told: Mapping[str, str],
) -> str:
    found = findings(scores, about.target)
    body = [
        section(
            "summary",
            "In short",
            f'<p class="lead">{escape(headline(scores, about.target))}</p>'
            f'<div class="choices">{"".join(finding(one) for one in found)}</div>',
        ),
        section(
            "results",
            "Scores by lead" if len(scores.leads) > 1 else "Scores",
            card("results", lead_table(scores, about.target)) + _table_note(scores),
            beside=downloads(files),
        ),
    ]
    shown = dict.fromkeys((*_GROUPS, "more"), "")
    for drawing in drawn:
        shown[drawing.group] += figure_card(drawing)
    for group, (name, heading) in _GROUPS.items():
        if shown[group]:
            more = _more(shown["more"]) if group == "scores" else ""
            body.append(section(name, heading, f'<div class="figures">{shown[group]}</div>{more}'))
    body.append(section("made", "How they were made", facts(told)))
    body.append(
        section("terms", "What the words mean", glossary(words(about.rule, scores.events is not None)))
    )
    return page(
        about.title,
        "lightning_itwin verification",
        [without_paths(about.model), about.target.title, about.period],
        body,
        made_from="forecasts and what came",
        style=_STYLE,
    )


def _more(figures: str) -> str:
    if not figures:
        return ""
    summary = "<summary>Reliability and ROC of rarer droughts</summary>"
    return f'<details class="more">{summary}<div class="figures">{figures}</div></details>'


def _table_note(scores: VerificationScores) -> str:
    said = []
    if scores.reference_crps:
        said.append("A star marks the lowest CRPS of a lead.")
    if scores.count.size:
        said.append(
            "Cells of one day share their weather: scores are less certain than the samples are many."
        )
    return f'<p class="quiet under">{" ".join(said)}</p>'


def _facts(scores: VerificationScores, about: About) -> dict[str, str]:
    low, high = int(scores.count.min()), int(scores.count.max())
    levels = ", ".join(f"{level:g}" for level in scores.levels)
    found = {
        "Target": f"{about.target.title} {pretty_unit(about.target.units)}".strip(),
        "Model": about.model,
        "Period": about.period,
        "Samples a lead": f"{low:,}" if low == high else f"{low:,} to {high:,}",
        "Months of issue": f"{scores.months:,}",
        "Quantile levels": levels,
        "References": ", ".join(name.replace("_", " ") for name in scores.references),
        "Warning levels": sentence(about.rule.text()) if scores.events is not None else "",
        **{str(name): str(value) for name, value in about.facts.items()},
    }
    return {name: without_paths(value) for name, value in found.items() if value}
