"""What `import lightning_itwin` adds to `import lightning`, and what a report needs to import.

Each import runs in a process of its own, the variants interleaved, and its time is read inside the process.

Run from the repository: python benchmarks/import_time.py
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

from result_page import write_page

ADDED = "import lightning, time; s=time.perf_counter(); import {}; print(time.perf_counter()-s)"
VARIANTS = {
    "`import lightning_itwin`, after `import lightning`": ADDED.format("lightning_itwin"),
    "`import lightning_itwin.callbacks`, after `import lightning`": ADDED.format("lightning_itwin.callbacks"),
    "`import lightning_itwin.reports`, alone": (
        "import time; s=time.perf_counter(); import lightning_itwin.reports; print(time.perf_counter()-s)"
    ),
    "`import lightning`, alone": (
        "import time; s=time.perf_counter(); import lightning; print(time.perf_counter()-s)"
    ),
}


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7, help="processes of each kind (default: 7)")
    options = parser.parse_args()
    times_ms: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(options.repeats):
        for name, code in VARIANTS.items():
            seconds = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True
            ).stdout
            times_ms[name].append(1000 * float(seconds))
    write_page(
        "import_time",
        "What an import costs",
        "python benchmarks/import_time.py",
        [
            f"Processes of their own, interleaved, {options.repeats} of each.",
            "Goal: `import lightning_itwin` adds less than 50 ms.",
            "",
            "| import | median ms | least ms | most ms |",
            "|---|---|---|---|",
            *(
                f"| {name} | {statistics.median(of):.2f} | {min(of):.2f} | {max(of):.2f} |"
                for name, of in times_ms.items()
            ),
        ],
    )


if __name__ == "__main__":
    main()
