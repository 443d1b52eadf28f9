from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from lightning_itwin.hpo.report.configurations import configurations
from lightning_itwin.hpo.report.energy import energy_so_far, read_energy
from lightning_itwin.hpo.report.pareto import Candidate, candidates, front
from lightning_itwin.records import CarbonRecord
from lightning_itwin.records.jsonl import encode
from tests.hpo.report.synthetic import row, study


def points(*pairs: tuple[float, float]) -> list[Candidate]:
    return [
        Candidate(configuration=number, epoch=1, energy_kwh=energy, value=value)
        for number, (energy, value) in enumerate(pairs)
    ]


def carbon(node: str, epoch: int | None, energy_kwh: float) -> str:
    values = dict.fromkeys(field.name for field in dataclasses.fields(CarbonRecord))
    values |= {"time_unix_s": 0.0, "rank": 0, "node": node, "epoch": epoch, "energy_kwh": energy_kwh}
    return encode(CarbonRecord(**{**values, "duration_s": 1.0})) + "\n"


def test_every_better_epoch_is_a_candidate_and_segments_add_up() -> None:
    found = configurations(
        study(
            row(0, {1: 0.9, 2: 0.7}, "paused"),
            row(1, {3: 0.8, 4: 0.5}, configuration=0, from_epoch=2, resume_from=0),
        )
    )
    rows = {0: {1: 1.0, 2: 2.0}, 1: {3: 1.5, 4: 3.0}}
    assert energy_so_far(found[0], rows) == {1: 1.0, 2: 2.0, 3: 3.5, 4: 5.0}
    told = candidates(found, rows, 1.0)
    assert [(one.epoch, one.value, one.energy_kwh) for one in told] == [
        (1, 0.9, 1.0),
        (2, 0.7, 2.0),
        (4, 0.5, 5.0),
    ]
    assert candidates(found, {}, 1.0) == ()


def test_the_front_is_what_none_beats_in_both() -> None:
    found = front(points((1.0, 8.0), (2.0, 4.0), (3.0, 5.0), (4.0, 1.0), (4.0, 2.0), (5.0, 8.0)), 1.0)
    assert found is not None
    assert [(one.energy_kwh, one.value) for one in found.members] == [(1.0, 8.0), (2.0, 4.0), (4.0, 1.0)]


def test_the_hypervolume_is_a_share_of_a_box() -> None:
    found = front(points((1.0, 100.0), (10.0, 10.0), (100.0, 1.0), (100.0, 100.0)), 1.0)
    assert found is not None  # a box of 2 x 2 decades, of which 1 x 1 is beaten
    assert found.hypervolume_percent == pytest.approx(25.0)
    plain = front(points((0.0, 2.0), (1.0, 1.0), (2.0, 0.0), (2.0, 2.0)), 1.0)
    assert plain is not None
    assert plain.hypervolume_percent == pytest.approx(25.0)
    alone = front(points((1.0, 1.0)), 1.0)
    assert alone is not None
    assert (alone.hypervolume_percent, alone.knee) == (100.0, None)


def test_the_knee_is_where_much_is_gained_for_little() -> None:
    found = front(points((1.0, 10.0), (2.0, 2.0), (5.0, 1.5), (11.0, 1.0)), 1.0)
    assert found is not None
    assert found.knee is not None
    assert found.knee.energy_kwh == 2.0
    bulging = front(points((1.0, 10.0), (9.0, 9.0), (10.0, 1.0)), 1.0)
    assert bulging is not None
    assert bulging.knee is None


def test_higher_values_may_be_better() -> None:
    found = front(points((1.0, 0.5), (2.0, 0.9), (3.0, 0.8)), -1.0)
    assert found is not None
    assert [one.value for one in found.members] == [0.5, 0.9]


def test_energy_is_read_from_the_records_of_all_nodes(tmp_path: Path) -> None:
    run = tmp_path / "trials" / "0002" / "records" / "run"
    run.mkdir(parents=True)
    (run / "manifest.json").write_text(json.dumps({}))
    (run / "rank-0000.jsonl").write_text(
        carbon("a", 0, 0.001) + carbon("a", None, 0.0015) + carbon("a", 1, 0.002) + '{"kind": "carbon", "ep'
    )
    (run / "rank-0001.jsonl").write_text(carbon("b", 0, 0.003) + carbon("b", 1, 0.006))
    found = read_energy(tmp_path)
    assert set(found) == {2}
    assert math.isclose(found[2][1], 0.004)
    assert math.isclose(found[2][2], 0.008)
    assert read_energy(tmp_path / "nowhere") == {}
