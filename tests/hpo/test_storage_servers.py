"""Studies in PostgreSQL and behind Optuna's gRPC proxy: real servers, which are halted and frozen."""

from __future__ import annotations

import collections
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
import yaml

pytest.importorskip("optuna")

from lightning_itwin.hpo import rows
from lightning_itwin.hpo.open_study import find_folder, open_study
from lightning_itwin.hpo.storage import open_storage, shown
from lightning_itwin.hpo.study_plan import StudyError, StudyPlan
from lightning_itwin.hpo.study_reading import StudyRecord, read_study
from lightning_itwin.hpo.trial_folder import TrialFolder, TrialSpec
from lightning_itwin.launch import LocalLauncher, World
from lightning_itwin.optional import available
from tests.hpo.conftest import CHECKED
from tests.hpo.storage_servers import Postgres, Proxy
from tests.launch.slurm_daemons import free_port, wait_for

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    pytest.importorskip("psycopg")
    made = Postgres()
    if made.reason:
        pytest.skip(made.reason)
    made.start()
    yield made
    made.remove()


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    pytest.importorskip("grpc")
    made = Proxy(tmp_path / "behind.log")
    yield made
    made.end()


def start(folder: Path, trials: int, *more: str, **plan: Any) -> subprocess.Popen[str]:
    command = ["-m", "tests.hpo.driver_process", str(folder), str(trials), json.dumps(plan), *more]
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def finish(*drivers: subprocess.Popen[str]) -> str:
    told = ""
    try:
        for driver in drivers:
            told += driver.communicate(timeout=100)[0]
            assert driver.returncode == 0, told
    finally:
        for driver in drivers:
            if driver.poll() is None:
                driver.kill()
    return told


def trained(folder: Path) -> list[str]:
    path = folder / "trained"
    return path.read_text().splitlines() if path.exists() else []


def whole(record: StudyRecord, folder: Path, trials: int, *more_states: str) -> None:
    assert {row.state for row in record.rows} <= {"complete", "paused", *more_states}
    assert len({row.configuration for row in record.rows}) == trials
    assert [line for line, count in collections.Counter(trained(folder)).items() if count > 1] == []


@pytest.mark.world
def test_two_drivers_share_a_study_in_postgres_that_is_halted_meanwhile(
    postgres: Postgres, tmp_path: Path
) -> None:
    folder = tmp_path / "shared"
    first = start(folder, 14, storage=postgres.url)
    wait_for(lambda: len(trained(folder)) >= 1, 60.0)
    assert find_folder(postgres.url, "shared") == folder
    second = start(folder, 14, "join", storage=postgres.url)
    wait_for(lambda: len(list((folder / "drivers").glob("*"))) == 2, 60.0)
    before = len(trained(folder))
    postgres.halt()
    time.sleep(1.0)
    postgres.start()
    told = finish(first, second)
    assert len(trained(folder)) > before
    record = read_study(folder)
    whole(record, folder, 14, "lost")  # a row that was written when the server could not say so any more
    assert len({row.driver for row in record.rows if row.state != "lost"}) == 2
    assert "secret" not in told + record.url + (folder / "driver.json").read_text()


@pytest.mark.world
def test_a_study_behind_a_proxy_that_freezes(proxy: Proxy, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    driver = start(folder, 4, storage=proxy.url)
    wait_for(lambda: len(trained(folder)) >= 4, 60.0)
    proxy.freeze()
    time.sleep(3.0)
    proxy.thaw()
    finish(driver)
    whole(read_study(folder), folder, 4)


@pytest.mark.world
def test_a_frozen_proxy_stops_no_training(
    proxy: Proxy, tmp_path: Path, make_plan: Callable[..., StudyPlan]
) -> None:
    study = open_study(make_plan(storage=proxy.url), tmp_path / "study", CHECKED)
    row = study.optuna.ask(study.distributions)
    folder = TrialFolder(tmp_path / "study" / "trials" / "0000")
    folder.clear()
    trainer = {"max_epochs": 8, "accelerator": "cpu", "devices": 1, "default_root_dir": str(folder.path)}
    trainer |= {"enable_progress_bar": False, "logger": False}
    model = {"class_path": "tests.hpo.tiny.TinyModel", "init_args": {"epoch_s": 0.5}}
    config = {"model": model, "data": {"class_path": "tests.hpo.tiny.TinyData"}, "trainer": trainer}
    folder.config.write_text(yaml.safe_dump(config))
    folder.write_spec(
        TrialSpec(
            token="t",
            arguments=["fit", "--config", str(folder.config)],
            metric="val_loss",
            direction="minimize",
            workers=1,
            until_epoch=8,
            max_epochs=8,
            study=study.optuna.study_name,
            storage=proxy.url,
            number=row.number,
            trial_id=row._trial_id,
            policy=study.policy_arguments,
            deadline_s=1.0,
        )
    )
    world = LocalLauncher().start(
        World(
            command=("-m", "lightning_itwin.hpo.trial_process", str(folder.spec)),
            workers=1,
            starter="ranks",
            log=folder.log,
            environment={"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
            timeout_s=120.0,
        )
    )
    wait_for(lambda: 2 in folder.reports(), 100.0)
    proxy.freeze()
    frozen_at = max(folder.reports())
    end = world.wait()
    assert end.status == "ok", end
    result = folder.result()
    assert result is not None
    assert (result.state, result.epochs) == ("complete", 8)
    assert frozen_at < 8
    assert "has not answered within 1 s; the training goes on" in folder.log.read_text()
    proxy.thaw()
    assert rows.settle(study.optuna, row.number, folder) == "complete"
    told = study.optuna.get_trials()[row.number]
    assert sorted(told.intermediate_values) == list(range(1, 9))


def test_a_storage_that_is_not_there_is_said_at_once_without_its_password(
    make_plan: Callable[..., StudyPlan], tmp_path: Path
) -> None:
    port = free_port()
    urls = [f"grpc://127.0.0.1:{port}"]
    if available("psycopg"):
        urls.append(f"postgresql://tuner:secret@127.0.0.1:{port}/studies")
    for url in urls:
        for do in (
            lambda url=url: open_study(make_plan(storage=url), tmp_path / "study", CHECKED),
            lambda url=url: find_folder(url, None),
        ):
            with pytest.raises(StudyError, match=r"cannot be opened: .*[Cc]onnect") as caught:
                do()
            assert shown(url) in str(caught.value)
            assert "secret" not in str(caught.value)


def test_the_dashboard_opens_the_same_storage(tmp_path: Path, make_plan: Callable[..., StudyPlan]) -> None:
    dashboard = pytest.importorskip("optuna_dashboard")
    study = open_study(make_plan(), tmp_path / "study", CHECKED)
    study.optuna.tell(study.optuna.ask(study.distributions), 0.5)
    served = dashboard.wsgi(open_storage(study.url))
    for path, expected in (("/api/studies", "study"), ("/api/studies/0", "val_loss")):
        request: dict[str, Any] = {"PATH_INFO": path}
        setup_testing_defaults(request)
        statuses: list[str] = []
        answer = b"".join(served(request, lambda status, *more, said=statuses: said.append(status)))
        assert statuses == ["200 OK"]
        assert expected in answer.decode()
