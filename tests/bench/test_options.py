import pytest

from lightning_itwin.bench.options import overrides, parser
from lightning_itwin.bench.plan import PlanError


def test_defaults_are_the_main_job() -> None:
    options = parser().parse_args([])
    assert options.config == "virgo"
    assert options.strategies == ("ddp", "deepspeed", "horovod")
    assert options.workers == (1, 2)
    assert (options.repeats, options.epochs, options.scaling) == (3, 3, "strong")
    assert options.resume


def test_lists_are_cleaned() -> None:
    options = parser().parse_args(["--workers", "4,1,2,1", "--strategies", "horovod, ddp,ddp"])
    assert options.workers == (1, 2, 4)
    assert options.strategies == ("horovod", "ddp")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strategies", "dpp"], "'dpp' is not a strategy; there are ddp, horovod, deepspeed"),
        (["--strategies", ","], "the list is empty"),
        (["--workers", "0"], "at least 1 worker"),
        (["--workers", "two"], "whole numbers such as 1,2,4"),
        (["--repeats", "0"], "'0' is not a whole number of at least 1"),
        (["--timeout", "-1"], "'-1' is not a positive number of seconds"),
    ],
)
def test_wrong_values_are_named(arguments: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as exit_info:
        parser().parse_args(arguments)
    assert exit_info.value.code == 2
    assert message in capsys.readouterr().err


def test_help_lists_strategies_and_presets(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--help"])
    text = capsys.readouterr().out
    for word in ("deepspeed_stage_3", "horovod", "virgo", "--dry-run", "exit code"):
        assert word in text


def test_keys_of_the_config_go_on_to_lightning() -> None:
    given = ["--model.init_args.lr", "0.1", "--trainer.precision=bf16-mixed", "--seed_everything", "3"]
    assert overrides(given) == (
        "--model.init_args.lr=0.1",
        "--trainer.precision=bf16-mixed",
        "--seed_everything=3",
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--worker", "2"], "'--worker' is not known"),
        (["virgo"], "'virgo' is not known"),
        (["--trainer.devices=4"], "is set by the sweep"),
        (["--model.init_args.lr"], "needs a value"),
    ],
)
def test_other_arguments_are_refused(given: list[str], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        overrides(given)
