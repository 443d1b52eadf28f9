from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from torch.distributed import TCPStore

from lightning_itwin.launch.rendezvous import ADDRESS, meet, own_address

SETTLED = ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE", "TORCHELASTIC_RUN_ID")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", ADDRESS, *SETTLED):
        monkeypatch.setenv(name, "")  # and back at the end, whatever was settled
        monkeypatch.delenv(name)


def test_rank_0_listens_and_the_others_read_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "meeting.json"
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    store = meet(place, "a launch")
    found = json.loads(place.read_text())
    assert found == {"token": "a launch", "address": "127.0.0.1", "port": store.port}
    assert "SLURM_NTASKS" not in os.environ
    monkeypatch.setenv("RANK", "1")
    assert meet(place, "a launch") is None
    assert (os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]) == ("127.0.0.1", str(store.port))
    TCPStore("127.0.0.1", store.port, None, is_master=False).set("key", "value")
    assert store.get("key") == b"value"


def test_a_place_of_an_earlier_launch_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "meeting.json"
    place.write_text(json.dumps({"token": "before", "address": "127.0.0.1", "port": 1}))
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(TimeoutError, match=r"rank 0 of this world did not write .*meeting.json within 0 s"):
        meet(place, "now", timeout_s=0.1)


def test_a_starter_that_tells_no_rank_settles_these_things_itself(tmp_path: Path) -> None:
    assert meet(tmp_path / "meeting.json", "a launch") is None
    assert "MASTER_PORT" not in os.environ


def test_the_own_address_is_that_of_the_way_to_the_other() -> None:
    assert own_address("127.0.0.1") == "127.0.0.1"
