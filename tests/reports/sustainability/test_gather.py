from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lightning_itwin.records.run_folder import rank_file
from lightning_itwin.reports.error import ReportError
from lightning_itwin.reports.sustainability.gather import MOST_WARNINGS, gather_energy
from lightning_itwin.reports.sustainability.run_folder import GPU_ALONE
from lightning_itwin.reports.sustainability.totals import add_up
from tests.reports.sustainability.synthetic import carbon, write_run, write_table
from tests.reports.synthetic import START_S, epoch, gpu


def test_the_last_row_of_a_node_is_its_sum(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "records" / "one", 2.0)
    found = gather_energy([tmp_path])
    (run,) = found.runs
    assert run.name == "a/records/one"
    assert (run.project, run.strategy, run.workers) == ("virgo", "ddp", 1)
    assert run.energy_kwh == pytest.approx(2.0)
    assert run.emissions_kg == pytest.approx(0.6)
    assert run.measured_kwh == pytest.approx(1.0)
    assert run.joule_per_sample == pytest.approx(7200.0)
    assert (run.started_unix_s, run.ended_unix_s, run.duration_s) == (START_S, START_S + 3600, 3600)
    assert run.place.country_iso_code == "ITA"
    assert sum(found.timeline.bins("virgo").values()) == pytest.approx(2.0)
    assert found.warnings == ()


def test_nodes_add_up_and_samples_do_not(tmp_path: Path) -> None:
    rows = [carbon(60.0, 1.0), carbon(60.0, 3.0, node="node1", rank=4, samples=None)]
    write_run(tmp_path / "one", records=list(rows))
    (run,) = gather_energy([tmp_path]).runs
    assert run.energy_kwh == pytest.approx(4.0)
    assert run.samples == 1000
    assert run.duration_s == 120.0 / 2


def test_a_second_process_in_the_same_folder_adds_its_part(tmp_path: Path) -> None:
    rows = [carbon(60.0, 1.0), carbon(120.0, 2.0), carbon(30.0, 0.5, begun_unix_s=START_S + 500)]
    write_run(tmp_path / "one", records=list(rows))
    found = gather_energy([tmp_path])
    (run,) = found.runs
    assert run.energy_kwh == pytest.approx(2.5)
    assert run.samples == 2000
    assert run.duration_s == 150.0
    assert sum(found.timeline.bins("virgo").values()) == pytest.approx(2.5)


def test_energy_of_a_resumed_run_counts_once(tmp_path: Path) -> None:
    write_run(tmp_path / "first", records=[carbon(60.0, 1.0)])
    write_run(tmp_path / "second", records=[carbon(60.0, 2.0, resumed_energy_kwh=1.0)])
    assert add_up(gather_energy([tmp_path]).runs).energy_kwh == pytest.approx(3.0)


def test_a_node_without_a_grid_leaves_the_carbon_open(tmp_path: Path) -> None:
    write_run(tmp_path / "one", records=[carbon(60.0, 1.0, emissions_kg=None, intensity_g_per_kwh=None)])
    total = add_up(gather_energy([tmp_path]).runs)
    assert total.emissions_kg is None
    assert total.without_grid_kwh == pytest.approx(1.0)


def test_codecarbons_file_beside_the_rows_is_not_added(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "one")
    write_table(
        folder / "emissions.csv", {"project_name": "mine", "country_iso_code": "ITA", "country_name": "Italy"}
    )
    (run,) = gather_energy([tmp_path]).runs
    assert run.project == "mine"
    assert run.place.country == "Italy"
    assert run.energy_kwh == pytest.approx(2.0)


def test_a_file_of_another_tool_is_read(tmp_path: Path) -> None:
    write_table(
        tmp_path / "tool" / "my_emissions.csv",
        {"run_id": "aaaaaaaaaaaa", "energy_consumed": 0.5, "duration": 100},
        {"run_id": "aaaaaaaaaaaa", "energy_consumed": 1.0, "duration": 200},
        {"run_id": "b", "project_name": "second", "emissions": ""},
    )
    (tmp_path / "tool" / "metrics.csv").write_text("epoch,loss\n1,0.5\n")
    found = gather_energy([tmp_path])
    first, second = sorted(found.runs, key=lambda run: run.project)
    assert first.name == "tool/aaaaaaaa"
    assert (first.energy_kwh, first.emissions_kg, first.measured_kwh) == (1.0, 0.06, None)
    assert (first.place.country, first.place.region) == ("France", "Ile-De-France")
    assert second.project == "second"
    assert second.emissions_kg is None
    assert sum(found.timeline.bins("other").values()) == pytest.approx(1.0)


