from __future__ import annotations

import argparse

import pytest

from lightning_itwin.reports.forecast_options import add_forecast_options


def parse(*words: str) -> argparse.Namespace:
    command_line = argparse.ArgumentParser()
    add_forecast_options(command_line)
    return command_line.parse_args(words)


def test_what_is_asked_for() -> None:
    assert parse().forecast is None
    assert parse("--forecast", "28,8, 8").forecast == (8, 28)
    assert parse("--forecast", "none").forecast == ()
    assert parse("--worker-hour-price", "1.8").worker_hour_price == 1.8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--forecast", "8,x"), "'8,x' is neither a list of whole numbers"),
        (("--forecast", "0"), "'0' is neither"),
        (("--forecast", ","), "',' is neither"),
        (("--worker-hour-price", "-1"), "'-1' is not a price"),
        (("--worker-hour-price", "nan"), "'nan' is not a price"),
        (("--worker-hour-price", "much"), "'much' is not a price"),
    ],
)
def test_what_is_wrong(words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(words[0] + "=" + words[1])
    assert message in capsys.readouterr().err
