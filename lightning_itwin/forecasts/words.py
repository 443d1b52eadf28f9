"""What the words of a verification mean, and who says so."""

from __future__ import annotations

from lightning_itwin.forecasts.warning_levels import WarningRule
from lightning_itwin.pages import Term


def words(rule: WarningRule, with_events: bool) -> list[Term]:
    """Give the glossary of a page.

    Args:
        rule: of the warning levels.
        with_events: whether there are drought probabilities.
    """
    return [*_WORDS, *(_event_words(rule) if with_events else ())]


_WORDS = (
    Term(
        title="CRPS",
        definition="Continuous ranked probability score: the integral over x of the squared difference "
        "between the forecast's distribution function at x and the step that what came makes. "
        "It has the unit of what is forecast, and of a single number it is the absolute error; "
        "lower is better. Here it is computed from the quantiles, as twice the weighted mean of"
        " their pinball losses.",
        source="Gneiting & Raftery 2007, JASA 102, 359",
        url="https://doi.org/10.1198/016214506000001437",
    ),
    Term(
        title="Skill",
        definition="1 minus the score over the score of a reference: 1 is perfect, 0 no better than the "
        "reference, below 0 worse.",
        source="Murphy 1988, Monthly Weather Review 116, 2417",
        url="https://doi.org/10.1175/1520-0493(1988)116%3C2417:SSBOTM%3E2.0.CO;2",
    ),
    Term(
        title="Climatology",
        definition="The forecast that knows the time of the year and nothing else: how the anomaly was "
        "distributed in the years of training.",
    ),
    Term(
        title="Damped persistence",
        definition="The forecast that knows the anomaly on the day of issue and lets it fade with the "
        "lead, as fast as in the years of training. For soil moisture it is hard to beat over a"
        " few days.",
    ),
    Term(
        title="Lead",
        definition="Days from the day of issue, whose observations are known, to the day that is forecast.",
    ),
    Term(
        title="Coverage",
        definition="Share of what came that lay inside of a central interval. Calibrated forecasts hold 80"
        " % in their 80 % interval, at every lead and from every state: also where it was dry "
        "on the day of issue.",
        source="Gneiting, Balabdaoui & Raftery 2007, JRSS B 69, 243",
        url="https://doi.org/10.1111/j.1467-9868.2007.00587.x",
    ),
    Term(
        title="PIT histogram",
        definition="Probability integral transform: where in its forecast's distribution what came lay, "
        "from 0 to 1. Flat is calibrated, a hump says too wide, a U too narrow, a slope a bias.",
        source="Czado, Gneiting & Held 2009, Biometrics 65, 1254",
        url="https://doi.org/10.1111/j.1541-0420.2009.01191.x",
    ),
    Term(
        title="NSE and KGE",
        definition="Nash-Sutcliffe efficiency: 1 minus the squared error of the median over the variance "
        "of what came. Kling-Gupta efficiency: 1 minus the distance of correlation, ratio of "
        "standard deviations and ratio of means from 1. In each cell by itself: over all cells "
        "together, the differences between cells would flatter the forecast.",
        source="Nash & Sutcliffe 1970, J. Hydrology 10, 282; Gupta et al. 2009, J. Hydrology 377, 80",
        url="https://doi.org/10.1016/j.jhydrol.2009.08.003",
    ),
)


def _event_words(rule: WarningRule) -> tuple[Term, ...]:
    return (
        Term(
            title="P20, P10, P5",
            definition="Values that soil moisture of this cell falls below in 20, 10 and 5 % of the years "
            "at this time of the year: the bounds of moderate, severe and extreme drought.",
            source="Svoboda et al. 2002, BAMS 83, 1181",
            url="https://doi.org/10.1175/1520-0477-83.8.1181",
        ),
        Term(
            title="Brier skill",
            definition="Skill of a probability: its mean squared difference from 1 (it came) or 0 (it did "
            "not), against that of the reference. Climatology states 20, 10 and 5 %.",
            source="Brier 1950, Monthly Weather Review 78, 1",
            url="https://doi.org/10.1175/1520-0493(1950)078%3C0001:VOFEIT%3E2.0.CO;2",
        ),
        Term(
            title="ROC",
            definition="Warn above some probability: the share of the events that were warned of, against "
            "the share of the non-events that were, for every such probability. An area of 0.5 "
            "tells nothing apart, 1 all.",
            source="Mason & Graham 2002, QJRMS 128, 2145",
            url="https://doi.org/10.1256/003590002320603584",
        ),
        Term(
            title="Reliability diagram",
            definition="Among all forecasts of 30 %, the event should come in 30 %. Below the diagonal the"
            " probabilities are too high, above it too low. Cells share their weather, so "
            "points scatter more than their number suggests.",
            source="Bröcker & Smith 2007, Weather and Forecasting 22, 651",
            url="https://doi.org/10.1175/WAF993.1",
        ),
        Term(
            title="Watch, warning, alert",
            definition=f"The level is {rule.text()}. At one half it is what the forecast holds for more "
            "likely than not; who loses more by a missed drought than by a precaution takes "
            "less.",
            source="after the European Drought Observatory, Cammalleri et al. 2021, NHESS 21, 481",
            url="https://doi.org/10.5194/nhess-21-481-2021",
        ),
    )
