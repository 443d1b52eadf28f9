from __future__ import annotations

import math

import numpy as np
import pytest

from lightning_itwin.inference.calibration import (
    coverage,
    normalised_weights,
    periods_of,
    ranks,
    statistic_ranks,
    uniformity,
)
from lightning_itwin.inference.figures import calibration_table, coverage_figure, pp_figure, tarp_figure
from lightning_itwin.inference.modes import mode_mass
from lightning_itwin.inference.tarp import tarp

pytest.importorskip("scipy")

EVENTS, SAMPLES, PARAMETERS = 300, 500, 6


def gaussian_posteriors(
    shift: float = 0.0, width: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Make posteriors of width 1 around data with noise 1: calibrated if shift is 0 and width 1."""
    random = np.random.default_rng(seed)
    data = random.normal(scale=3, size=(EVENTS, 1, PARAMETERS))
    truths = data[:, 0] + random.normal(size=(EVENTS, PARAMETERS))
    return data + shift + width * random.normal(size=(EVENTS, SAMPLES, PARAMETERS)), truths


def test_ranks_count_what_lies_below() -> None:
    samples = np.array([[[1.0], [2.0], [3.0], [4.0]]])
    assert ranks(samples, np.array([[2.5]]))[0, 0] == 2.5 / 5
    assert ranks(samples, np.array([[2.5]]), np.array([[1.0, 0.0, 0.0, 3.0]]))[0, 0] == 0.25
    assert math.isnan(ranks(samples, np.array([[2.5]]), np.zeros((1, 4)))[0, 0])


def test_a_periodic_parameter_is_ranked_from_the_start_of_its_period() -> None:
    period = 2 * math.pi
    samples = np.array([[[0.1], [6.2], [-0.2]]])
    periods = periods_of(["ra"], [0.0], {"ra": period})
    found = ranks(samples, np.array([[6.1 - period]]), periods=periods)
    assert found[0, 0] == ranks(np.array([[[0.1], [6.2], [period - 0.2]]]), np.array([[6.1]]))[0, 0]
    # Narrow posteriors all around the circle, many across its end, are calibrated.
    random = np.random.default_rng(5)
    centre = random.uniform(0, period, size=(2000, 1, 1))
    narrow = (centre + 0.5 * random.normal(size=(2000, 200, 1))) % period
    truths = (centre[:, 0] + 0.5 * random.normal(size=(2000, 1))) % period
    assert uniformity(ranks(narrow, truths, periods=periods)).combined > 0.01


def test_a_calibrated_posterior_passes() -> None:
    samples, truths = gaussian_posteriors()
    found = ranks(samples, truths)
    assert uniformity(found).combined > 0.01
    assert uniformity(found).lowest > 0.001
    for references in ("mean", "shuffled", np.zeros_like(truths)):
        assert tarp(samples, truths, references=references).p_value > 0.01
    held = coverage(found)
    assert ((held.held >= held.low[:, None] - 0.01) & (held.held <= held.high[:, None] + 0.01)).all()


def test_a_shift_and_a_wrong_width_fail() -> None:
    shifted, truths = gaussian_posteriors(shift=0.3)
    assert uniformity(ranks(shifted, truths)).combined < 1e-6
    assert tarp(shifted, truths, references=np.full_like(truths, -20.0)).p_value < 1e-6
    narrow, truths = gaussian_posteriors(width=0.9)
    assert tarp(narrow, truths).p_value < 0.01
    centre = narrow.mean(axis=1, keepdims=True)
    log_prob = -0.5 * np.square((narrow - centre) / 0.9).sum(axis=2)
    of_truths = -0.5 * np.square((truths - centre[:, 0]) / 0.9).sum(axis=1)
    assert uniformity(statistic_ranks(log_prob, of_truths)).combined < 0.01


def test_weights_repair_a_posterior() -> None:
    samples, truths = gaussian_posteriors(width=1.3)
    assert tarp(samples, truths).p_value < 1e-6
    random = np.random.default_rng(0)
    data = random.normal(scale=3, size=(EVENTS, 1, PARAMETERS))
    square = np.square(samples - data)
    weights = normalised_weights((-0.5 * square + 0.5 * square / 1.3**2).sum(axis=2))
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert tarp(samples, truths, weights).p_value > 0.01
    assert uniformity(ranks(samples, truths, weights)).combined > 0.01


def test_tarp_knows_the_shorter_way_round() -> None:
    random = np.random.default_rng(2)
    period = 2 * math.pi
    centre = random.uniform(0, period, size=(1000, 1, 1))
    samples = (centre + 0.4 * random.normal(size=(1000, 300, 1))) % period
    truths = (centre[:, 0] + 0.4 * random.normal(size=(1000, 1))) % period
    assert tarp(samples, truths, periods=[(0.0, period)]).p_value > 0.01
    assert tarp((samples - centre) * 0.8 + centre, truths, periods=[(0.0, period)]).p_value < 1e-3


def test_expected_coverage_is_the_distribution_of_credibilities() -> None:
    found = tarp(*gaussian_posteriors())
    levels = found.expected_coverage([0.0, 0.5, 1.0])
    assert levels[0] == 0
    assert levels[2] == 1
    assert levels[1] == (found.credibilities <= 0.5).mean()


def test_coverage_counts_central_intervals() -> None:
    found = coverage(np.array([[0.1], [0.3], [0.5], [0.97]]), levels=(0.5, 0.9))
    assert found.held.tolist() == [[0.5], [0.75]]


def test_the_mass_of_modes_on_the_sky() -> None:
    modes = np.array([[0.0, 0.0], [math.pi / 2, 0.0], [0.0, math.pi / 2]])
    samples = np.array([[0.1, 0.1], [6.2, 0.0], [1.5, 0.2], [3.0, 1.5]])
    np.testing.assert_allclose(mode_mass(samples, modes), [0.5, 0.25, 0.25])
    np.testing.assert_allclose(mode_mass(samples, modes, np.array([1, 1, 6, 0])), [0.25, 0.75, 0])
    np.testing.assert_allclose(mode_mass(samples, modes, radius_rad=0.12), [0.25, 0, 0.25])


def test_figures_and_table_are_made() -> None:
    pytest.importorskip("matplotlib")
    samples, truths = gaussian_posteriors()
    found = ranks(samples, truths)
    names = [f"x_{i}" for i in range(PARAMETERS)]
    for figure in (
        pp_figure(found, names),
        coverage_figure(found, names),
        tarp_figure(tarp(samples, truths)),
    ):
        assert len(figure.axes) == 1
    table = calibration_table(uniformity(found, names), found).splitlines()
    assert len(table) == PARAMETERS + 2
    assert table[1].startswith("x_0")


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="samples"):
        ranks(np.zeros((3, 10, 2)), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="weights"):
        ranks(np.zeros((3, 10, 2)), np.zeros((3, 2)), np.zeros((3, 9)))
    with pytest.raises(ValueError, match="from 0 to 1"):
        uniformity(np.full((3, 2), math.nan))
