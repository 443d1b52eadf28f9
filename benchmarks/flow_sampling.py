"""Samples and densities of spline flows: nflows against the fast path, the same weights, interleaved.

On the CPU one thread, in processor time; beside it the matrix products alone (the floor). On a CUDA machine
absolute times for 32 events of 10,000 samples, and the memory above the weights.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.flow_sizes import FEATURES, SIZES, Size, interleaved, ratio, rough_flow, shown
from benchmarks.result_page import write_page
from lightning_itwin.flows import accelerate, native
from lightning_itwin.flows.native.spline import run_block_splines
from lightning_itwin.flows.rational_quadratic import SplineBounds

BINS = 8
GOALS = {"S": 4.0, "M": 2.5}
BFLOAT16_GOALS = {"S": 5.0, "M": 4.0, "D": 3.2, "L": 2.9}
FLOOR_GOAL = 0.9
SPLINE_GOAL = 12.0
FLOOR_ROWS = 512
GPU_EVENTS, GPU_SAMPLES, NFLOWS_SAMPLES = 32, 10_000, 500
GPU_GOALS_US = {"D": 0.3, "L": 2.0}
PRODUCTS = {  # dtype, and whether TensorFloat-32 is allowed
    "float32": ("float32", False),
    "TensorFloat-32": ("float32", True),
    "bfloat16": ("bfloat16", True),
}


def products(size: Size, rows: int) -> Callable[[], None]:
    """Give the work of a flow's matrix products alone, in chunks of rows that stay in the cache."""
    transformed = FEATURES // 2
    entry = torch.randn(FEATURES + size.hidden, FEATURES)
    inner = [torch.randn(size.hidden, size.hidden) for _ in range(2 * size.blocks * size.steps)]
    final = [torch.randn(transformed * (3 * BINS - 1), size.hidden) for _ in range(size.steps)]
    chunks = [min(FLOOR_ROWS, rows - k) for k in range(0, rows, FLOOR_ROWS)]

    def work() -> None:
        for k in range(size.steps):
            for count in chunks:
                state, hidden = torch.ones(FEATURES, count), torch.ones(size.hidden, count)
                torch.mm(entry, state)
                for weight in inner[2 * size.blocks * k : 2 * size.blocks * (k + 1)]:
                    torch.mm(weight, hidden)
                torch.mm(final[k], hidden)

    return work


