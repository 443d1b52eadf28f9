"""Two ranks that train many trials, each stopped at an epoch that rank 0 alone knows: do they end alike?

Real processes, DDP over Gloo, the reporter of the tuning; the program of each rank is that of the tests. A
rank that went on alone would hang in its next all-reduce, and the world would be ended by its time limit.

Run from the repository: python benchmarks/hpo_stopped_worlds.py
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from result_page import command_line, write_page

from lightning_itwin.launch import LocalLauncher, World

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Run the world, print and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200, help="trainings (default: 200)")
    parser.add_argument("--timeout-s", type=float, default=1200.0, help="when it counts as hung")
    options = parser.parse_args()
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = World(
            command=("-m", "tests.hpo.pruned_world", str(folder), str(options.trials)),
            workers=2,
            starter="ranks",
            log=folder / "world.log",
            environment={"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
            timeout_s=options.timeout_s,
        )
        end = LocalLauncher().start(world).wait()
        if end.status != "ok":
            sys.exit(f"{end.status}: {end.reason}\n{end.log_tail}")
        steps = [json.loads((folder / f"steps-{rank}.json").read_text(encoding="utf-8")) for rank in (0, 1)]
    alike = sum(one == other for one, other in zip(*steps))
    lines = [
        f"{options.trials} trainings of two ranks, stopped after 1 to 4 of 5 epochs: {alike} ended at the "
        f"same step on both, after {min(steps[0])} to {max(steps[0])} steps; none hung "
        f"({end.wall_s:.0f} s, {end.wall_s / options.trials:.2f} s a training).",
    ]
    write_page("hpo_stopped_worlds", "Stopped on all ranks alike", command_line(), lines)
    if alike != options.trials:
        sys.exit(1)


if __name__ == "__main__":
    main()
