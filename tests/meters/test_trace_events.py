from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch.autograd import DeviceType

from lightning_itwin.meters.trace_events import (
    from_chrome_trace,
    from_columns,
    from_kineto,
    is_communication_kernel,
)

MAIN, GLOO, ENGINE, OTHER = 1, 2, 3, 4


@pytest.mark.parametrize(
    "name",
    [
        "ncclKernel_AllReduce_RING_LL_Sum_float(ncclWorkElem)",  # NCCL 2.10
        "ncclDevKernel_AllGather_RING_LL(ncclDevComm*, unsigned long, ncclWork*)",  # NCCL 2.19
        "ncclSymkDevKernel_ReduceScatter_LL(ncclSymkDevWorkArgs)",  # NCCL 2.27
        "ncclDevKernel_Generic_1(ncclDevKernelArgsStorage<4096ul>)",  # RCCL
        "mscclKernel_Sum_float_LL_Ring",
        "multimem_all_reduce_kernel",
        "void c10d::two_shot_all_reduce_kernel<float>(float*)",
    ],
)
def test_kernels_that_move_data_between_ranks(name: str) -> None:
    assert is_communication_kernel(name)


@pytest.mark.parametrize(
    "name",
    [
        "ampere_sgemm_128x64_tn",
        "void at::native::vectorized_elementwise_kernel<4, at::native::AddFunctor<float>>",
        "void cudnn::bn_bw_1C11_kernel_new",
        "triton_poi_fused_add_relu_0",
        "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float>>",
    ],
)
def test_kernels_that_compute(name: str) -> None:
    assert not is_communication_kernel(name)


def test_on_a_device_kernels_count_and_nothing_else() -> None:
    events = from_columns(
        [
            ("ampere_sgemm", 0, 10, 0, True, False),
            ("ncclDevKernel_AllReduce", 10, 30, 0, True, False),
            ("nccl:all_reduce", 10, 30, 0, True, True),
            ("Optimizer.step#Adam.step", 0, 30, 0, True, True),
            ("Memcpy HtoD (Pinned -> Device)", 40, 50, 0, True, False),
            ("Memset (Device)", 50, 51, 0, True, False),
            ("Context Sync", 60, 70, 0, True, False),
            ("aten::mm", 0, 100, MAIN, False, False),
        ]
    )
    assert events.computation_kernels.tolist() == [[0, 10]]
    assert events.communication_kernels.tolist() == [[10, 30]]


def test_on_a_host_gloos_threads_tell_their_collectives() -> None:
    events = from_columns(
        [
            ("gloo:all_reduce", 5, 9, GLOO, False, True),
            ("nccl:all_reduce", 5, 9, MAIN, False, True),  # the launch only; the kernel tells the rest
            ("c10d::allreduce_", 4, 5, MAIN, False, False),
        ]
    )
    assert events.host_communication.tolist() == [[5, 9]]


def test_operators_are_what_computes_on_the_trainings_threads() -> None:
    events = from_columns(
        [
            ("aten::linear", 0, 10, MAIN, False, False),
            ("aten::addmm", 2, 9, MAIN, False, False),
            ("mylibrary::attention", 10, 12, MAIN, False, False),
            ("aten::mul", 20, 25, ENGINE, False, False),
            ("## Call CompiledFxGraph abc ##", 12, 14, MAIN, False, True),
            ("autograd::engine::evaluate_function: MulBackward0", 19, 40, ENGINE, False, False),
            # containers, waits, annotations, other threads
            ("torch::autograd::AccumulateGrad", 30, 50, MAIN, False, False),
            ("SleepBackward", 30, 50, MAIN, False, False),
            ("DistributedDataParallel.forward", 0, 50, MAIN, False, True),
            ("ProfilerStep#3", 0, 50, MAIN, False, True),
            ("mylibrary::block", 0, 50, MAIN, False, True),
            ("c10d::allreduce_", 30, 50, MAIN, False, False),
            ("_c10d_functional::wait_tensor", 30, 50, MAIN, False, False),
            ("gloo:all_gather", 30, 50, GLOO, False, True),
            ("aten::copy_", 31, 33, GLOO, False, False),
            ("aten::stack", 31, 33, OTHER, False, False),
        ]
    )
    assert events.operators(MAIN).tolist() == [[0, 10], [2, 9], [10, 12], [20, 25], [12, 14]]


def test_a_loaders_fetches() -> None:
    name = "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__"
    events = from_columns([(name, 1, 3, MAIN, False, True), (name, 1, 9, OTHER, False, True)])
    assert events.data_fetches(MAIN).tolist() == [[1, 3]]


def test_kinetos_events_are_read_from_memory() -> None:
    def event(name: str, start: int, end: int, device: DeviceType, annotation: bool) -> SimpleNamespace:
        return SimpleNamespace(
            name=lambda: name,
            start_ns=lambda: start,
            end_ns=lambda: end,
            start_thread_id=lambda: MAIN,
            device_type=lambda: device,
            is_user_annotation=lambda: annotation,
        )

    events = from_kineto(
        [
            event("ampere_sgemm", 0, 5, DeviceType.CUDA, False),
            event("nccl:broadcast", 0, 9, DeviceType.CUDA, True),
            event("gloo:broadcast", 2, 7, DeviceType.CPU, True),
        ]
    )
    assert len(events) == 3
    assert events.computation_kernels.tolist() == [[0, 5]]
    assert events.communication_kernels.tolist() == []
    assert events.host_communication.tolist() == [[2, 7]]
    assert len(from_kineto([])) == 0


@pytest.mark.parametrize("name", ["trace.json", "trace.json.gz"])
def test_a_chrome_trace_is_read_from_its_file(tmp_path: Path, name: str) -> None:
    def row(name: str, category: str, start_us: float, duration_us: float, **more: object) -> dict:
        return {
            "ph": "X",
            "cat": category,
            "name": name,
            "ts": start_us,
            "dur": duration_us,
            "tid": 7,
            **more,
        }

    path = tmp_path / name
    rows = [
        row("ampere_sgemm", "kernel", 1.5, 2.0),
        row("ncclDevKernel_AllReduce", "kernel", 2.0, 4.0),
        row("nccl:all_reduce", "gpu_user_annotation", 2.0, 4.0),
        row("Memcpy HtoD", "gpu_memcpy", 2.0, 4.0, tid="stream 7"),
        row("aten::mm", "cpu_op", 0.0, 1.0),
        row("cudaLaunchKernel", "cuda_runtime", 0.0, 1.0),
        {"ph": "M", "name": "process_name", "ts": 0},
    ]
    text = json.dumps({"traceEvents": rows}).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    events = from_chrome_trace(path)
    assert len(events) == 5
    assert events.computation_kernels.tolist() == [[1500, 3500]]
    assert events.communication_kernels.tolist() == [[2000, 6000]]


@pytest.mark.parametrize("name", ["no.json", "no.json.gz"])
@pytest.mark.parametrize("text", ["{", "[]", '{"events": []}', "1"])
def test_a_file_that_is_no_trace_is_named(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"{name} is not a Chrome trace"):
        from_chrome_trace(path)