def spline_works(rows: int) -> dict[str, Callable[[], Any]]:
    from nflows.transforms.splines import unconstrained_rational_quadratic_spline

    transformed = FEATURES // 2
    values, parameters = 2 * torch.randn(rows, transformed), torch.randn(rows, transformed, 3 * BINS - 1)
    widths, heights, slopes = parameters.split([BINS, BINS, BINS - 1], dim=-1)
    rows_a_block = int(native.library().block_rows())
    blocks = -(-rows // rows_a_block)
    held = 2 * torch.randn(blocks, transformed, rows_a_block)
    packed = torch.randn(blocks, 3 * BINS - 3, transformed, rows_a_block)
    logabsdet = torch.zeros(blocks * rows_a_block)
    return {
        "nflows": lambda: unconstrained_rational_quadratic_spline(
            values, widths, heights, slopes, inverse=True, tail_bound=5.0
        ),
        "ours": lambda: run_block_splines(held, packed, logabsdet, SplineBounds(5.0), BINS, inverse=True),
    }


def errors(flow: Any, context: torch.Tensor, samples: int) -> list[str]:
    """Give cells: float64 difference; largest, rms and 99.9 % error of float32 for nflows and for ours."""
    noise = torch.randn(len(context), samples, FEATURES)
    double = copy.deepcopy(flow).double()
    few = noise[:1, :64].double()
    exact = accelerate(double, compile="no")
    rows = few.reshape(-1, FEATURES)
    wanted, _ = double._transform.inverse(rows, context[:1].double().expand(len(rows), -1))
    difference = (exact.sample(64, context[:1].double(), noise=few)[0] - wanted).abs().max()
    truth, true_log_prob = exact.sample_and_log_prob(samples, context.double(), noise=noise.double())
    cells = [f"{difference:.0e}"]
    flat, wide = noise.reshape(-1, FEATURES), context.repeat_interleave(samples, dim=0)
    theirs, logabsdet = flow._transform.inverse(flat, wide)
    of_nflows = theirs, flow._distribution.log_prob(flat) - logabsdet
    of_ours = accelerate(flow).sample_and_log_prob(samples, context, noise=noise)
    for k, true in enumerate((truth, true_log_prob)):
        for found in (of_nflows, of_ours):
            error = (found[k].reshape(-1).double() - true.reshape(-1)).abs()
            high = error.kthvalue(int(0.999 * len(error))).values
            cells.append(f"{error.max():.1e} / {error.square().mean().sqrt():.1e} / {high:.1e}")
    return cells


def peak_memory_mib(library: str, samples: int) -> float:
    """Give the peak memory above the result of sampling 2 events with flow S, in a process of its own."""
    command = [sys.executable, __file__, "--memory-of", library, "--samples", str(samples)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    return float(done.stdout.split()[-1])


def memory_of(library: str, samples: int) -> None:
    torch.set_num_threads(1)
    flow = rough_flow(SIZES["S"])
    context = torch.randn(2, SIZES["S"].context)
    sampler = accelerate(flow) if library == "ours" else flow
    with torch.no_grad():
        sampler.sample(100, context)
        Path("/proc/self/clear_refs").write_text("5")  # begin the peak anew
        before = status_kib("VmRSS")
        result = sampler.sample(samples, context)
        peak = status_kib("VmHWM")
    print((peak - before) / 1024 - result.numel() * 4 / 2**20)


def status_kib(name: str) -> int:
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0])


def flow_works(flow: Any, size: Size, context: torch.Tensor) -> dict[str, Callable[[], Any]]:
    fast, half = accelerate(flow), accelerate(flow, dtype="bfloat16")
    rows = size.events * size.samples
    theta = flow.sample(1, context[:1])[0].repeat(rows, 1) + 0.1 * torch.randn(rows, FEATURES)
    wide = context.repeat_interleave(size.samples, dim=0)
    return {
        "nflows sample": lambda: flow.sample(size.samples, context),
        "sample": lambda: fast.sample(size.samples, context),
        "floor": products(size, rows),
        "bfloat16": lambda: half.sample(size.samples, context),
        "nflows both": lambda: flow.sample_and_log_prob(size.samples, context),
        "both": lambda: fast.sample_and_log_prob(size.samples, context),
        "nflows log_prob": lambda: flow.log_prob(theta, wide),
        "log_prob": lambda: fast.log_prob(theta, wide),
    }


