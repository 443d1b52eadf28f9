"""Figures: words on every axis, colours that follow the page, grids and examples of every kind."""

from __future__ import annotations

import re
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from lightning_itwin.figure_style import BLUE, INK, themed_svg
from lightning_itwin.forecasts import FanExample, VerificationScores, WarningRule
from lightning_itwin.forecasts import figures as drawn
from lightning_itwin.forecasts.fan import fan_figure
from lightning_itwin.forecasts.lead_axis import shown_leads
from lightning_itwin.forecasts.map_figures import (
    on_grid,
    probability_map_figure,
    skill_map_figure,
    warning_map_figure,
)
from tests.forecasts.synthetic import batch, grid, verification


@pytest.fixture(scope="module")
def scores() -> VerificationScores:
    metric = verification(18)
    metric.update(**batch(18, 30).part(slice(None)))
    return metric.compute()


@pytest.mark.parametrize(
    "name",
    ["skill", "brier", "season", "reliability", "roc", "pit", "coverage", "coverage_by_state", "accuracy"],
)
def test_every_axis_has_its_words(scores: VerificationScores, name: str) -> None:
    figure = getattr(drawn, f"{name}_figure")(scores)
    lowest = figure.axes[-1]
    assert lowest.get_xlabel()
    assert all(axes.get_ylabel() for axes in figure.axes)
    assert any(axes.get_legend() for axes in figure.axes)


def test_lines_hold_the_scores(scores: VerificationScores) -> None:
    lines = {line.get_label(): line for line in drawn.skill_figure(scores).axes[0].lines}
    np.testing.assert_array_equal(lines["against climatology"].get_ydata(), scores.skill["climatology"])
    np.testing.assert_array_equal(lines["against climatology"].get_xdata(), scores.leads)


def test_a_picture_follows_the_light_of_its_page(scores: VerificationScores) -> None:
    text = themed_svg(drawn.skill_figure(scores), "skill")
    ElementTree.fromstring(text)
    style = re.search(r"<style>(:root.*?)</style>", text)
    assert style
    assert "prefers-color-scheme: dark" in style.group(1)
    assert INK in style.group(1)
    assert BLUE in style.group(1)
    rest = text.replace(style.group(), "")
    assert INK not in rest
    assert BLUE not in rest
    assert "CRPS skill" in rest, "letters are letters"
    assert text == themed_svg(drawn.skill_figure(scores), "skill")


def test_pictures_name_nothing_outside(scores: VerificationScores) -> None:
    text = themed_svg(warning_map_figure(scores, grid(), WarningRule()), "map")
    links = re.findall(r'(?:href|src)="([^"]*)"', text)
    assert all(link.startswith(("#", "data:")) for link in links)


def test_maps_of_a_curvilinear_grid_are_drawn(scores: VerificationScores) -> None:
    plain = grid()
    lat, lon = np.meshgrid(plain.lat, plain.lon, indexing="ij")
    curved = SimpleNamespace(**{**vars(plain), "lat": lat + 0.02 * lon, "lon": lon - 0.02 * lat})
    for on in (plain, curved):
        assert len(skill_map_figure(scores, on, "nse").axes) == 5, "four maps and a scale"
        assert len(probability_map_figure(scores, on).axes) == 5
        assert len(warning_map_figure(scores, on, WarningRule()).axes) == 4


def test_cells_stand_where_they_are() -> None:
    on = grid()
    found = on_grid(np.arange(18.0), on)
    assert found[on.row[7], on.column[7]] == 7
    assert np.isnan(found[2, 2:4]).all()


def test_a_fan_of_a_past_with_gaps_and_without_truth() -> None:
    past = np.array([0.1, np.nan, 0.3, np.nan])
    example = FanExample(
        title="a cell",
        past=past,
        leads=np.array([1, 7]),
        levels=np.array([0.1, 0.5, 0.9]),
        quantiles=np.array([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0]]),
    )
    axes = fan_figure(example).axes[0]
    assert axes.get_xlabel() == "days from issue"
    labels = axes.get_legend_handles_labels()[1]
    assert labels == ["80 %", "median", "observed"]


def test_a_fan_opens_where_the_truth_is_known_and_has_dates() -> None:
    example = FanExample(
        title="a cell",
        past=np.linspace(0, 1, 40),
        leads=np.array([1, 30]),
        levels=np.array([0.05, 0.25, 0.5, 0.75, 0.95]),
        quantiles=np.array([[0.8, 0.9, 1.0, 1.1, 1.2], [-1.0, 0.0, 0.5, 1.0, 2.0]]),
        truth=np.full(30, 0.7),
        thresholds=np.tile([-0.8, -1.3, -1.6], (70, 1)),
        issued=np.datetime64("2003-05-12"),
    )
    axes = fan_figure(example).axes[0]
    median = next(line for line in axes.lines if line.get_label() == "median")
    assert median.get_xydata()[0].tolist() == [0.0, 1.0]
    assert axes.get_xlabel() == "issued 2003-05-12"
    assert "12 May" in [label.get_text() for label in axes.get_xticklabels()]
    assert {text.get_text() for text in axes.texts} == {"P20", "P10", "P5"}


def test_leads_that_are_shown_hold_first_and_last() -> None:
    assert shown_leads(np.array([0])) == [0]
    assert shown_leads(np.arange(1, 61))[0] == 0
    assert shown_leads(np.arange(1, 61))[-1] == 59