def test_the_file_that_codecarbon_itself_writes_is_read(tmp_path: Path) -> None:
    output = pytest.importorskip("codecarbon.output_methods.file")
    emissions = pytest.importorskip("codecarbon.output_methods.emissions_data")
    import dataclasses

    values = {
        field.name: 0.5 if field.type in (float, "float") else ""
        for field in dataclasses.fields(emissions.EmissionsData)
    }
    values |= {
        "timestamp": "2026-01-10T12:00:00",
        "project_name": "theirs",
        "run_id": "r",
        "energy_consumed": 0.25,
    }
    row = emissions.EmissionsData(**values)
    output.FileOutput("emissions.csv", str(tmp_path)).out(row, row)
    (run,) = gather_energy([tmp_path]).runs
    assert (run.project, run.energy_kwh, run.emissions_kg) == ("theirs", 0.25, 0.5)


def test_broken_lines_warn_and_are_passed_over(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "one")
    with open(rank_file(folder, 0), "a", encoding="utf-8") as file:
        file.write('{"kind": "carbon", "time_unix_s": 17\nnothing at all\n{"kind": "dream"}\n')
        file.write('{"kind": "carbon", "time_unix_s": 1.0, "duration_s": NaN, "energy_kwh": 1.0}\n')
        file.write('{"kind": "carbon", "time_unix_s": 1.0, "duration_s": 1.0, "energy_kwh": "much"}\n\n')
        file.write(
            '{"kind": "carbon", "time_unix_s": 1.0, "duration_s": 1.0, "energy_kwh": 1, "samples": []}\n'
        )
        file.write('{"kind": "epoch", "time_unix')
    write_table(
        tmp_path / "tool" / "emissions.csv",
        {"energy_consumed": "nan"},
        {"timestamp": "yesterday"},
        {"duration": -1},
        {"energy_consumed": ""},
        {"run_id": "good"},
    )
    found = gather_energy([tmp_path])
    assert add_up(found.runs).energy_kwh == pytest.approx(3.0)
    assert len(found.warnings) == 11
    assert all("row passed over: " in text for text in found.warnings)
    assert any(f"{rank_file(folder, 0)}:12: " in text and "dream" not in text for text in found.warnings)
    assert any(text.endswith("timestamp is 'yesterday'") for text in found.warnings)


def test_of_many_warnings_the_first_are_told_and_the_others_counted(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "one")
    with open(rank_file(folder, 0), "a", encoding="utf-8") as file:
        file.write("broken\n" * (MOST_WARNINGS + 5))
    warnings = gather_energy([tmp_path]).warnings
    assert len(warnings) == MOST_WARNINGS + 1
    assert warnings[-1] == "and 5 more of this kind"


def test_a_copy_counts_once(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "one")
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    found = gather_energy([tmp_path, tmp_path / "a"])
    assert len(found.runs) == 1
    assert found.warnings == ("1 run(s) were found twice and counted once",)


def test_gpus_alone_count_where_nothing_else_was_measured(tmp_path: Path) -> None:
    write_run(tmp_path / "one", records=[epoch(0, 0, 10.0), *(gpu(0, second) for second in (0.0, 3600.0))])
    (run,) = gather_energy([tmp_path]).runs
    assert run.energy_kwh == pytest.approx(0.3)
    assert (run.measured_kwh, run.emissions_kg, run.samples) == (run.energy_kwh, None, 6400)
    assert run.note == GPU_ALONE


def test_samples_come_from_the_epochs_where_the_tracker_counted_none(tmp_path: Path) -> None:
    write_run(tmp_path / "one", records=[epoch(0, 0, 1.0), epoch(1, 0, 1.0), carbon(60.0, 1.0, samples=None)])
    (run,) = gather_energy([tmp_path]).runs
    assert run.samples == 12_800


def test_a_trial_knows_its_study(tmp_path: Path) -> None:
    write_run(tmp_path / "study" / "trials" / "0007" / "records" / "one")
    for folder in (tmp_path, tmp_path / "study", tmp_path / "study" / "trials"):
        (run,) = gather_energy([folder]).runs
        assert (run.study, run.trial) == ((tmp_path / "study").as_posix(), 7)


def test_runs_without_energy_are_counted(tmp_path: Path) -> None:
    write_run(tmp_path / "silent", records=[epoch(0, 0, 10.0)])
    write_run(tmp_path / "one")
    found = gather_energy([tmp_path])
    assert len(found.runs) == 1
    assert found.warnings[0].startswith("1 run(s) told of no energy")


def test_a_run_that_died_before_its_manifest_counts(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "one")
    (folder / "manifest.json").write_text("{")
    found = gather_energy([tmp_path])
    assert found.runs[0].project == "without a name"
    assert "manifest.json was passed over" in found.warnings[0]


def test_where_there_is_nothing_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"there is no folder .*nowhere"):
        gather_energy([tmp_path / "nowhere"])
    with pytest.raises(
        ReportError, match=r"no energy was found in .* or below\. Looked for .*CarbonTracker\(\)"
    ):
        gather_energy([tmp_path])
    write_run(tmp_path / "silent", records=[epoch(0, 0, 10.0)])
    with pytest.raises(ReportError, match=r"1 run\(s\) there left no row of energy"):
        gather_energy([tmp_path])
    with pytest.raises(ReportError, match="no folder was given"):
        gather_energy([])
