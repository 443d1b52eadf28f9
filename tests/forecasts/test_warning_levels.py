from __future__ import annotations

import numpy as np
import pytest

from lightning_itwin.forecasts import WarningRule


def test_the_level_is_the_highest_whose_probability_is_reached() -> None:
    below = np.array([[0.49, 0.2, 0.1], [0.5, 0.49, 0.3], [0.8, 0.5, 0.49], [0.9, 0.7, 0.5], [0.1, 0.1, 0.6]])
    assert WarningRule().levels(below).tolist() == [0, 1, 2, 3, 3]


def test_probabilities_are_settings() -> None:
    careful = WarningRule(watch=0.3, warning=0.2, alert=0.1)
    assert careful.levels(np.array([0.3, 0.1, 0.05])) == 1
    assert careful.levels(np.array([0.3, 0.2, 0.1])) == 3
    assert "P20 is at least 0.3" in careful.text()


def test_what_is_missing_has_no_level() -> None:
    assert WarningRule().levels(np.array([np.nan, 0.9, 0.9])) == -1


@pytest.mark.parametrize("value", [0.0, -0.1, 1.1])
@pytest.mark.parametrize("name", ["watch", "warning", "alert"])
def test_a_probability_that_cannot_be_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is above 0 and at most 1"):
        WarningRule(**{name: value})


def test_three_probabilities_are_needed() -> None:
    with pytest.raises(ValueError, match="P20, P10 and P5"):
        WarningRule().levels(np.zeros((4, 2)))
