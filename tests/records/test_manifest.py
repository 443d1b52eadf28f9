from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from lightning_itwin.records import RunManifest
from lightning_itwin.records.manifest import write_json

MANIFEST = RunManifest(
    run_id="run",
    started_unix_s=1.0,
    workload="BoringModel",
    strategy="ddp",
    world_size=2,
    nodes=1,
    accelerator="cpu",
    device_name="EPYC",
    cpu_name="EPYC",
    cpu_cores=2,
    memory_gib=24.0,
    threads_per_worker=1,
    precision="32-true",
    batch_size=None,
    accumulate_grad_batches=1,
    dataset_samples=None,
    parameters=66,
    seed=1,
    versions={"torch": "2.13.0"},
)


def test_a_manifest_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "manifest.json"
    MANIFEST.write(path)
    assert RunManifest.read(path) == MANIFEST
    assert [item.name for item in path.parent.iterdir()] == ["manifest.json"]


def test_a_second_write_replaces_the_first(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    MANIFEST.write(path)
    later = dataclasses.replace(MANIFEST, strategy="horovod")
    later.write(path)
    assert RunManifest.read(path) == later


def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    MANIFEST.write(path)
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="Circular"):
        write_json(path, circle)
    assert RunManifest.read(path) == MANIFEST


def test_fields_of_a_newer_version_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**dataclasses.asdict(MANIFEST), "a_later_idea": 1}), encoding="utf-8")
    assert RunManifest.read(path) == MANIFEST


@pytest.mark.parametrize("text", ["", "{", "[1]", "7", '{"run_id": "only"}'])
def test_what_is_no_manifest_names_its_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"manifest\.json is not a RunManifest"):
        RunManifest.read(path)
