from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from optuna.exceptions import StorageInternalError

from lightning_itwin.hpo import driver as driver_module
from lightning_itwin.hpo import patience
from lightning_itwin.hpo.driver import Driver
from lightning_itwin.hpo.lease import DriverIdentity
from lightning_itwin.hpo.open_study import OpenStudy
from lightning_itwin.hpo.patience import StorageLostError
from lightning_itwin.hpo.study_plan import StudyError
from lightning_itwin.hpo.worlds import Places, find_places
from tests.hpo.conftest import FakeLauncher

PLACES = Places(slots=2, workers=1, accelerator="cpu", threads=1)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "_POLL_S", 0.0)


def drive(study: OpenStudy, launcher: FakeLauncher, **settings: Any) -> Driver:
    study.queue_baseline()
    made = Driver(study, settings.pop("places", PLACES), launcher, DriverIdentity(study.folder), **settings)
    made.run()
    return made


def test_trial_0_is_the_users_own_and_is_trained_to_its_end(
    make_study: Callable[..., OpenStudy], launcher: FakeLauncher
) -> None:
    study = make_study()
    drive(study, launcher)
    record = study.record()
    first = record.rows[0]
    assert first.baseline
    assert first.params == {"model.learning_rate": 0.1, "data.batch_size": 16}
    assert (first.state, first.epochs, first.until_epoch) == ("complete", 9, 9)
    assert record.baseline == first
    assert launcher.specs[0]["policy"] == {}


def test_the_budget_counts_configurations_and_what_is_paused_is_resumed_from_its_checkpoint(
    make_study: Callable[..., OpenStudy], launcher: FakeLauncher
) -> None:
    study = make_study(trials=10)
    drive(study, launcher)
    record = study.record()
    assert len({row.configuration for row in record.rows}) == 10
    resumed = [row for row in record.rows if row.resume_from is not None]
    assert resumed
    for row in resumed:
        before = record.rows[row.resume_from or 0]
        assert (before.configuration, before.until_epoch) == (row.configuration, row.from_epoch)
        assert min(row.curve) == row.from_epoch + 1
        spec = launcher.specs[row.number]
        assert spec["arguments"][-1].endswith(f"{row.resume_from:04d}/last-{row.from_epoch:05d}.ckpt")
    assert record.winner is not None
    assert record.winner.value is not None
    assert not any(row.state in ("running", "waiting") for row in record.rows)


def test_every_tuned_key_reaches_the_trials_config(
    make_study: Callable[..., OpenStudy], launcher: FakeLauncher
) -> None:
    study = make_study(trials=4)
    drive(study, launcher)
    seen = set()
    for row in study.record().rows:
        config = yaml.safe_load(study.trial(row.number).config.read_text())
        rate = config["model"]["init_args"]["learning_rate"]
        size = config["data"]["init_args"]["batch_size"]
        assert {"model.learning_rate": rate, "data.batch_size": size} == row.params
        assert config["model"]["init_args"]["width"] == 2
        assert config["trainer"]["default_root_dir"] == str(study.trial(row.number).path)
        seen.add(rate)
    assert len(seen) == 4


def test_checkpoints_that_nobody_needs_are_removed(
    make_study: Callable[..., OpenStudy], launcher: FakeLauncher
) -> None:
    study = make_study(trials=10)
    drive(study, launcher)
    record = study.record()
    assert record.winner is not None
    best = [row.number for row in record.rows if study.trial(row.number).saved("best")]
    assert best == [record.winner.number]
    kept = {row.number for row in record.rows if study.trial(row.number).saved("last")}
    latest = {row.configuration: row.number for row in record.rows}
    assert kept == {number for number in latest.values() if record.rows[number].state == "paused"}


def test_a_trial_that_fails_is_recorded_with_its_reason_and_the_study_goes_on(
    make_study: Callable[..., OpenStudy], launcher: FakeLauncher
) -> None:
    launcher.troubles = {1: "error", 2: "nan"}
    study = make_study()
    drive(study, launcher)
    rows = study.record().rows
    assert (rows[1].state, rows[1].reason) == ("failed", "ValueError: the detector is off")
    assert (rows[2].state, rows[2].reason) == ("diverged", "val_loss became nan in epoch 1")
    assert len({row.configuration for row in rows}) == 6
    assert [row for row in rows if row.retry_of is not None] == []


