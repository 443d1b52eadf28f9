"""The sustainability page over 10,000 runs and 1,000,000 records: its making, its size, its opening.

Writes made-up runs of 40 projects over half a year into a temporary folder (0.5 GB): a manifest, a file of
rows (70 % energy, 20 % epochs, 10 % communication; a broken line in some) and codecarbon's file each, one in
five a trial of a study. Then makes the page in one process with one thread, checks its total against what was
written, and opens it in a headless Chromium where there is one.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from result_page import command_line, write_page

from lightning_itwin.records import CarbonRecord, CommunicationRecord, EpochRecord
from lightning_itwin.records.jsonl import encode

GOAL_BUILD_S, GOAL_OPEN_S, GOAL_MB = 60.0, 3.0, 10.0
BEGIN_S = 1_760_000_000
_HEAD = (
    "timestamp,project_name,run_id,duration,emissions,energy_consumed,country_name,country_iso_code,region"
)
_COMMUNICATION = {
    **dict.fromkeys(("wall_s", "total_s", "computation_s"), 0.7),
    **dict.fromkeys(("exposed_s", "hidden_s", "data_wait_s", "idle_s", "wait_s", "cost_s"), 0.123456),
    **{"overhead_percent": 10.0, "cost_percent": 0.5, "source": "cpu-trace"},
    **{"first_step": 3, "steps": 10, "collectives": 30},
}
_EPOCH = {
    **{
        "stage": "train",
        "time_s": 12.0,
        "steps": 100,
        "samples": 3200,
        "world_samples": 6400,
        "warmup": False,
    },
    **dict.fromkeys(("step_time_median_s", "step_time_p95_s", "data_wait_s"), 0.123456),
}
_PROBE = """<script>addEventListener("load", () => {
  const told = document.createElement("pre");
  told.id = "told";
  told.textContent = `${document.documentElement.dataset.drawn} ${performance.now()}`;
  document.body.append(told);
});</script>"""


def write_runs(root: Path, runs: int, rows: int) -> float:
    """Write runs; give their energy in kWh."""
    random.seed(5)
    total = 0.0
    for number in range(runs):
        project = f"project-{number % 40:02d}"
        inner = f"trials/{number // 200:04d}/records" if number % 5 == 0 else "version_0/records"
        name = f"{number:06d}-{random.getrandbits(24):06x}"
        folder = root / project / f"day-{number % 180:03d}" / inner / name
        folder.mkdir(parents=True)
        begun = BEGIN_S + 86_400 * (number % 180) + random.random() * 80_000
        energy = 10 ** random.uniform(-5, 1)
        total += energy
        manifest = {
            "run_id": name,
            "started_unix_s": begun,
            "workload": project,
            "strategy": ("ddp", "deepspeed", "horovod")[number % 3],
            "world_size": 1 << number % 5,
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
        lines = [_row(begun, energy * row / rows, row) for row in range(1, rows + 1)]
        if number % 1000 == 7:
            lines.insert(rows // 2, '{"kind": "carbon", "time_unix_s": 17600')
        (folder / "rank-0000.jsonl").write_text("\n".join(lines) + "\n")
        row = f"2025-11-01T10:00:00,{project},{name},{15 * rows},{0.3 * energy},{energy},Italy,ITA,lombardy"
        (folder / "emissions.csv").write_text(f"{_HEAD}\n{row}\n")
    return total


def _row(begun: float, energy_kwh: float, row: int) -> str:
    at = {"time_unix_s": begun + 15.0 * row, "rank": 0, "epoch": row // 10}
    if row % 10 == 3:
        return encode(CommunicationRecord(**at, **_COMMUNICATION))
    if row % 5 == 1:
        return encode(EpochRecord(**at, **_EPOCH))
    carbon = CarbonRecord(
        **at,
        node="node-7",
        duration_s=15.0 * row,
        energy_kwh=energy_kwh,
        cpu_energy_kwh=0.3 * energy_kwh,
        gpu_energy_kwh=0.6 * energy_kwh,
        ram_energy_kwh=0.1 * energy_kwh,
        measured_percent=60.0,
        emissions_kg=0.3 * energy_kwh,
        intensity_g_per_kwh=300.0,
        country_iso_code="ITA",
        samples=1000 * row,
        cpu_source="rapl",
        grid_source="user",
    )
    return encode(carbon)


def open_page(page: Path, folder: Path) -> list[float]:
    """Open a copy of the page five times; give the seconds until it is drawn. Empty without a browser."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        return []
    copy = folder / "probed.html"
    text = page.read_text(encoding="utf-8")
    copy.write_text(text.replace("<title>", _PROBE + "<title>", 1), encoding="utf-8")
    times = []
    for attempt in range(5):
        told = subprocess.run(
            [
                browser,
                *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
                *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
                f"--user-data-dir={folder / f'profile-{attempt}'}",
                "--dump-dom",
                copy.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        found = re.search(r'<pre id="told">yes ([\d.]+)</pre>', told.stdout)
        if found is None:
            raise RuntimeError(f"the page was not drawn: {told.stderr[-2000:]}")
        times.append(float(found.group(1)) / 1000)
    return times


def main() -> int:
    """Run it; 0 where the goals are reached."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--runs", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--rows", type=int, default=100, help="of each run (default: 100)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sustainability_") as place:
        root, page = Path(place) / "logs", Path(place) / "page.html"
        truth = write_runs(root, options.runs, options.rows)
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        command = [sys.executable, "-m", "lightning_itwin.sustainability", str(root), "--output", str(page)]
        made = subprocess.run(command, capture_output=True, text=True, check=True)
        wall_s, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        build_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        told = float(re.search(r"net energy +([\d.]+) kWh", made.stdout).group(1))
        size_mb = page.stat().st_size / 1e6
        opened = open_page(page, Path(place))
    broken = made.stderr.count("row passed over")
    right = abs(told / truth - 1) < 0.01
    opening = f"{statistics.median(opened):.2f} s" if opened else "no browser"
    lines = [
        "| what | measured | goal |",
        "|---|---|---|",
        f"| building, processor time of one core | {build_s:.1f} s | {GOAL_BUILD_S:.0f} s |",
        f"| building, wall time | {wall_s:.1f} s | |",
        f"| largest memory | {after.ru_maxrss / 1024:.0f} MiB | |",
        f"| size of the page | {size_mb:.2f} MB | {GOAL_MB:.0f} MB |",
        f"| opening in Chromium until drawn, median of 5 | {opening} | {GOAL_OPEN_S:.0f} s |",
        f"| net energy shown | {told:g} kWh | {truth:.6g} kWh |",
        f"| broken lines told on the terminal | {broken} | |",
        "",
        f"{options.runs:,} runs and {options.runs * options.rows:,} records, of which {0.7:.0%} are rows "
        f"of energy.",
    ]
    title = "The sustainability page of many runs"
    write_page("sustainability_page", title, command_line(), lines, "1 thread")
    reached = build_s <= GOAL_BUILD_S and size_mb <= GOAL_MB and right
    reached = reached and (not opened or statistics.median(opened) <= GOAL_OPEN_S)
    verdict = "reached" if reached else "missed"
    print(f"built in {build_s:.1f} s, {size_mb:.2f} MB, opened in {opening}: {verdict}")
    return 0 if reached else 1


if __name__ == "__main__":
    raise SystemExit(main())
