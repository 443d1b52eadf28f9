from __future__ import annotations

import pytest
import torch

from lightning_itwin.meters.gpu_sensors import (
    GPUDevice,
    NoSensors,
    visible_devices,
    visible_variable,
)

GPUS = (
    GPUDevice(index=0, uuid="GPU-aa11-0", name="H200"),
    GPUDevice(index=1, uuid="GPU-aa22-1", name="H200"),
    GPUDevice(index=2, uuid="GPU-bb33-2", name="H200", instances=("MIG-cc44", "MIG-cc55")),
)


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("0", [0]),
        ("2,0", [2, 0]),
        (" 1 , 2 ", [1, 2]),
        ("1gpu2,2ampere", [1, 2]),
        ("0,-1,1", [0]),
        ("0,7,1", [0]),
        ("NoDevFiles", []),
        ("0,0", []),
        ("GPU-aa22-1", [1]),
        ("GPU-b,GPU-aa11", [2, 0]),
        ("GPU-aa", []),
        ("GPU-aa22,GPU-zz,GPU-bb", [1]),
        ("MIG-cc44", [2]),
        ("MIG-cc44,MIG-cc55", [2]),
        ("MIG-c", []),
        ("MIG-GPU-bb33-2/1/0", [2]),
        ("MIG-GPU-zz/1/0", []),
        ("٣²", []),
    ],
)
def test_visible_devices_are_those_that_cuda_sees(visible: str | None, expected: list[int]) -> None:
    assert [gpu.index for gpu in visible_devices(GPUS, visible)] == expected


@pytest.mark.parametrize("visible", ["0", "2,1", "1x,2y", "0,-1,1", "0,0", "+1", "", "x"])
def test_indices_are_read_as_torch_reads_them(visible: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parse = getattr(torch.cuda, "_parse_visible_devices", None)
    if parse is None:
        pytest.skip("this torch has no parser to compare with")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu.index for gpu in visible_devices(GPUS, visible)] == parse()


def test_a_gpu_that_does_not_answer_hides_no_other() -> None:
    assert [gpu.index for gpu in visible_devices(GPUS[1:], "0,1,2")] == [1, 2]


def test_no_gpus_at_all() -> None:
    assert visible_devices((), "0,1") == ()
    assert visible_devices((), None) == ()


def test_a_uuid_from_torch_is_recognised_without_its_prefix() -> None:
    assert GPUS[0].answers_to("aa11-0")
    assert GPUS[0].answers_to("GPU-AA11-0")
    assert GPUS[2].answers_to("cc55")
    assert not GPUS[0].answers_to("")


def test_the_variable_of_the_platform() -> None:
    assert visible_variable(environment={}) is None
    assert visible_variable(environment={"CUDA_VISIBLE_DEVICES": ""}) == ""
    environment = {"HIP_VISIBLE_DEVICES": "1", "CUDA_VISIBLE_DEVICES": "0"}
    assert visible_variable(environment=environment) == "0"
    assert visible_variable(hip=True, environment=environment) == "1"
    assert visible_variable(hip=True, environment={"ROCR_VISIBLE_DEVICES": "3"}) == "3"


def test_the_null_object_reads_nothing() -> None:
    sensors = NoSensors()
    assert sensors.devices == ()
    assert sensors.read(GPUS[0]).is_empty()
    sensors.close()