def test_a_killed_trial_goes_on_from_its_last_checkpoint(
    make_study: Callable[..., OpenStudy], launcher: FakeLauncher
) -> None:
    launcher.troubles = {0: "kill"}
    study = make_study(parallel_trials=1)
    drive(study, launcher, places=Places(slots=1, workers=1, accelerator="cpu", threads=1))
    rows = study.record().rows
    again = next(row for row in rows if row.retry_of == 0)
    assert rows[0].state == "lost"
    assert (again.configuration, again.baseline, again.state) == (0, True, "complete")
    assert launcher.trained[f"{again.number:04d}"] == list(range(2, 10))
    assert sorted(again.curve) == list(range(1, 10))
    assert again.epochs == 8
    assert study.record().baseline is not None


def test_what_kills_its_world_again_and_again_is_given_up(
    make_study: Callable[..., OpenStudy], launcher: FakeLauncher
) -> None:
    launcher.troubles = dict.fromkeys(range(4), "kill")
    study = make_study(trials=1)
    drive(study, launcher, places=Places(slots=1, workers=1, accelerator="cpu", threads=1))
    assert [row.state for row in study.record().rows] == ["lost", "lost", "lost"]


def test_what_the_scheduler_takes_goes_on_as_often_as_it_gets_on(
    make_study: Callable[..., OpenStudy], launcher: FakeLauncher
) -> None:
    launcher.troubles = dict.fromkeys(range(5), "taken")
    study = make_study(trials=1)
    drive(study, launcher, places=Places(slots=1, workers=1, accelerator="cpu", threads=1))
    rows = study.record().rows
    assert [row.state for row in rows] == ["lost"] * 5 + ["complete"]
    assert {row.reason for row in rows[:5]} == {"job 17 was taken"}
    assert [row.retry_of for row in rows] == [None, 0, 1, 2, 3, 4]
    assert sorted(rows[-1].curve) == list(range(1, 10))


def test_what_is_cancelled_again_and_again_is_given_up(
    make_study: Callable[..., OpenStudy], launcher: FakeLauncher
) -> None:
    launcher.troubles = dict.fromkeys(range(4), "cancelled")
    study = make_study(trials=1)
    drive(study, launcher, places=Places(slots=1, workers=1, accelerator="cpu", threads=1))
    assert [row.state for row in study.record().rows] == ["lost", "lost", "lost"]


@pytest.mark.parametrize("limit_s", [1e9, -1.0])
def test_a_storage_that_is_away_is_waited_for_while_trials_train_on(
    make_study: Callable[..., OpenStudy],
    launcher: FakeLauncher,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    limit_s: float,
) -> None:
    study, gone = make_study(trials=4), [3]
    settle = driver_module.rows.settle

    def away(*given: Any, **more: Any) -> str:
        if gone[0] and launcher.started[2:]:
            gone[0] -= 1
            raise StorageInternalError("the server closed the connection")
        return settle(*given, **more)

    monkeypatch.setattr(driver_module.rows, "settle", away)
    monkeypatch.setattr(patience, "_PAUSE_S", 0.0)
    monkeypatch.setattr(patience, "_LIMIT_S", limit_s)
    if limit_s < 0:
        with pytest.raises(StorageLostError, match="trials that run train on, and their results will be"):
            drive(study, launcher)
        assert not any(world.stopped for world in launcher.worlds)
        return
    drive(study, launcher)
    rows = study.record().rows
    assert {row.state for row in rows} <= {"complete", "paused"}
    assert len({row.configuration for row in rows}) == 4
    told = capsys.readouterr().err
    assert "storage is away, trials train on: the server closed the connection" in told
    assert told.count("is away") == told.count("is back") == 1


