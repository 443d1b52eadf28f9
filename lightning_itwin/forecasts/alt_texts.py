"""What is to be seen on a figure, for who cannot see it."""

from __future__ import annotations

import numpy as np

from lightning_itwin.forecasts.fan import FanExample
from lightning_itwin.forecasts.lead_axis import shown_leads
from lightning_itwin.forecasts.scores import VerificationScores


def by_lead_words(leads: np.ndarray, values: np.ndarray, form: str = "{:.2f}") -> str:
    """Say some values of a score with their leads."""
    told = [
        f"{form.format(values[place])} {'on the same day' if leads[place] == 0 else f'at {leads[place]} d'}"
        for place in shown_leads(leads)
        if np.isfinite(values[place])
    ]
    return ", ".join(told) + "." if told else "unknown."


def deciles_words(scores: VerificationScores) -> str:
    """Say the coverage of the 80 % interval in every decile of the state at issue, mean over leads."""
    if scores.coverage_by_state is None:
        return ""
    which = int(np.abs(scores.coverages - 0.8).argmin())
    values = np.nanmean(scores.coverage_by_state[..., which], axis=1)
    return ", ".join(f"{100 * value:.0f} %" for value in values)


def reliability_words(scores: VerificationScores, number: int) -> str:
    """Say the reliability diagram of one percentile at a lead in the middle."""
    if scores.events is None:
        return ""
    events, lead = scores.events, len(scores.leads) // 2
    pairs = zip(events.reliability_forecast[lead, number], events.reliability_observed[lead, number])
    told = ", ".join(
        f"{100 * said:.0f} % forecast, {100 * came:.0f} % came" for said, came in pairs if said == said
    )
    return (
        f"Reliability of the probability of values below P{scores.percentiles[number]}; "
        f"{scores.leads[lead]} days ahead: {told}."
    )


def fan_words(example: FanExample) -> str:
    """Say where a fan chart begins and ends."""
    low, high = example.quantiles[:, 0], example.quantiles[:, -1]
    middle = example.quantiles[:, int(np.abs(np.asarray(example.levels) - 0.5).argmin())]
    last = f"the median goes from {middle[0]:.2f} to {middle[-1]:.2f}, the widest band from "
    return f"Fan chart of {example.title}: {last}{low[-1]:.2f} to {high[-1]:.2f} at {example.leads[-1]} days."
