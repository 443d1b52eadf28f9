"""The progress of a study: a bar in a terminal, lines in a file."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lightning_itwin.hpo import progress as module
from lightning_itwin.hpo.budget import Budget, Spent
from lightning_itwin.hpo.driver import Driver
from lightning_itwin.hpo.progress import Progress


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def row(number: int, state: str, **more: Any) -> SimpleNamespace:
    return SimpleNamespace(number=number, configuration=number, state=state, reason="", **more)


def driver(*rows: SimpleNamespace) -> Driver:
    record = SimpleNamespace(rows=rows, winner=None, baseline=None)
    made = SimpleNamespace(
        study=SimpleNamespace(record=lambda: record),
        budget=Budget(trials=4),
        spent=lambda: Spent(trials=len(rows), epochs=0, seconds=0.0),
        queued=0,
    )
    return cast(Driver, made)


def test_a_file_gets_a_line_a_minute_at_most_and_the_last_one(clock: Clock) -> None:
    stream = io.StringIO()
    shown = Progress(stream=stream)
    shown(driver(row(0, "running")))
    clock.now += 30
    shown(driver(row(0, "complete"), row(1, "running")))
    clock.now += 30
    shown(driver(row(0, "complete"), row(1, "running")))
    clock.now += 5
    shown(driver(*(row(number, "complete") for number in range(4))))
    shown.close()
    assert stream.getvalue().splitlines() == [
        "  0% after 00:00: 1 trial, 1 running, 0 stopped, 0 complete",
        " 25% after 01:00, 03:00 left: 2 trials, 1 running, 0 stopped, 1 complete",
        "100% after 01:05, 00:00 left: 4 trials, 0 running, 0 stopped, 4 complete",
    ]


def test_a_file_is_told_of_a_failure_at_once_and_once(clock: Clock) -> None:
    stream = io.StringIO()
    shown = Progress(stream=stream)
    failed = row(0, "failed")
    failed.reason = "out of memory"
    shown(driver(row(0, "running")))
    for _ in range(2):
        clock.now += 1
        shown(driver(failed))
    assert stream.getvalue().splitlines()[1:] == ["trial 0: failed: out of memory"]


def test_what_an_earlier_call_has_done_does_not_make_this_one_fast(clock: Clock) -> None:
    stream = io.StringIO()
    shown = Progress(stream=stream)
    begun = [row(0, "complete"), row(1, "complete")]
    shown(driver(*begun))
    clock.now += 60
    shown(driver(*begun, row(2, "complete")))
    assert stream.getvalue().splitlines()[-1].startswith(" 75% after 01:00, 01:00 left: 3 trials")


def test_a_terminal_gets_a_bar() -> None:
    stream = Terminal()
    shown = Progress(stream=stream)
    shown(driver(row(0, "complete"), row(1, "running")))
    shown.close()
    assert "\r" in stream.getvalue()
    assert "2 trials, 1 running, 0 stopped, 1 complete" in stream.getvalue()


def test_silence() -> None:
    stream = io.StringIO()
    shown = Progress(silent=True, stream=stream)
    shown(driver(row(0, "failed")))
    shown.close()
    assert stream.getvalue() == ""
