"""What the command line says of a cluster, before anything is asked of its scheduler."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("submitit")

from lightning_itwin.bench.__main__ import main
from lightning_itwin.bench.launching import read_plan
from lightning_itwin.bench.options import parser
from lightning_itwin.bench.plan import Plan, PlanError, read_config
from lightning_itwin.launch import JobSettings


@pytest.fixture(autouse=True)
def no_scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no programs").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "no programs"))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.chdir(tmp_path)


def read(config_file: Path, *arguments: str) -> tuple[Plan, JobSettings]:
    options, rest = parser().parse_known_args(["--config", str(config_file), *arguments])
    return read_plan(options, rest, read_config(config_file))


def test_a_plan_of_jobs(config_file: Path) -> None:
    plan, settings = read(
        config_file,
        *("--launcher", "slurm", "--workers", "1,2,4,8,16", "--partition", "gpu", "--gpus-per-node", "4"),
        *("--sbatch", "qos=debug", "--sbatch", "exclusive", "--time", "2:00:00"),
    )
    workload = plan.workload
    assert (workload.accelerator, workload.workers_per_node, workload.threads_per_worker) == ("gpu", 4, 1)
    assert [workload.nodes(workers) for workers in plan.workers] == [1, 1, 1, 2, 4]
    assert (settings.partition, settings.gpus_per_node, settings.time_s) == ("gpu", 4, 7200)
    assert settings.more == {"qos": "debug", "exclusive": True}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--partition", "gpu"], "partition: options of a cluster; say with them who starts the trainings"),
        (["--workers-per-node", "2"], "workers_per_node: options of a cluster"),
        (["--no-wait"], "--no-wait: with --launcher local the trainings run within this command"),
        (["--launcher", "slurm", "--time", "2h"], "time '2h': give minutes, h:mm:ss"),
        (["--launcher", "slurm", "--accelerator", "gpu"], "with --gpus-per-node"),
        (["--launcher", "slurm", "--sbatch", "nodes=2"], "nodes: workers, nodes and threads say that"),
        (["--launcher", "slurm", "--setup", "modules.sh"], "setup 'modules.sh': there is no such file"),
        (
            ["--launcher", "slurm", "--gpus-per-node", "4", "--workers", "4,10"],
            "--workers 10: 3 nodes of at most 4 workers cannot share them evenly",
        ),
        (
            ["--launcher", "slurm", "--gpus-per-node", "2", "--workers-per-node", "4"],
            "--workers-per-node 4: a node has 2 GPUs",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(config_file: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        read(config_file, *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--launcher", "slurm"], "launcher slurm (this process runs in no allocation): there is no sbatch"),
        (
            ["--launcher", "htcondor", "--partition", "gpu"],
            "launcher htcondor: partition gpu: HTCondor has",
        ),
        (["--launcher", "pbs"], "(choose from local, slurm, slurm_jobs, htcondor, ray)"),
    ],
)
def test_a_launcher_that_cannot_be_used_leaves_nothing(
    config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture, arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--config", str(config_file), "--output", str(tmp_path / "sweep"), *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err.replace("'", "")
    assert not (tmp_path / "sweep").exists()


def test_a_dry_run_shows_every_script_where_there_is_no_slurm(
    config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    code = main(
        [
            *("--config", str(config_file), "--output", str(tmp_path / "sweep"), "--dry-run"),
            *("--launcher", "slurm", "--workers", "1,4", "--strategies", "ddp", "--repeats", "2"),
            *("--gpus-per-node", "2", "--partition", "gpu", "--report-partition", "cpu"),
            *("--setup", "module load cuda", "--forecast", "8,16"),
        ]
    )
    shown = capsys.readouterr().out
    assert code == 0
    scripts = dict(part.split("\n", 1) for part in shown.split("# ---- ")[1:])
    assert set(scripts) == {"ddp-w1-r0", "ddp-w4-r0", "ddp-w1-r1", "ddp-w4-r1", "report"}
    four, report = scripts["ddp-w4-r1"].splitlines(), scripts["report"].splitlines()
    for line in (
        "#SBATCH --nodes=2",
        "#SBATCH --gpus-per-node=2",
        "#SBATCH --partition=gpu",
        "module load cuda",
    ):
        assert line in four
    assert "#SBATCH --gpus-per-node=1" in scripts["ddp-w1-r0"].splitlines()
    assert "#SBATCH --partition=cpu" in report
    assert not [line for line in report if "gpus" in line]
    [after] = [line for line in report if "dependency" in line]
    assert after.startswith("#SBATCH --dependency=afterany:JOB_OF_ddp-")
    assert after.count("JOB_OF_") == 4
    assert f"lightning_itwin.bench.settle {tmp_path}/sweep --forecast=8,16" in scripts["report"]
    assert not (tmp_path / "sweep").exists()


def test_a_dry_run_for_htcondor(config_file: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = ("--launcher", "htcondor", "--workers", "2", "--strategies", "ddp", "--repeats", "1")
    assert main(["--config", str(config_file), "--dry-run", *arguments]) == 0
    shown = capsys.readouterr().out
    assert "universe = vanilla\n" in shown
    assert "universe = local\n" in shown
    assert f"-m lightning_itwin.launch.condor_wait {os.getcwd()}/bench_boring/logs/ddp-w2-r0.events" in shown
