from __future__ import annotations

from typing import Any

import pytest

from lightning_itwin.hpo.options import given, parser, together, worker_parser
from lightning_itwin.hpo.study_plan import StudyError


def job(*arguments: str) -> dict[str, Any]:
    return given(parser().parse_args(list(arguments)), "config", "output")


def test_options_of_a_job_stand_together() -> None:
    asked = job(
        *("--launcher", "slurm_jobs", "--partition", "gpu", "--gpus-per-node", "4", "--time", "2:00:00"),
        *("--setup", "module load cuda", "--sbatch", "qos=debug", "--sbatch", "exclusive"),
    )
    assert asked == {
        "launcher": "slurm_jobs",
        "job": {
            "partition": "gpu",
            "gpus_per_node": 4,
            "time": "2:00:00",
            "setup": "module load cuda",
            "qos": "debug",
            "exclusive": True,
        },
    }


def test_the_command_line_has_the_last_word_key_by_key() -> None:
    file = {"launcher": "slurm", "job": {"partition": "cpu", "account": "me"}}
    assert together(file, job("--partition", "gpu"))["job"] == {"partition": "gpu", "account": "me"}
    assert together(file, {}) == file
    worker = given(worker_parser().parse_args(["--study", "x", "--partition", "gpu"]), "study")
    assert together(file, worker)["job"]["partition"] == "gpu"


def test_a_job_is_none_of_this_machine() -> None:
    with pytest.raises(StudyError, match="partition, qos: options of a job; say --launcher slurm_jobs"):
        together({}, job("--partition", "gpu", "--sbatch", "qos=x"))
