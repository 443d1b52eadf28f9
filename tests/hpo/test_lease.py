from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lightning_itwin.hpo.lease import STALE_S, DriverIdentity, asking, driving, fresh, sign_lease
from lightning_itwin.hpo.study_plan import StudyError


def test_one_drives_and_the_others_are_told_how_to_join(tmp_path: Path) -> None:
    with driving(tmp_path):
        sign_lease(tmp_path, "journal:///x")
        with pytest.raises(StudyError, match=rf"process {os.getpid()} on .* worker --study journal:///x"):
            driving(tmp_path).__enter__()
    with driving(tmp_path):
        pass


def test_a_driver_of_this_machine_lives_as_its_process_does(tmp_path: Path) -> None:
    me = DriverIdentity(tmp_path)
    assert me.lives(me.name)
    assert me.is_here(me.name)
    assert not me.lives(me.name.rsplit("-", 1)[0] + "-1")  # the number of the process, used again


def test_a_driver_of_another_machine_lives_as_long_as_it_shows(tmp_path: Path) -> None:
    me = DriverIdentity(tmp_path)
    me.beat()
    other = "node-7.abc-12-34"
    assert not me.is_here(other)
    assert not me.lives(other)
    sign = tmp_path / "drivers" / other
    sign.touch()
    assert me.lives(other)
    os.utime(sign, (0, time.time() - STALE_S - 1))
    assert not me.lives(other)
    assert fresh(tmp_path / "drivers" / me.name)
    me.leave()
    assert not fresh(tmp_path / "drivers" / me.name)


def test_asking_is_let_go_of_by_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), asking(tmp_path):
        raise KeyError
    with asking(tmp_path):
        pass
