"""The check before the first trial, in its own process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_itwin.hpo import check as check_module
from lightning_itwin.hpo.check import check
from lightning_itwin.hpo.study_plan import StudyError, StudyPlan

pytestmark = pytest.mark.world


ROOT = str(Path(__file__).parents[2])


def test_a_study_that_can_run_is_filled_in_and_not_checked_again(
    tmp_path: Path, make_plan: Callable[..., StudyPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = check(make_plan(), tmp_path, ROOT)
    assert found.paths["model.learning_rate"] == ("model", "init_args", "learning_rate")
    assert found.baseline == {"model.learning_rate": 0.1, "data.batch_size": 16}
    assert found.config["data"]["init_args"]["rows"] == 64  # a default
    assert found.max_epochs == 9
    monkeypatch.setattr(check_module.subprocess, "run", None)
    assert check(make_plan(trials=99), tmp_path, ROOT) == found


def test_a_range_that_the_model_refuses_is_named(tmp_path: Path, make_plan: Callable[..., StudyPlan]) -> None:
    with pytest.raises(StudyError, match=r"refuses model\.width = -3: ValueError: width is -3; it has to be"):
        check(make_plan(space={"model.width": {"low": -3, "high": 8}}), tmp_path, ROOT)


def test_a_metric_that_is_never_logged_is_found_by_one_batch(
    tmp_path: Path, make_plan: Callable[..., StudyPlan]
) -> None:
    with pytest.raises(StudyError, match=r"'val_los' is never logged; .* train_loss, val_loss; did you mean"):
        check(make_plan(metric="val_los"), tmp_path, ROOT)
