"""Checks what this package claims about GPUs, on any machine with one CUDA GPU.

Every check runs in a process of its own and becomes rows of one table. A check that fails says why in its
row, and the others go on. The exit code is 0 if every claim holds, 1 if one does not, and 2 (with nothing
written) where there is no GPU.

- devices: the GPUs that CUDA sees are those that we read, for every form of CUDA_VISIBLE_DEVICES;
- calls: what a reading costs;
- energy: the hardware's energy counter against densely sampled power, under loads that swing;
- activity: performance monitors (Hopper and newer) against matrix products of known duty;
- monitor: GPUMonitor in a real Trainer against the counter;
- communication: CommunicationProfiler against a kernel with a name of NCCL's that spins for a known time;
- cost: a training with all callbacks against one without, interleaved; and the weights it ends in;
- preset: one training of the bench.

Run from the repository: python benchmarks/gpu_truth.py
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import gpu_checks
import torch
from gpu_checks import CHECKS, LIMITS_S, MARK, ROOT, Finding
from result_page import command_line, page

from lightning_itwin.optional import available


def run_apart(name: str) -> list[Finding]:
    """Run one check in a process of its own; what it found before it failed counts."""
    command = [sys.executable, gpu_checks.__file__, name]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    found: list[Finding] = []
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMITS_S.get(name, 240),
            check=False,
        )
        output, errors, failed = done.stdout, done.stderr, f"exit code {done.returncode}"
        ended = done.returncode == 0
    except subprocess.TimeoutExpired as error:
        output, errors = (_text(stream) for stream in (error.stdout, error.stderr))
        failed, ended = f"no end after {error.timeout:.0f} s", False
    for line in output.splitlines():
        if line.startswith(MARK):
            found.append(Finding(**json.loads(line.removeprefix(MARK))))
    if not ended:
        last = next((line for line in reversed(errors.splitlines()) if line.strip()), "")
        found.append(
            Finding(
                claim=f"check {name!r} runs", expected="to its end", measured=f"{failed}: {last}", holds=False
            )
        )
    return found


def _text(stream: str | bytes | None) -> str:
    return stream.decode(errors="replace") if isinstance(stream, bytes) else stream or ""


def report(findings: dict[str, list[Finding]], started_s: float) -> str:
    import pynvml

    pynvml.nvmlInit()
    driver = pynvml.nvmlSystemGetDriverVersion()
    lines = [
        "| check | claim | expected | measured | holds |",
        "|---|---|---|---|---|",
    ]
    verdict = {True: "yes", False: "**no**", None: ""}
    for name, rows in findings.items():
        for row in rows:
            cells = (name, row.claim, row.expected, row.measured)
            text = " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells)
            lines.append(f"| {text} | {verdict[row.holds]} |")
    gpu = f"{torch.cuda.get_device_name()}, driver {driver}, CUDA {torch.version.cuda}"
    note = f"{gpu}, {platform.system()}, {time.perf_counter() - started_s:.0f} s in all"
    return page("What is claimed about GPUs, on a GPU", command_line(), lines, note)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=list(CHECKS), help="these checks alone")
    parser.add_argument("--out", default=str(ROOT / "benchmarks/results/gpu_truth.md"), help="(%(default)s)")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("gpu_truth needs a CUDA GPU, and torch sees none here; nothing was written.", file=sys.stderr)
        return 2
    if not available("pynvml"):
        print("gpu_truth needs nvidia-ml-py: pip install 'lightning-itwin[gpu]'", file=sys.stderr)
        return 2
    started_s = time.perf_counter()
    findings: dict[str, list[Finding]] = {}
    for name in options.only:
        print(f"{name} ...", flush=True)
        findings[name] = run_apart(name)
        for finding in findings[name]:
            print(
                f"  {finding.claim}: {finding.measured} (expected {finding.expected or '-'}): {finding.holds}"
            )
        Path(options.out).parent.mkdir(parents=True, exist_ok=True)
        Path(options.out).write_text(report(findings, started_s))  # what is known so far
    return int(any(finding.holds is False for rows in findings.values() for finding in rows))


if __name__ == "__main__":
    sys.exit(main())
