from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lightning_itwin.reports.sustainability import sustainability_page
from lightning_itwin.reports.sustainability.equivalents import EQUIVALENTS
from lightning_itwin.reports.sustainability.run_energy import RunEnergy
from tests.reports.sustainability.synthetic import carbon, write_run, write_table


def shown(text: str, name: str) -> str:
    found = re.search(rf'id="{name}"[^>]*>([^<]*)<', text)
    assert found, name
    return found.group(1)


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, flags=re.DOTALL)
    assert found
    result: dict[str, Any] = json.loads(found.group(1))
    return result


def test_without_a_script_the_page_tells_the_totals(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 2.0)
    write_table(tmp_path / "tool" / "emissions.csv", {"energy_consumed": 1.0, "emissions": 0.06})
    text = sustainability_page([tmp_path])
    assert shown(text, "energy") == "3.00 kWh"
    assert shown(text, "carbon") == "0.660 kg"
    assert shown(text, "carbon-why") == "660 g of CO2 equivalent"
    assert shown(text, "joule") == "7200 J"
    assert shown(text, "measured") == "50.0 %"
    assert shown(text, "measured-why") == "by sensors, the rest by a model; of 1.00 kWh nobody told"
    assert shown(text, "like-household") == "0.411"
    assert shown(text, "like-car") == "1.61"
    assert shown(text, "like-tv") == "6.80"
    assert "France (FRA), Ile-De-France" in text
    assert "60.0 g/kWh" in text
    assert "300 g/kWh" in text


def test_a_small_run_does_not_show_as_nothing(tmp_path: Path) -> None:
    write_run(tmp_path / "a", records=[carbon(1.0, 3e-9, emissions_kg=9e-10)])
    text = sustainability_page([tmp_path])
    assert shown(text, "energy") == "3.00e-09 kWh"
    assert shown(text, "energy-why") == "3.00 µWh of processors, memory and GPUs"
    assert shown(text, "carbon-why") == "0.900 µg of CO2 equivalent"
    assert float(shown(text, "like-car")) > 0


def test_every_equivalent_has_its_source(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    text = sustainability_page([tmp_path])
    for item in EQUIVALENTS:
        assert item.url in text
        assert "kg" in item.source
    assert [item.amount(160.58) for item in EQUIVALENTS] == pytest.approx([100.0, 392.616, 1655.46], rel=1e-5)


def test_a_run_without_a_grid_says_how_to_name_one(tmp_path: Path) -> None:
    write_run(
        tmp_path / "a",
        records=[carbon(1.0, 1.0, emissions_kg=None, intensity_g_per_kwh=None, country_iso_code=None)],
    )
    text = sustainability_page([tmp_path])
    assert shown(text, "carbon") == "n/a"
    assert shown(text, "carbon-why").startswith("no grid is known; CarbonTracker(country_iso_code=...)")
    assert shown(text, "like-tv") == "n/a"
    assert "no grid is known</td>" in text


def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    write_run(tmp_path / "a", workload=evil)
    text = sustainability_page([tmp_path], title=evil)
    assert evil not in text
    assert data_of(text)["projects"] == [evil]


def test_the_data_hold_every_run(tmp_path: Path) -> None:
    for trial in range(3):
        write_run(
            tmp_path / "study" / "trials" / f"{trial:04d}" / "records" / "one", 1.0 + trial, run_id=str(trial)
        )
    write_run(tmp_path / "alone", workload="another", strategy="horovod", world_size=4)
    data = data_of(sustainability_page([tmp_path]))
    assert data["projects"] == ["another", "virgo"]
    assert data["strategies"] == ["ddp", "horovod"]
    assert data["studies"] == ["study"]
    runs = data["runs"]
    assert {len(column) for column in runs.values()} == {4}
    assert set(runs["trial"]) == {None, 0, 1, 2}
    assert sum(runs["energy"]) == pytest.approx(8.0)
    assert sum(kwh for _, _, kwh in data["time"]["bins"]) == pytest.approx(8.0)
    assert runs["project"][runs["name"].index("alone")] == 0


def test_joule_per_sample_is_unknown_without_samples() -> None:
    run = RunEnergy(
        name="a", project="b", started_unix_s=0.0, ended_unix_s=1.0, duration_s=1.0, energy_kwh=1.0
    )
    assert run.joule_per_sample is None
