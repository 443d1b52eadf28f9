from __future__ import annotations

import json
import xml.etree.ElementTree
from pathlib import Path

import pytest

pytest.importorskip("altair")
pytest.importorskip("vl_convert")

from lightning_itwin.reports.figures import Figure, draw
from lightning_itwin.reports.scalability import read_scalability
from lightning_itwin.reports.vega import scripts, theme
from tests.reports.synthetic import write_run


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Figure]:
    root = tmp_path_factory.mktemp("sweep")
    for repeat in range(3):
        for workers in (1, 2, 4):
            for strategy in ("ddp", "horovod"):
                write_run(root, strategy, workers, repeat, (12.0 + 0.1 * repeat) / workers**0.9)
    return {figure.metric.name: figure for figure in draw(read_scalability(root))}


def test_every_metric_has_a_figure_or_says_that_it_was_not_measured(figures: dict[str, Figure]) -> None:
    assert list(figures) == [
        "epoch_time_s",
        "speedup",
        "efficiency",
        "samples_per_s",
        "gpu_utilization_percent",
        "gpu_energy_wh",
        "communication_overhead_percent",
        "data_wait_percent",
        "energy_kwh",
        "emissions_kg",
    ]
    for name, figure in figures.items():
        if name.startswith("gpu_"):
            assert (figure.specification, figure.description) == (None, "n/a (no GPU)")
            assert not figure.png
            assert not figure.svg
        else:
            assert figure.png.startswith(b"\x89PNG")
            assert xml.etree.ElementTree.fromstring(figure.svg).tag.endswith("svg")
            json.dumps(figure.specification, allow_nan=False)


def test_a_figure_holds_the_numbers_and_says_them_in_words(figures: dict[str, Figure]) -> None:
    figure = figures["epoch_time_s"]
    assert "ddp on 1 worker: 12.1" in figure.description
    told = json.dumps(figure.specification)
    for strategy in ("ddp", "horovod"):
        assert strategy in told
    assert '"low": ' in told
    assert "Time per epoch" in figure.svg
    assert "Time per epoch (s)" in told


def test_speedup_and_efficiency_show_what_is_ideal(figures: dict[str, Figure]) -> None:
    assert ">ideal<" in figures["speedup"].svg
    assert ">ideal<" in figures["efficiency"].svg
    assert ">ideal<" not in figures["epoch_time_s"].svg


def test_a_strategy_of_one_worker_alone_is_drawn_too(tmp_path: Path) -> None:
    write_run(tmp_path, "ddp", 1, 0, 12.0)
    drawn = {figure.metric.name: figure for figure in draw(read_scalability(tmp_path))}
    assert drawn["epoch_time_s"].png


def test_names_cannot_break_out_of_a_specification(tmp_path: Path) -> None:
    write_run(tmp_path, 'it\'s "</script>" [0].x', 1, 0, 12.0)
    drawn = {figure.metric.name: figure for figure in draw(read_scalability(tmp_path))}
    assert xml.etree.ElementTree.fromstring(drawn["epoch_time_s"].svg) is not None


def test_light_and_dark_differ() -> None:
    assert theme()["range"] != theme(dark=True)["range"]


def test_the_scripts_stand_alone() -> None:
    text = scripts()
    assert "vegaEmbed" in text
    assert 500_000 < len(text) < 2_000_000
