from __future__ import annotations

from pathlib import Path

import pytest

from lightning_itwin.launch import condor_wait
from lightning_itwin.launch.condor_events import CondorState, read_state

EVENTS = {
    "submitted": "000 (012.000.000) 2026-11-26 03:00:00 Job submitted from host: <127.0.0.1:9618?noUDP>",
    "executing": "001 (012.000.000) 2026-11-26 03:00:10 Job executing on host: <127.0.0.1:9618>",
    "image": "006 (012.000.000) 2026-11-26 03:00:18 Image size of job updated: 123\n\t1  -  MemoryUsage (MB)",
    "evicted": "004 (012.000.000) 2026-11-26 03:00:20 Job was evicted.\n\t(0) CPU times\n"
    "\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run Remote Usage\n"
    "\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run Local Usage\n"
    "\t0  -  Run Bytes Sent By Job\n\t0  -  Run Bytes Received By Job",
    "held": "012 (012.000.000) 2026-11-26 03:00:20 Job was held.\n\tmemory usage exceeded request_memory\n"
    "\tCode 34 Subcode 0",
    "released": "013 (012.000.000) 2026-11-26 03:00:20 Job was released.\n\tvia condor_release",
    "removed": "009 (012.000.000) 2026-11-26 03:00:20 Job was aborted.\n\tvia condor_rm (by user me)",
    "ended": "005 (012.000.000) 2026-11-26 03:01:10 Job terminated.\n"
    "\t(1) Normal termination (return value 3)\n"
    "\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run Remote Usage\n"
    "\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run Local Usage\n"
    "\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Total Remote Usage\n"
    "\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Total Local Usage\n"
    "\t0  -  Run Bytes Sent By Job\n\t0  -  Run Bytes Received By Job\n"
    "\t0  -  Total Bytes Sent By Job\n\t0  -  Total Bytes Received By Job",
}
CODES = {"submitted": 0, "executing": 1, "image": 6, "evicted": 4, "held": 12, "released": 13, "removed": 9}


def written(folder: Path, *names: str) -> Path:
    path = folder / "job.events"
    path.write_text("".join(f"{EVENTS[name]}\n...\n" for name in names))
    return path


@pytest.mark.parametrize(
    ("names", "state", "reason", "lives"),
    [
        (("submitted",), "waiting", "", True),
        (("submitted", "executing", "image"), "running", "", True),
        (("submitted", "executing", "ended"), "ended", "(1) Normal termination (return value 3)", False),
        (("submitted", "executing", "evicted"), "taken", "(0) CPU times", False),
        (("submitted", "executing", "evicted", "executing", "ended"), "taken", "(0) CPU times", False),
        (("submitted", "held"), "held", "memory usage exceeded request_memory", False),
        (("submitted", "held", "released"), "waiting", "via condor_release", True),
        (("submitted", "held", "removed"), "removed", "via condor_rm (by user me)", False),
    ],
)
def test_where_a_job_stands(
    tmp_path: Path, names: tuple[str, ...], state: str, reason: str, lives: bool
) -> None:
    found = read_state(written(tmp_path, *names))
    assert found == CondorState(job="12", name=state, reason=reason)
    assert found.lives is lives


def test_a_log_that_is_not_there_tells_nothing(tmp_path: Path) -> None:
    assert read_state(tmp_path / "none") is None


def test_htcondors_own_bindings_read_the_same_events(tmp_path: Path) -> None:
    htcondor2 = pytest.importorskip("htcondor2")
    names = ("submitted", "executing", "image", "evicted", "held", "released", "removed")
    events = list(htcondor2.JobEventLog(str(written(tmp_path, *names))).events(stop_after=0))
    assert [int(event.type) for event in events] == [CODES[name] for name in names]
    assert {event.cluster for event in events} == {12}
    [ended] = list(htcondor2.JobEventLog(str(written(tmp_path, "ended"))).events(stop_after=0))
    assert (int(ended.type), ended["ReturnValue"]) == (5, 3)


def test_who_waits_for_jobs_goes_on_when_all_have_ended(tmp_path: Path) -> None:
    log, other = written(tmp_path, "submitted"), tmp_path / "not yet"
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        written(tmp_path, "submitted", "executing", "ended")
        other.write_text(f"{EVENTS['submitted']}\n...\n{EVENTS['held']}\n...\n" if len(slept) > 1 else "")

    condor_wait.main([str(log), str(other)], every_s=3.0, sleep=sleep)
    assert slept == [3.0, 3.0]