def on_cpu(names: list[str], rounds: int) -> tuple[list[str], list[str]]:
    speed, accuracy, verdicts = [], [], []
    for name in names:
        size = SIZES[name]
        flow = rough_flow(size)
        context = torch.randn(size.events, size.context)
        rows = size.events * size.samples
        works = flow_works(flow, size, context)
        times = interleaved(works, rounds)
        splines = interleaved(spline_works(rows), rounds)
        median_us = {key: float(torch.tensor(of).median()) / rows * 1e6 for key, of in times.items()}
        speed.append(
            f"| {name} | {size.events} x {size.samples} | {median_us['nflows sample']:.1f} "
            f"| {median_us['sample']:.1f} | **{shown(times['nflows sample'], times['sample'])}** "
            f"| {shown(times['nflows both'], times['both'])} "
            f"| {shown(times['nflows log_prob'], times['log_prob'])} "
            f"| **{shown(times['nflows sample'], times['bfloat16'])}** "
            f"| {median_us['floor']:.1f} | {100 * ratio(times['floor'], times['sample'])[0]:.0f} % "
            f"| {shown(splines['nflows'], splines['ours'])} |"
        )
        reached = ratio(times["nflows sample"], times["sample"])[0]
        share = ratio(times["floor"], times["sample"])[0]
        of_half = ratio(times["nflows sample"], times["bfloat16"])[0]
        of_spline = ratio(splines["nflows"], splines["ours"])[0]
        if name in GOALS:
            verdicts.append(f"{name}: {reached:.2f} x nflows (goal {GOALS[name]:g})")
        if name != "S":
            verdicts.append(f"{name}: {100 * share:.0f} % of the floor's speed (goal {100 * FLOOR_GOAL:.0f})")
        verdicts.append(f"{name}: bfloat16 {of_half:.2f} x (goal {BFLOAT16_GOALS[name]:g})")
        verdicts.append(f"{name}: spline alone {of_spline:.1f} x (goal {SPLINE_GOAL:g})")
        accuracy.append(
            f"| {name} | " + " | ".join(errors(flow, context[:2], min(size.samples, 1000))) + " |"
        )
    lines = [
        "Processor time of one thread a sample and event, in microseconds; ratios are nflows' time over "
        f"ours, median of {rounds} interleaved rounds (lowest-highest). The floor is a flow's products "
        f"alone with torch, {FLOOR_ROWS} rows at a time; above 100 % ours does them faster, or needs fewer. "
        "L has 5 of its 30 steps.",
        "",
        "| size | events x samples | nflows, us | ours, us | sample | sample_and_log_prob | log_prob "
        "| sample, bfloat16 products | floor, us | share of the floor | spline alone |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *speed,
        "",
        "Errors against the same flow in float64: largest / rms / 99.9 % quantile. The largest is the luck "
        "of one ill-conditioned sample. First column: ours and nflows, both in float64.",
        "",
        "| size | float64 | samples, nflows | samples, ours | log_prob, nflows | log_prob, ours |",
        "|---|---|---|---|---|---|",
        *accuracy,
    ]
    return lines, verdicts


def memory_table() -> list[str]:
    lines = [
        "Peak memory above the result in MiB, flow S, 2 events:",
        "",
        "| samples an event | nflows | ours |",
        "|---|---|---|",
    ]
    if not Path("/proc/self/clear_refs").exists():
        return ["Peak memory is measured on Linux alone."]
    for samples in (10_000, 100_000):
        cells = [f"{peak_memory_mib(library, samples):.0f}" for library in ("nflows", "ours")]
        lines.append(f"| {samples} | {cells[0]} | {cells[1]} |")
    return lines


def on_gpu(
    names: list[str], labels: list[str], chunks: list[int | None], rounds: int
) -> tuple[list[str], list[str]]:
    lines = [
        f"{GPU_EVENTS} events x {GPU_SAMPLES} samples with their densities, median of {rounds}. nflows at "
        f"{GPU_EVENTS} x {NFLOWS_SAMPLES}, in float32. Memory above the flow's weights: the folded ones of "
        "both directions and the graphs, without the result. In bfloat16 the hidden units alone are rounded.",
        "",
        "| size | products | us a sample and event | nflows' time over ours | all, s | one event, ms "
        "| MiB above the weights |",
        "|---|---|---|---|---|---|---|",
    ]
    verdicts = []
    for name in names:
        size = SIZES[name]
        flow = rough_flow(size, steps=30 if name == "L" else None).cuda()
        context = torch.randn(GPU_EVENTS, size.context, device="cuda")
        torch.backends.cuda.matmul.allow_tf32 = False
        stock_us = 1e6 / GPU_EVENTS / NFLOWS_SAMPLES * drawing_s(flow, NFLOWS_SAMPLES, context, rounds)
        lines.append(f"| {name} | nflows, float32 | {stock_us:.2f} | 1 | | | |")
        for label, chunk_rows in itertools.product(labels, chunks):
            dtype, tf32 = PRODUCTS[label]
            told = label if chunk_rows is None else f"{label}, {chunk_rows} rows"
            torch.backends.cuda.matmul.allow_tf32 = tf32
            torch.cuda.empty_cache()
            before = torch.cuda.memory_reserved()
            fast = accelerate(flow, dtype=dtype, chunk_rows=chunk_rows)
            one_s = drawing_s(fast, GPU_SAMPLES, context[:1], rounds)
            all_s = drawing_s(fast, GPU_SAMPLES, context, rounds)
            torch.cuda.empty_cache()
            above_mib = (torch.cuda.memory_reserved() - before) / 2**20
            del fast
            each_us = 1e6 * all_s / GPU_EVENTS / GPU_SAMPLES
            lines.append(
                f"| {name} | {told} | **{each_us:.3f}** | {stock_us / each_us:.1f} | {all_s:.3f} "
                f"| {1e3 * one_s:.1f} | {above_mib:.0f} |"
            )
            if name in GPU_GOALS_US:
                goal_us = GPU_GOALS_US[name]
                verdicts.append(
                    f"{name}, {told}: {each_us:.3f} us, goal {goal_us:g}: ratio {goal_us / each_us:.2f}"
                )
    return lines, verdicts


