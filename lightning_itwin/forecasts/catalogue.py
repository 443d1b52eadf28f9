"""Which figures a verification has, in which order, and what there is to say of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lightning_itwin.figure_style import Drawing
from lightning_itwin.forecasts import figures, map_figures
from lightning_itwin.forecasts.alt_texts import by_lead_words, deciles_words, fan_words, reliability_words
from lightning_itwin.forecasts.fan import FanExample, fan_figure
from lightning_itwin.forecasts.layout import ForecastGrid
from lightning_itwin.forecasts.scores import VerificationScores
from lightning_itwin.forecasts.warning_levels import LEVEL_NAMES, WarningRule

if TYPE_CHECKING:
    pass


def drawings(
    scores: VerificationScores,
    rule: WarningRule,
    grid: ForecastGrid | None = None,
    examples: Sequence[FanExample] = (),
) -> list[Drawing]:
    """Draw all that makes sense for these scores.

    Args:
        scores: what was found.
        rule: of the warning levels.
        grid: for the maps.
        examples: for fan charts.
    """
    found = _today(scores, rule, grid)
    for number, example in enumerate(examples):
        found.append(
            Drawing(
                name=f"fan_{number + 1}",
                group="today",
                title=f"One forecast: {example.title}",
                caption="Bands are central intervals, with the median in them. Thin: P20, P10, P5 of the "
                "cell at the time of the year.",
                description=fan_words(example),
                figure=fan_figure(example),
            )
        )
    return found + _by_lead(scores) + _of_events(scores) + _of_calibration(scores) + _maps(scores, grid)


def _today(scores: VerificationScores, rule: WarningRule, grid: ForecastGrid | None) -> list[Drawing]:
    if (
        grid is None
        or scores.latest_probability is None
        or not _on_this_grid(scores.latest_probability, grid)
    ):
        return []
    when = f"issued {np.asarray(grid.times)[scores.latest_origin]}"[:17]
    levels = rule.levels(scores.latest_probability)
    some = scores.leads[0], scores.leads[-1]
    shares = [
        ", ".join(
            f"{name} in {100 * np.mean(levels[:, lead] == number):.0f} % of the cells"
            for number, name in enumerate(LEVEL_NAMES)
        )
        for lead in (0, len(scores.leads) - 1)
    ]
    mean = np.nanmean(scores.latest_probability[..., 0], axis=0)
    percentile = scores.percentiles[0]
    return [
        Drawing(
            name="warnings_today",
            group="today",
            title=f"Warnings, {when}",
            caption="The level of each cell, by the probabilities of values below P20, P10 and P5.",
            description=f"Maps of warning levels, {when}. {some[0]} days ahead: {shares[0]}. "
            f"{some[1]} days ahead: {shares[1]}.",
            figure=map_figures.warning_map_figure(scores, grid, rule),
        ),
        Drawing(
            name=f"probability_below_p{percentile}_today",
            group="today",
            title=f"Probability below P{percentile}, {when}",
            caption=f"Climatology is {percentile} % everywhere: stronger colours are likelier than usual.",
            description=f"Maps of the probability of values below P{percentile}, {when}. Mean of the cells: "
            + by_lead_words(scores.leads, 100 * mean, "{:.0f} %"),
            figure=map_figures.probability_map_figure(scores, grid),
        ),
    ]


def _by_lead(scores: VerificationScores) -> list[Drawing]:
    several = len(scores.leads) > 1
    found = []
    if several and scores.skill:
        told = "; ".join(
            f"against {figures.spoken(name)} " + by_lead_words(scores.leads, values)
            for name, values in scores.skill.items()
        )
        found.append(
            Drawing(
                name="crps_skill",
                group="scores",
                title="Skill by lead",
                caption="How much lower the CRPS is than that of a reference: 1 is perfect, 0 no better.",
                description=f"CRPS skill by lead: {told}",
                figure=figures.skill_figure(scores),
            )
        )
        found.append(
            Drawing(
                name="crps_skill_by_season",
                group="scores",
                title="Skill by season",
                caption="The same, by the season of the day that is forecast.",
                description="CRPS skill by lead in four seasons (December to February first).",
                figure=figures.season_figure(scores),
            )
        )
    if several and scores.events is not None and scores.events.skill:
        skill = next(iter(scores.events.skill.values()))
        told = "; ".join(
            f"P{percentile} " + by_lead_words(scores.leads, skill[:, number])
            for number, percentile in enumerate(scores.percentiles)
        )
        found.append(
            Drawing(
                name="brier_skill",
                group="scores",
                title="Skill for droughts by lead",
                caption="Brier skill of the probabilities of values below P20, P10 and P5.",
                description=f"Brier skill by lead against climatology: {told}",
                figure=figures.brier_figure(scores),
            )
        )
    if several:
        found.append(
            Drawing(
                name="accuracy",
                group="scores",
                title="NSE and KGE by lead",
                caption="Of the median as a forecast of one value: in each cell by itself, and of anomalies.",
                description="NSE of anomalies by lead: " + by_lead_words(scores.leads, scores.anomaly.nse),
                figure=figures.accuracy_figure(scores),
            )
        )
    return found


def _of_events(scores: VerificationScores) -> list[Drawing]:
    if scores.events is None:
        return []
    found = []
    for number, percentile in enumerate(scores.percentiles):
        group = "scores" if number == 0 else "more"
        found.append(
            Drawing(
                name=f"reliability_p{percentile}",
                group=group,
                title=f"Reliability, below P{percentile}",
                caption="On the diagonal, events come as often as forecast. Below: how many forecasts had "
                "which probability; above, bins of fewer than 20 are left out.",
                description=reliability_words(scores, number),
                figure=figures.reliability_figure(scores, number),
            )
        )
        areas = by_lead_words(scores.leads, scores.events.roc_area[:, number])
        found.append(
            Drawing(
                name=f"roc_p{percentile}",
                group=group,
                title=f"ROC, below P{percentile}",
                caption="What share of droughts is warned of, at the price of which share of false alarms.",
                description=f"ROC curves of values below P{percentile}; areas: {areas}",
                figure=figures.roc_figure(scores, number),
            )
        )
    return found


def _of_calibration(scores: VerificationScores) -> list[Drawing]:
    found = []
    if scores.pit is not None:
        density = np.nan_to_num(scores.pit, nan=0.0) * scores.pit.shape[-1]
        found.append(
            Drawing(
                name="pit",
                group="scores",
                title="PIT histogram",
                caption="Flat is calibrated, a hump too wide, a U too narrow, a slope biased.",
                description=f"PIT histograms; density from {density.min():.2f} to {density.max():.2f}, 1 is "
                "calibrated.",
                figure=figures.pit_figure(scores),
            )
        )
    if len(scores.coverages) and len(scores.leads) > 1:
        told = "; ".join(
            f"{100 * share:.0f} % interval " + by_lead_words(scores.leads, 100 * held, "{:.0f} %")
            for share, held in zip(scores.coverages, scores.coverage.T)
        )
        found.append(
            Drawing(
                name="coverage",
                group="scores",
                title="Coverage by lead",
                caption="Share of truths in the 50, 80 and 90 % intervals; thin lines are what it should be.",
                description=f"Coverage by lead: {told}",
                figure=figures.coverage_figure(scores),
            )
        )
    if scores.coverage_by_state is not None:
        found.append(
            Drawing(
                name="coverage_by_state",
                group="scores",
                title="Coverage by state at issue",
                caption="Intervals have to hold as often when it is dry. Grey: 2 points on either side.",
                description="Coverage of the 80 % interval by decile of the anomaly at issue, driest first: "
                + deciles_words(scores),
                figure=figures.coverage_by_state_figure(scores),
            )
        )
    return found


def _maps(scores: VerificationScores, grid: ForecastGrid | None) -> list[Drawing]:
    if grid is None:
        return []
    found = []
    for name, values in scores.maps.items():
        if not np.isfinite(values).any() or not _on_this_grid(values.T, grid):
            continue
        title, caption = _map_words(name)
        medians = np.array([np.nanmedian(row) if np.isfinite(row).any() else np.nan for row in values])
        found.append(
            Drawing(
                name=f"map_{name}",
                group="maps",
                title=title,
                caption=caption,
                description=f"Maps: {title}. Median of the cells: "
                + by_lead_words(scores.map_leads, medians),
                figure=map_figures.skill_map_figure(scores, grid, name),
            )
        )
    return found


def _map_words(name: str) -> tuple[str, str]:
    if name == "nse":
        return "NSE of the median", "In each cell by itself."
    score, _, reference = name.partition("_skill_")
    if score == "crps":
        return f"CRPS skill against {figures.spoken(reference)}", "Brown is worse than the reference."
    percentile, _, reference = reference.partition("_")
    return (
        f"Brier skill below {percentile.upper()}, against {figures.spoken(reference)}",
        "Brown is worse than the reference. A cell in which no drought came has large errors of its own.",
    )


def _on_this_grid(values: np.ndarray, grid: ForecastGrid) -> bool:
    return len(values) == np.asarray(grid.row).size
