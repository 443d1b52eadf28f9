"""Scores of windows in which everything is known."""

from __future__ import annotations

import math

import pytest
import torch

from lightning_itwin.models.glitch_scores import WindowScores, veto_probability


def scores() -> WindowScores:
    glitch, other, mean = (torch.zeros(4, 8) for _ in range(3))
    glitch[0, 3:5] = torch.tensor([6.0, 8.0])
    mean[0, 3:5] = torch.tensor([6.0, 6.0])
    other[1, 4] = 10.0
    mean[1, 4] = 0.1
    glitch[2, 0] = 10.0  # at the edge
    return WindowScores.of(mean, glitch, other, torch.tensor([0.9, 0.2, 0.8, 0.1]))


def test_the_summary_counts_what_lies_inside() -> None:
    summary = scores().summary(5.0)
    assert summary["witnessed_glitches"] == 1
    assert summary["mismatch_median"] == pytest.approx(1 - 84 / (10 * math.sqrt(72)), abs=1e-6)
    assert summary["residual_snr_median"] == pytest.approx(2.0)
    assert summary["residual_snr_below_5_fraction"] == 1.0
    assert summary["unwitnessed_glitches"] == 1
    assert summary["unwitnessed_altered_median"] == pytest.approx(0.01)


def test_nothing_counts_as_not_a_number() -> None:
    assert math.isnan(scores().summary(50.0)["mismatch_median"])
    assert math.isnan(scores().false_vetoes(50.0, 0.95))


def test_the_veto_curve() -> None:
    dead, efficiency = scores().veto_curve(5.0)
    assert dead.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert efficiency.tolist() == [0.0, 0.5, 1.0, 1.0, 1.0]
    assert scores().veto_curve(5.0, witnessed_only=False)[1].tolist() == pytest.approx(
        [0, 1 / 3, 2 / 3, 1, 1]
    )
    assert scores().false_vetoes(5.0, 1.0) == 0.0


def test_rows_come_back() -> None:
    first = scores()
    assert torch.equal(WindowScores.of_rows(first.rows()).rows(), first.rows())
    assert len(WindowScores.join([first, first]).snr) == 8


def test_the_probability_counts_the_noise_of_a_measurement() -> None:
    snr = torch.tensor([[5.0, 0.0], [5.0, 50.0]])
    assert veto_probability(snr, 5.0).tolist() == pytest.approx([0.5, 0.5], abs=1e-5)