def drawing_s(sampler: Any, samples: int, context: torch.Tensor, rounds: int) -> float:
    """Give the median wall time of drawing samples with their densities on the GPU, warmed up."""
    spans = []
    for number in range(rounds + 2):
        torch.cuda.synchronize()
        begun_s = time.perf_counter()
        sampler.sample_and_log_prob(samples, context)
        torch.cuda.synchronize()
        if number > 1:
            spans.append(time.perf_counter() - begun_s)
    return statistics.median(spans)


PEERS = [
    "Other libraries at size S, on the same kind of core in an earlier run, nflows 0.14 = 1: glasflow 0.4.1 "
    "with nflows' weights 0.93, DINGO's own network (glasflow, ELU and batch norm) 0.97, normflows 0.71, "
    "zuko 1.6.0 (coupling, two passes) 0.43. Their weights are their own but glasflow's.",
]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="flow sizes (default: all)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default: 5)")
    parser.add_argument(
        "--products",
        nargs="+",
        choices=PRODUCTS,
        default=list(PRODUCTS),
        help="of hidden layers, on a GPU (default: all)",
    )
    parser.add_argument(
        "--chunk-rows", nargs="+", type=int, help="rows of a chunk on a GPU (default: accelerate's own)"
    )
    parser.add_argument("--name", help="of the page under results (default: flow_sampling, with _cuda)")
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="where to measure (default: %(default)s)",
    )
    parser.add_argument("--memory-of", choices=("nflows", "ours"), help=argparse.SUPPRESS)
    parser.add_argument("--samples", type=int, default=10_000, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="torch.triangular_solve")
    if options.memory_of:
        memory_of(options.memory_of, options.samples)
        return 0
    on_cuda = options.device == "cuda"
    with torch.no_grad():
        if on_cuda:
            lines, verdicts = on_gpu(
                options.sizes, options.products, options.chunk_rows or [None], options.rounds
            )
        else:
            torch.set_num_threads(1)
            lines, verdicts = on_cpu(options.sizes, options.rounds)
            lines += ["", *memory_table(), "", *PEERS]
    lines += ["", *(f"- {verdict}" for verdict in verdicts)]
    command = (
        f"python benchmarks/flow_sampling.py --device {options.device} --sizes {' '.join(options.sizes)}"
    )
    if on_cuda:
        command += f" --products {' '.join(options.products)}"
        if options.chunk_rows:
            command += f" --chunk-rows {' '.join(map(str, options.chunk_rows))}"
    name = options.name or ("flow_sampling_cuda" if on_cuda else "flow_sampling")
    note = torch.cuda.get_device_name() if on_cuda else ""
    write_page(name, "Sampling spline flows", f"{command} --rounds {options.rounds}", lines, note)
    print(*verdicts[:1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
