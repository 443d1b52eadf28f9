from __future__ import annotations

import csv
import itertools
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import CSVLogger

from lightning_itwin.callbacks import carbon_tracker
from lightning_itwin.callbacks.carbon_tracker import CarbonTracker
from lightning_itwin.meters import processor_energy
from lightning_itwin.optional import MissingExtraError
from lightning_itwin.records import CarbonRecord, GPURecord, find_runs
from tests.fakes.nvml import FakeGPU, FakeNVML

pytest.importorskip("codecarbon")
pytestmark = pytest.mark.filterwarnings("ignore:.*(num_workers|does not have many workers|deprecated).*")
NO_GRID = "nothing tells the country"


class Model(BoringModel):
    """A step of known length; runs what a step is to bring."""

    def __init__(self, step_s: float = 0.0, at: dict[int, Callable[[], None]] | None = None) -> None:
        super().__init__()
        self.step_s, self.at = step_s, at or {}

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        time.sleep(self.step_s)
        self.at.get(self.global_step, lambda: None)()
        return super().training_step(batch, batch_idx)


def fit(folder: Path, *callbacks: Any, model: BoringModel | None = None, **options: Any) -> Trainer:
    ckpt_path = options.pop("ckpt_path", None)
    trainer = Trainer(
        **{
            "max_epochs": 2,
            "limit_train_batches": 4,
            "limit_val_batches": 0,
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": any(isinstance(each, ModelCheckpoint) for each in callbacks),
            "accelerator": "cpu",
            "default_root_dir": folder,
            "callbacks": list(callbacks),
            **options,
        }
    )
    trainer.fit(model or Model(), ckpt_path=ckpt_path)
    return trainer


def rows(folder: Path) -> list[CarbonRecord]:
    [run] = find_runs(folder)
    return list(run.of(CarbonRecord))


def scalars(folder: Path) -> list[dict[str, float]]:
    with open(folder / "lightning_logs" / "version_0" / "metrics.csv", encoding="utf-8") as lines:
        table = [{tag: float(value) for tag, value in row.items() if value} for row in csv.DictReader(lines)]
    return [row for row in table if "carbon/energy_kwh" in row]


def test_a_row_an_epoch_and_one_at_the_end(tmp_path: Path) -> None:
    tracker = CarbonTracker(country_iso_code="DEU")
    fit(tmp_path, tracker, model=Model(step_s=0.05), logger=CSVLogger(tmp_path), log_every_n_steps=1)
    told = rows(tmp_path)
    assert [row.epoch for row in told] == [0, 1, None]
    assert [row.samples for row in told] == [4, 8, 8]
    for before, after in itertools.pairwise(told):
        assert 0 < before.energy_kwh <= after.energy_kwh
        assert before.duration_s <= after.duration_s
    last = told[-1]
    assert (last.country_iso_code, last.grid_source) == ("DEU", "user")
    assert last.intensity_g_per_kwh == pytest.approx(380.95, rel=1e-6)
    assert last.emissions_kg == pytest.approx(last.energy_kwh * 0.38095, rel=1e-6)
    assert last.cpu_energy_kwh is not None
    assert last.ram_energy_kwh is not None
    assert last.energy_kwh == pytest.approx(last.cpu_energy_kwh + last.ram_energy_kwh)
    assert last.gpu_energy_kwh is None
    assert last.resumed_energy_kwh is None
    if last.cpu_source != "rapl":
        assert last.measured_percent == 0.0
    logged = scalars(tmp_path)
    for row, scalar in zip(told, logged, strict=False):
        assert scalar["carbon/energy_kwh"] == pytest.approx(row.energy_kwh)
        assert scalar["carbon/emissions_kg"] == pytest.approx(row.emissions_kg)
        assert scalar["carbon/measured_percent"] == pytest.approx(row.measured_percent)
        per_1000 = row.energy_kwh * 1000 * 1000 / (row.samples or 0)
        assert scalar["carbon/energy_wh_per_1000_samples"] == pytest.approx(per_1000)
        assert scalar["carbon/emissions_g_per_1000_samples"] == pytest.approx(per_1000 * 0.38095)
    second_wh = (told[1].energy_kwh - told[0].energy_kwh) * 1000
    assert [each["carbon/epoch_energy_wh"] for each in logged] == [
        pytest.approx(told[0].energy_kwh * 1000),
        pytest.approx(second_wh),
    ]


