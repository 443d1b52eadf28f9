"""RecordedFunction: any number of rows as the function itself gives them, from one graph for the most."""

import copy

import pytest
import torch

from lightning_itwin.cuda_graph import RecordedFunction
from tests import stand_in_graph

RECORD = "lightning_itwin.cuda_graph.recorded_function.record"
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def wave(table: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
    return (table * table).sin() + row[:, None]


def rows(count: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(count, 3, device=device), torch.arange(count, device=device)


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "cpu":
        monkeypatch.setattr(RECORD, stand_in_graph.record)
    return request.param


def test_each_batch_is_as_the_function_gives_it(device: str) -> None:
    recorded = RecordedFunction(wave)
    for count in (4, 4, 2, 0, 7, 4, 7):
        inputs = rows(count, device)
        torch.testing.assert_close(recorded(*inputs), wave(*inputs))


def test_a_call_writes_over_the_one_before_and_not_over_what_it_is_given(device: str) -> None:
    recorded = RecordedFunction(wave)
    first, second = rows(4, device), rows(4, device)
    kept = first[0].clone()
    found = recorded(*first)
    assert recorded(*second).data_ptr() == found.data_ptr()
    assert torch.equal(first[0], kept)


def test_a_copy_records_its_own(device: str) -> None:
    recorded = RecordedFunction(wave)
    recorded(*rows(4, device))
    copied = copy.deepcopy(recorded)
    inputs = rows(4, device)
    assert copied(*inputs).data_ptr() != recorded(*inputs).data_ptr()


def test_where_recording_fails_it_goes_on_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(RECORD, failing)
    recorded, inputs = RecordedFunction(wave), rows(4, "cpu")
    with pytest.warns(UserWarning, match="^wave is not recorded, .* stream is capturing$"):
        found = recorded(*inputs)
    assert torch.equal(found, wave(*inputs))
    assert torch.equal(recorded(*inputs), found)  # and does not try again
