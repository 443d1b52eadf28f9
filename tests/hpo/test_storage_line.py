from __future__ import annotations

import threading

import pytest

pytest.importorskip("optuna")

from lightning_itwin.hpo import storage_line
from lightning_itwin.hpo.storage_line import StorageLine, Verdict


class FakeLine:
    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.told: list[tuple[int, float]] = []
        self.failures = 0

    def connect(self) -> None:
        pass

    def tell(self, epoch: int, value: float) -> Verdict:
        assert self.gate.wait(30)
        if self.failures:
            self.failures -= 1
            raise OSError("no space left on device")
        self.told.append((epoch, value))
        return Verdict(stop=value > 1, best=0.5)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_line, "_PAUSE_S", 0.001)


def test_an_answer_is_the_verdict() -> None:
    line = StorageLine(FakeLine(), deadline_s=10.0)
    assert line.ask(1, 0.7) == Verdict(stop=False, best=0.5)
    assert line.ask(2, 3.0) == Verdict(stop=True, best=0.5)


def test_a_frozen_storage_costs_one_deadline_and_loses_nothing() -> None:
    fake, warnings = FakeLine(), []
    fake.gate.clear()
    line = StorageLine(fake, deadline_s=0.05, warn=warnings.append)
    for epoch in (1, 2, 3):
        assert line.ask(epoch, 3.0) == Verdict()
    assert warnings == [
        "the study's storage has not answered within 0 s; the training goes on without its verdict"
    ]
    fake.gate.set()
    line._deadline_s = 10.0
    assert line.drain()
    assert fake.told == [(1, 3.0), (2, 3.0), (3, 3.0)]
    assert line.ask(4, 0.1) == Verdict(stop=False, best=0.5)


def test_a_storage_that_fails_is_tried_again_and_named_once() -> None:
    fake, warnings = FakeLine(), []
    fake.failures = 4
    line = StorageLine(fake, deadline_s=10.0, warn=warnings.append)
    assert line.ask(1, 0.7).best == 0.5
    assert warnings == ["the study's storage cannot be reached: OSError: no space left on device"]