def test_codecarbons_own_tools_can_read_the_run(tmp_path: Path) -> None:
    from codecarbon.output import EmissionsData, FileOutput

    fit(tmp_path, CarbonTracker(country_iso_code="DEU", project_name="virgo"))
    [run] = find_runs(tmp_path)
    last = rows(tmp_path)[-1]
    with open(run.folder / "emissions.csv", encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        [row] = list(reader)
    assert reader.fieldnames == list(EmissionsData.__dataclass_fields__)
    assert float(row["energy_consumed"]) == last.energy_kwh
    assert float(row["emissions"]) == last.emissions_kg
    assert (row["project_name"], row["country_iso_code"], row["gpu_energy"]) == ("virgo", "DEU", "0.0")
    numbers = {name: row[name] for name in row}
    data = EmissionsData(**numbers)
    FileOutput("emissions.csv", str(run.folder)).out(data, data)  # it takes the file for one of its own
    assert len((run.folder / "emissions.csv").read_text(encoding="utf-8").splitlines()) == 3
    assert sorted(item.name for item in run.folder.iterdir()) == [
        "emissions.csv",
        "manifest.json",
        "rank-0000.jsonl",
    ]


def test_without_a_country_energy_is_told_and_emissions_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightning_itwin.meters.grid.system_time_zone", lambda: "Etc/UTC")
    tracker = CarbonTracker()
    with pytest.warns(UserWarning, match=NO_GRID):
        fit(tmp_path / "a", tracker, logger=CSVLogger(tmp_path / "a"), log_every_n_steps=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=f".*{NO_GRID}")
        fit(tmp_path / "b", tracker)  # said once
    last = rows(tmp_path / "a")[-1]
    assert last.energy_kwh > 0
    assert (last.emissions_kg, last.intensity_g_per_kwh, last.country_iso_code, last.grid_source) == (
        None,
    ) * 4
    assert all("carbon/emissions_kg" not in row for row in scalars(tmp_path / "a"))
    [run] = find_runs(tmp_path / "a")
    with open(run.folder / "emissions.csv", encoding="utf-8", newline="") as lines:
        [row] = list(csv.DictReader(lines))
    assert (row["emissions"], row["country_iso_code"]) == ("", "")


def test_the_time_zones_country_is_said_aloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("lightning_itwin.meters.grid.system_time_zone", lambda: "Europe/Rome")
    with caplog.at_level("INFO"):
        fit(tmp_path, CarbonTracker())
    assert [
        each.message for each in caplog.records if "ITA" in each.message and "Europe/Rome" in each.message
    ]
    assert {(row.country_iso_code, row.grid_source) for row in rows(tmp_path)} == {("ITA", "time zone")}


def test_codecarbons_configuration_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODECARBON_COUNTRY_ISO_CODE", "FRA")
    monkeypatch.setenv("CODECARBON_PROJECT_NAME", "configured")
    monkeypatch.setenv("CODECARBON_PUE", "1.5")
    fit(tmp_path, CarbonTracker())
    assert {(row.country_iso_code, row.grid_source) for row in rows(tmp_path)} == {
        ("FRA", "codecarbon configuration")
    }
    [run] = find_runs(tmp_path)
    text = (run.folder / "emissions.csv").read_text(encoding="utf-8")
    assert ",configured," in text
    assert ",1.5," in text


def test_a_wrong_configuration_of_codecarbon_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODECARBON_COUNTRY_ISO_CODE", "XX")
    monkeypatch.setenv("CODECARBON_PUE", "lots")
    monkeypatch.setattr("lightning_itwin.meters.grid.system_time_zone", lambda: None)
    with pytest.warns(UserWarning, match="names no grid that it knows"):
        fit(tmp_path, CarbonTracker())
    assert rows(tmp_path)[-1].energy_kwh > 0


def test_an_intensity_of_the_users_own(tmp_path: Path) -> None:
    fit(tmp_path, CarbonTracker(carbon_intensity_g_per_kwh=42.0, pue=1.2))
    last = rows(tmp_path)[-1]
    assert (last.intensity_g_per_kwh, last.country_iso_code) == (pytest.approx(42.0), None)
    assert last.emissions_kg == pytest.approx(last.energy_kwh * 0.042)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"country_iso_code": "DE"}, "Did you mean 'DEU'"),
        ({"region": "bavaria"}, "needs its country"),
        ({"carbon_intensity_g_per_kwh": -1.0}, "from 0"),
        ({"pue": 0.5}, "at least 1"),
        ({"pue": float("nan")}, "at least 1"),
        ({"interval_s": 0.0}, "at least 1 s"),
    ],
)
def test_errors_come_early(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CarbonTracker(**options)


def test_a_missing_codecarbon_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with pytest.raises(MissingExtraError, match=r"lightning-itwin\[carbon\]"):
        CarbonTracker()


def test_a_long_epoch_is_written_down_on_the_way(tmp_path: Path) -> None:
    seen: list[int] = []
    model = Model(step_s=0.8, at={3: lambda: seen.append(len(rows(tmp_path)))})
    fit(tmp_path, CarbonTracker(country_iso_code="DEU", interval_s=1.0), model=model, max_epochs=1)
    assert seen[0] >= 1
    assert [row.epoch for row in rows(tmp_path)][: seen[0]] == [None] * seen[0]
    [run] = find_runs(tmp_path)
    assert (run.folder / "emissions.csv").exists()


def test_a_resumed_training_goes_on_counting(tmp_path: Path) -> None:
    saver = ModelCheckpoint(dirpath=tmp_path / "saved", save_last=True)
    fit(tmp_path / "a", CarbonTracker(country_iso_code="DEU"), saver)
    first = rows(tmp_path / "a")[1]
    state = torch.load(saver.last_model_path, weights_only=True)["callbacks"]["CarbonTracker"]
    assert state["energy_kwh"] == pytest.approx(first.energy_kwh, rel=0.5)
    assert state["samples"] == 8
    fit(
        tmp_path / "b",
        CarbonTracker(country_iso_code="DEU"),
        ckpt_path=saver.last_model_path,
        max_epochs=3,
        logger=CSVLogger(tmp_path / "b"),
        log_every_n_steps=1,
    )
    last = rows(tmp_path / "b")[0]
    assert (last.samples, last.resumed_energy_kwh) == (4, state["energy_kwh"])
    [logged] = scalars(tmp_path / "b")
    assert logged["carbon/energy_kwh"] == pytest.approx(last.energy_kwh + state["energy_kwh"])
    assert logged["carbon/energy_wh_per_1000_samples"] == pytest.approx(
        (last.energy_kwh + state["energy_kwh"]) * 1e6 / 12
    )


def test_a_second_fit_of_a_trainer_goes_on_and_a_new_trainer_begins_anew(tmp_path: Path) -> None:
    tracker = CarbonTracker(country_iso_code="DEU")
    trainer = fit(tmp_path / "a", tracker)
    [first] = find_runs(tmp_path / "a")
    trainer.fit_loop.max_epochs = 3
    trainer.fit(Model())
    [second] = [run for run in find_runs(tmp_path / "a") if run.folder != first.folder]
    told = second.of(CarbonRecord)
    assert told[0].resumed_energy_kwh == pytest.approx(first.of(CarbonRecord)[-1].energy_kwh)
    assert told[0].samples == 4
    fit(tmp_path / "b", tracker)
    assert rows(tmp_path / "b")[-1].resumed_energy_kwh is None
    assert rows(tmp_path / "b")[-1].samples == 8


@pytest.mark.parametrize("error", [OSError("no permission"), ImportError("pandas is broken")])
def test_a_failure_of_codecarbon_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def build(*_: Any) -> None:
        raise error

    monkeypatch.setattr(processor_energy, "build_tracker", build)
    with pytest.warns(UserWarning, match=str(error)) as caught:
        trainer = fit(tmp_path, CarbonTracker(country_iso_code="DEU"))
    assert trainer.current_epoch == 2
    assert len([each for each in caught if str(error) in str(each.message)]) == 1
    assert rows(tmp_path) == []


def test_a_tracker_that_breaks_on_the_way_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from codecarbon.emissions_tracker import BaseEmissionsTracker

    def fail(self: Any) -> None:
        raise RuntimeError("the sensor has gone")

    fit(tmp_path / "warm", CarbonTracker(country_iso_code="DEU"))
    monkeypatch.setattr(BaseEmissionsTracker, "_do_measurements", fail)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = fit(tmp_path / "broken", CarbonTracker(country_iso_code="DEU"))
    assert trainer.current_epoch == 2


def test_fast_dev_run_measures_nothing(tmp_path: Path) -> None:
    tracker = CarbonTracker(country_iso_code="DEU")
    fit(tmp_path, tracker, fast_dev_run=True)
    assert list(find_runs(tmp_path)) == []
    assert tracker._meter is None


def test_a_batch_without_size_leaves_the_samples_unknown(tmp_path: Path) -> None:
    tracker = CarbonTracker(country_iso_code="DEU", batch_size_fn=lambda batch: 10)
    fit(tmp_path / "known", tracker)
    assert [row.samples for row in rows(tmp_path / "known")] == [40, 80, 80]


@pytest.fixture
def trains_on_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a training on CPU count as one that uses all GPUs that it may see."""
    monkeypatch.setattr(carbon_tracker, "_uses_gpus", lambda trainer: True)


@pytest.mark.usefixtures("trains_on_gpus")
def test_four_gpus_of_300_w_for_60_s_are_20_wh(
    tmp_path: Path, install_nvml: Callable[..., FakeNVML], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # no nvidia-smi, without which codecarbon sees no GPU
    library = install_nvml(*(FakeGPU() for _ in range(4)))
    model = Model(at={7: lambda: setattr(library, "time_s", 60.0)})
    fit(tmp_path, CarbonTracker(carbon_intensity_g_per_kwh=100.0, pue=1.25), model=model)
    last = rows(tmp_path)[-1]
    assert last.gpu_energy_kwh == pytest.approx(0.020 * 1.25, rel=1e-6)
    assert last.measured_percent is not None
    assert last.measured_percent > 99.0
    assert last.emissions_kg == pytest.approx(last.energy_kwh * 0.1)
    [run] = find_runs(tmp_path)
    assert run.of(GPURecord) == ()
    with open(run.folder / "emissions.csv", encoding="utf-8", newline="") as lines:
        [row] = list(csv.DictReader(lines))
    assert float(row["gpu_energy"]) == last.gpu_energy_kwh
    assert (row["gpu_count"], row["gpu_model"][:4]) == ("4", "4 x ")


@pytest.mark.usefixtures("trains_on_gpus")
def test_only_the_gpus_in_use_count(
    tmp_path: Path, install_nvml: Callable[..., FakeNVML], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3")
    library = install_nvml(*(FakeGPU() for _ in range(4)))
    model = Model(at={7: lambda: setattr(library, "time_s", 60.0)})
    fit(tmp_path, CarbonTracker(carbon_intensity_g_per_kwh=100.0), model=model)
    assert rows(tmp_path)[-1].gpu_energy_kwh == pytest.approx(0.010, rel=1e-6)


@pytest.mark.usefixtures("trains_on_gpus")
def test_gpus_without_driver_are_unknown_and_said(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="the energy of GPUs is missing"):
        fit(tmp_path, CarbonTracker(country_iso_code="DEU"))
    assert rows(tmp_path)[-1].gpu_energy_kwh is None


def test_a_training_on_cpu_counts_no_gpu(tmp_path: Path, install_nvml: Callable[..., FakeNVML]) -> None:
    library = install_nvml(FakeGPU())
    fit(tmp_path, CarbonTracker(country_iso_code="DEU"))
    assert rows(tmp_path)[-1].gpu_energy_kwh is None
    assert not library.calls.get("nvmlDeviceGetTotalEnergyConsumption")