def test_an_interrupted_study_goes_on(make_study: Callable[..., OpenStudy], launcher: FakeLauncher) -> None:
    study = make_study()

    def interrupt(made: Driver) -> None:
        if len(made.running) == 2 and len(launcher.started) >= 4:
            raise KeyboardInterrupt

    launcher.turns = 2
    with pytest.raises(KeyboardInterrupt):
        drive(study, launcher, announce=interrupt)
    assert [row.state for row in study.record().rows if row.state in ("running", "waiting")] == []
    drive(make_study(), launcher)
    rows = study.record().rows
    lost = [row.number for row in rows if row.reason == "interrupted"]
    assert sorted(row.retry_of for row in rows if row.retry_of is not None) == lost
    assert len({row.configuration for row in rows}) == 6


def test_a_driver_that_was_killed_is_followed_by_one_that_reads_adopts_and_tries_again(
    make_study: Callable[..., OpenStudy], launcher: FakeLauncher
) -> None:
    study = make_study(trials=3)
    study.queue_baseline()
    launcher.turns = 10**9
    killed = Driver(
        study,
        Places(slots=3, workers=1, accelerator="cpu", threads=1),
        launcher,
        DriverIdentity(study.folder),
    )
    killed._identity.name = killed._identity.name.rsplit("-", 1)[0] + "-1"  # a process that is gone
    killed._turn()
    assert len(launcher.started) == 3
    launcher.train(study.trial(0))  # ended meanwhile
    launcher.living = {launcher.started[1].mark}  # trains on
    launcher.turns = 0
    drive(make_study(trials=3), launcher)
    rows = study.record().rows
    assert launcher.adopted == [launcher.started[1].mark]
    assert rows[0].state == "complete"
    assert rows[1].state in ("paused", "complete")
    assert (rows[2].state, rows[2].reason) == ("lost", "its driver and its processes are gone")
    assert [row.retry_of for row in rows if row.retry_of is not None] == [2]
    assert launcher.trained["0000"] == list(range(1, 10))
    assert not any(row.state in ("running", "waiting") for row in rows)


def test_rows_of_a_driver_that_lives_are_left_alone(
    make_study: Callable[..., OpenStudy], launcher: FakeLauncher
) -> None:
    study = make_study(trials=2)
    study.queue_baseline()
    launcher.turns = 10**9
    other = Driver(study, PLACES, launcher, DriverIdentity(study.folder))
    other._turn()
    helping = Driver(make_study(trials=2), PLACES, launcher, DriverIdentity(study.folder), joined=True)
    helping._identity.name += "0"
    helping._settle_orphans()
    assert [row.state for row in study.record().rows] == ["running", "running"]


def test_a_baseline_that_cannot_be_trained_ends_the_study_with_its_reason(
    make_study: Callable[..., OpenStudy], launcher: FakeLauncher
) -> None:
    launcher.troubles = dict.fromkeys(range(9), "error")
    with pytest.raises(StudyError, match="own hyperparameters cannot be trained: ValueError: the detector"):
        drive(make_study(), launcher)


def test_a_baseline_that_failed_is_tried_again_by_the_next_call(
    make_study: Callable[..., OpenStudy], launcher: FakeLauncher
) -> None:
    launcher.troubles = dict.fromkeys(range(9), "error")
    with pytest.raises(StudyError):
        drive(make_study(), launcher)
    launcher.troubles = {}
    drive(make_study(), launcher)
    record = make_study().record()
    assert record.baseline is not None
    assert (record.baseline.state, record.baseline.params["model.learning_rate"]) == ("complete", 0.1)


def test_the_budget_of_epochs_is_kept(make_study: Callable[..., OpenStudy], launcher: FakeLauncher) -> None:
    study = make_study(trials=None, epochs=40)
    made = drive(study, launcher)
    assert 40 <= made.spent().epochs <= 40 + 2 * 9


def test_gpus_are_shared_among_the_slots(
    make_plan: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    places = find_places(make_plan(parallel_trials=2, workers_per_trial=2), gpus=4)
    assert [places.environment(slot)["CUDA_VISIBLE_DEVICES"] for slot in (0, 1)] == ["4,5", "6,7"]
    with pytest.raises(
        StudyError, match="need 6 GPUs, and 4 can be seen; ask for fewer, or --accelerator cpu"
    ):
        find_places(make_plan(parallel_trials=3, workers_per_trial=2), gpus=4)
