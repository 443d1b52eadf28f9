from __future__ import annotations

from typing import Any

import pytest

from lightning_itwin.hpo import config_keys
from lightning_itwin.hpo.search_space import Choices, Range, fit_to_baseline, read_space
from lightning_itwin.hpo.study_plan import StudyError


def one(value: Any) -> Any:
    return read_space({"key": value})["key"]


def test_yaml_that_reads_1e_5_as_text_is_understood() -> None:
    assert one({"low": "1e-5", "high": "1e-1", "log": True}) == Range(low=1e-5, high=0.1, log=True)


def test_whole_ends_are_whole_numbers_unless_the_config_has_a_float() -> None:
    space = {"width": one({"low": 1, "high": 64, "log": True}), "dropout": one({"low": 0, "high": 1})}
    fitted = fit_to_baseline(space, {"width": 8, "dropout": 0.5})
    assert fitted["width"] == Range(low=1, high=64, log=True, whole=True)
    assert fitted["dropout"] == Range(low=0, high=1)


def test_the_configs_own_choice_is_added() -> None:
    assert fit_to_baseline({"batch": one([16, 32])}, {"batch": 48})["batch"] == Choices(values=(16, 32, 48))


def test_choices_may_be_anything_that_yaml_says() -> None:
    pytest.importorskip("optuna")
    choices = one([None, [64, 64], {"class_path": "A"}])
    sampled = choices.distribution().choices
    assert sampled == (None, "[64, 64]", '{"class_path": "A"}')
    assert [choices.value(value) for value in sampled] == list(choices.values)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "give a list of choices, or {low: ..., high: ...}"),
        ([3], "choices are at least 2 different values"),
        ({"low": 1}, "needs both low and high"),
        ({"low": 2, "high": 1}, "low has to be the smaller one"),
        ({"low": 0, "high": 1.0, "log": True}, "a logarithm needs low above 0"),
        ({"low": 0, "high": 1.0, "step": -0.1}, "a step is positive"),
        ({"low": "a", "high": 1.0}, "low 'a', which is no number"),
        ({"low": 0, "high": 1, "by": 2}, "does not know by"),
        ({"low": 0, "high": 1, "type": "bool"}, "it has to be int or float"),
    ],
)
def test_a_space_that_is_none_is_refused(value: Any, message: str) -> None:
    with pytest.raises(StudyError, match=message.replace("(", r"\(").replace(".", r"\.").replace("{", r"\{")):
        one(value)


def test_a_range_needs_a_number_in_the_config() -> None:
    with pytest.raises(StudyError, match="the config has None there"):
        fit_to_baseline({"clip": one({"low": 0.1, "high": 1.0})}, {"clip": None})


CONFIG = {
    "model": {
        "class_path": "M",
        "init_args": {"lr": 0.1, "net": {"class_path": "N", "init_args": {"width": 3}}},
        "dict_kwargs": {"extra": 1},
    },
    "trainer": {"callbacks": [{"class_path": "E", "init_args": {"patience": 3}}]},
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.lr", 0.1),
        ("model.init_args.lr", 0.1),
        ("model.net.width", 3),
        ("model.net.init_args.width", 3),
        ("model.extra", 1),
        ("trainer.callbacks.0.patience", 3),
        ("model.class_path", "M"),
    ],
)
def test_every_key_of_a_config_can_be_named(key: str, value: Any) -> None:
    path = config_keys.resolve(CONFIG, key)
    assert config_keys.get(CONFIG, path) == value
    changed = config_keys.with_values(CONFIG, {path: "new"})
    assert config_keys.get(changed, path) == "new"
    assert config_keys.get(CONFIG, path) == value


def test_an_unknown_key_names_its_neighbours() -> None:
    with pytest.raises(StudyError, match=r"has no key 'model\.net\.widht'; did you mean model\.net\.width"):
        config_keys.resolve(CONFIG, "model.net.widht")


def test_a_value_at_the_end_of_its_range_is_told() -> None:
    dimension = read_space({"model.lr": {"low": 1e-4, "high": 1e-2, "log": True}})["model.lr"]
    assert isinstance(dimension, Range)
    told = [dimension.end_at(value) for value in (1e-4, 1.05e-4, 1.2e-4, 9e-3, 9.9e-3, 1e-2)]
    assert told == ["lower", "lower", "", "", "upper", "upper"]
