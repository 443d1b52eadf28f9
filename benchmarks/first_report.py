"""From nothing to the first report: a fresh clone, one command; wall time, repairs and megabytes.

Clones the repository into an empty folder, with an empty cache (so that Horovod is built too), and runs
`make bench`. Beside it stand the figures of itwinai 0.4.2 for the same road on a machine of the same kind:
14 commands, 6 of them repairs, 190 packages.

Run from the repository: python benchmarks/first_report.py
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from result_page import write_page

REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="leave the clone where it is")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="first_report_"))
    clone = folder / "lightning_itwin"
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "VIRTUAL_ENV": "", "PYTHONPATH": ""}
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], check=True)
    times_s = {}
    for target in ("install", "bench"):
        started = time.perf_counter()
        ended = subprocess.run(["make", target], cwd=clone, env=environment, check=False)
        times_s[target] = time.perf_counter() - started
        if ended.returncode:
            sys.exit(f"make {target} ended with {ended.returncode} in {clone}")
    python = clone / ".venv" / "bin" / "python"
    packages = subprocess.run(
        [python, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    installed = _megabytes(clone / ".venv")
    torch = _megabytes(next((clone / ".venv" / "lib").glob("python*/site-packages/torch")))
    sweep = "18 trainings (3 strategies x 2 worker counts x 3 repeats) and the report"
    valid = "epoch time, speedup, communication, energy, carbon"
    write_page(
        "first_report",
        "From nothing to the first report",
        "python benchmarks/first_report.py",
        [
            "No GPU; a fresh clone, an empty cache. `make bench` does both steps; they are timed apart.",
            "",
            "| | lightning_itwin | itwinai 0.4.2 |",
            "|---|---|---|",
            "| commands to the first report | 1 | 14 |",
            "| of these, repairs | 0 | 6 |",
            f"| installation, with Horovod from source | {times_s['install']:.0f} s | 310 s, no Horovod |",
            f"| {sweep} | {times_s['bench']:.0f} s | 2 trainings of one strategy |",
            f"| packages installed | {len(packages)} | 190 |",
            f"| MB installed, torch included | {installed:.0f} | 2400 |",
            f"| MB installed beside torch | {installed - torch:.0f} | about 1600 |",
            f"| metrics of the report that are valid on CPU | {valid} | epoch time |",
            "",
            "itwinai's figures: measured on a busy machine of the same kind (times are not to be compared), "
            "with a CPU build of torch kept in place by hand.",
        ],
    )
    if options.keep:
        print(clone)
    else:
        shutil.rmtree(folder)


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


if __name__ == "__main__":
    main()
