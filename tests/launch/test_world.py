from pathlib import Path

import pytest

from lightning_itwin.launch.world import failure_reason, log_tail

TORCHRUN = """\
[rank1]: Traceback (most recent call last):
[rank1]:   File "train.py", line 3, in <module>
[rank1]:     raise ValueError("learning_rate is -1")
[rank1]: ValueError: learning_rate is -1
E1122 10:00 5 torch/distributed/elastic/multiprocessing/api.py:988] failed (exitcode: 1) local_rank: 1
Traceback (most recent call last):
  File "run.py", line 905, in <module>
    main()
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
"""
HOROVODRUN = """\
[0]<stdout>:epoch 0
[1]<stderr>:Traceback (most recent call last):
[1]<stderr>:  File "train.py", line 3, in <module>
[1]<stderr>:    raise KeyError("seed")
[1]<stderr>:KeyError: 'seed'
Process 1 exit with status code 1.
Terminating remaining workers after failure of Process 1.
"""
KILLED = """\
E1122 10:00 5 torch/distributed/elastic/multiprocessing/api.py:988] failed (exitcode: -9) local_rank: 0
Traceback (most recent call last):
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
train.py FAILED
  traceback : Signal 9 (SIGKILL) received by PID 9
"""


@pytest.mark.parametrize(
    ("log", "exit_code", "reason"),
    [
        (TORCHRUN, 1, "ValueError: learning_rate is -1"),
        (HOROVODRUN, 1, "KeyError: 'seed'"),
        ("no traceback at all", 3, "exit code 3; see the log"),
    ],
)
def test_the_first_exception_is_the_reason(tmp_path: Path, log: str, exit_code: int, reason: str) -> None:
    path = tmp_path / "world.log"
    path.write_text(log)
    assert failure_reason(path, exit_code) == reason


def test_a_killed_worker_hints_at_memory(tmp_path: Path) -> None:
    path = tmp_path / "world.log"
    path.write_text(KILLED)
    assert "out of memory" in failure_reason(path, 1)


def test_a_missing_log_still_has_a_reason(tmp_path: Path) -> None:
    assert failure_reason(tmp_path / "none.log", 1) == "exit code 1; see the log"
    assert log_tail(tmp_path / "none.log") == ""


def test_the_tail_is_the_last_thirty_lines(tmp_path: Path) -> None:
    path = tmp_path / "world.log"
    path.write_text("\n".join(str(number) for number in range(100)) + "\n")
    assert log_tail(path).splitlines() == [str(number) for number in range(70, 100)]
