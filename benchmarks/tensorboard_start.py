"""What the tab `itwin` adds to the start of TensorBoard, until it first says which tabs have something.

TensorBoard with all its plugins and without ours, in processes of their own, interleaved, over the same
folder of runs; wall time, and processor time of the process, which a busy machine does not stretch.

Run from the repository: python benchmarks/tensorboard_start.py
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from result_page import command_line, write_page
from sustainability_page import write_runs

START = """
import sys
from tensorboard import default, program
if sys.argv[1] == "without":  # its import is spared too
    from importlib import metadata
    found = metadata.entry_points(group="tensorboard_plugins")
    loaded = [one.load() for one in found if one.name != "itwin"]
    default.get_dynamic_plugins = lambda: loaded
board = program.TensorBoard(plugins=default.get_plugins())
board.configure(argv=[None, "--logdir", sys.argv[2], "--port", "0"])
board.main()
"""


def start_s(which: str, folder: Path) -> tuple[float, float]:
    """Start TensorBoard, ask for its tabs, end it; give wall and processor time until the answer."""
    begin_s = time.monotonic()
    running = subprocess.Popen(
        [sys.executable, "-c", START, which, str(folder)],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stderr is not None
        told = ""
        while not (found := re.search(r"http://\S+?:(\d+)/", told)):
            line = running.stderr.readline()
            if not line:
                sys.exit(f"TensorBoard did not start:\n{told}")
            told += line
        with urllib.request.urlopen(f"http://localhost:{found[1]}/data/plugins_listing") as answer:
            listing = answer.read()
        wall_s = time.monotonic() - begin_s
        spent = Path(f"/proc/{running.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        processor_s = (int(spent[11]) + int(spent[12])) / os.sysconf("SC_CLK_TCK")
        if (b'"itwin"' in listing) != (which == "with"):
            sys.exit(f"{which} the plugin, TensorBoard listed {listing!r}")
        return wall_s, processor_s
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait()


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="starts of each kind (default: 15)")
    parser.add_argument("--runs", type=int, default=100, help="runs below the folder (default: 100)")
    options = parser.parse_args()
    measured: dict[str, list[tuple[float, float]]] = {"without": [], "with": []}
    with tempfile.TemporaryDirectory() as folder:
        write_runs(Path(folder), options.runs, rows=10)
        for which in measured:
            start_s(which, Path(folder))  # files into the cache
        for number in range(options.rounds):
            for which in list(measured)[:: 1 if number % 2 else -1]:
                measured[which].append(start_s(which, Path(folder)))
    lines = [
        f"{options.rounds} starts of each, interleaved; {options.runs} runs below the folder.",
        "",
        "| | wall time s, median (quartiles) | processor time s, median (quartiles) |",
        "|---|---|---|",
    ]
    for which, times in measured.items():
        cells = [spread([pair[index] for pair in times]) for index in (0, 1)]
        lines.append(f"| {which} the tab | {cells[0]} | {cells[1]} |")
    ratios = [
        statistics.median(
            with_it[index] / without[index] for with_it, without in zip(measured["with"], measured["without"])
        )
        for index in (0, 1)
    ]
    lines += [
        "",
        f"With the tab, starting takes {ratios[0]:.3f} times as long and {ratios[1]:.3f} times the processor "
        "time (medians of the rounds' ratios; goal 0.95 to 1.05).",
    ]
    write_page("tensorboard_start", "Start of TensorBoard with the tab", command_line(), lines)


def spread(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
