"""What the CarbonTracker costs a short training, and what its parts cost.

Trainings of a small convolutional network run in processes of their own, with and without the tracker in
turn, since the first training of a process pays for getting codecarbon ready. Epoch times and processor time
are compared: the latter also on a machine that others use.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

READING = "one reading, median"
IDLE = "share of one core while nothing is read"


def cpu_s() -> float:
    """Give the processor time of this process and of the children that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def train(steps: int, with_tracker: bool) -> dict[str, float]:
    """Train for 4 epochs of ``steps`` each and tell how long it took."""
    warnings.simplefilter("ignore")
    import torch
    from lightning.pytorch import Callback, LightningModule, Trainer
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    from lightning_itwin.callbacks import CarbonTracker

    class ConvNet(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            layers = [nn.Conv2d(3, 24, 3), nn.ReLU(), nn.Conv2d(24, 24, 3), nn.ReLU(), nn.Flatten()]
            self.net = nn.Sequential(*layers, nn.LazyLinear(10))

        def training_step(self, batch, batch_idx):
            x, y = batch
            return nn.functional.cross_entropy(self.net(x), y)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.01)

    torch.set_num_threads(1)
    torch.manual_seed(0)
    module = ConvNet()
    x, y = torch.rand(64, 3, 32, 32), torch.randint(10, (64,))
    module.net(x[:2])
    data = TensorDataset(x[:32].repeat(steps, 1, 1, 1), y[:32].repeat(steps))

    class EpochEnds(Callback):
        def __init__(self) -> None:
            self.at_s: list[float] = []

        def on_train_start(self, trainer, pl_module):
            self.at_s.append(time.perf_counter())

        def on_train_epoch_end(self, trainer, pl_module):
            self.at_s.append(time.perf_counter())

    ends = EpochEnds()
    with tempfile.TemporaryDirectory() as folder:
        begun_s = time.perf_counter()
        tracker = [CarbonTracker(country_iso_code="DEU")] if with_tracker else []
        constructor_s = time.perf_counter() - begun_s
        trainer = Trainer(
            max_epochs=4,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            default_root_dir=folder,
            callbacks=[*tracker, ends],
        )
        before_s, cpu_before_s = time.perf_counter(), cpu_s()
        trainer.fit(module, DataLoader(data, batch_size=32))
        return {
            "constructor_s": constructor_s,
            "fit_s": time.perf_counter() - before_s,
            "cpu_s": cpu_s() - cpu_before_s,
            "training_s": ends.at_s[-1] - ends.at_s[0],
            "later_epochs_s": ends.at_s[-1] - ends.at_s[1],
        }


def parts() -> dict[str, float]:
    """Measure the parts one at a time, in a process that has loaded what every training loads."""
    import lightning.pytorch  # noqa: F401

    from lightning_itwin.meters.energy import EnergyMeter
    from lightning_itwin.meters.grid import Grid
    from lightning_itwin.meters.processor_energy import ProcessorEnergy

    told: dict[str, float] = {}
    begun_s, cpu_begun_s = time.perf_counter(), cpu_s()
    import codecarbon  # noqa: F401

    told["import codecarbon"] = time.perf_counter() - begun_s
    begun_s, cpu_begun_s = time.perf_counter(), cpu_s()
    processors = ProcessorEnergy(Grid(country_iso_code="DEU"))
    processors.prepare()
    for thread in threading.enumerate():
        if thread.name == "lightning_itwin-codecarbon":
            thread.join()
    told["get codecarbon ready, in the background"] = time.perf_counter() - begun_s
    told["... processor time of it"] = cpu_s() - cpu_begun_s
    meter = EnergyMeter(processors=processors, gpus=None, take=lambda reading: None)
    begun_s = time.perf_counter()
    meter.start()
    told["start"] = time.perf_counter() - begun_s
    meter.read()
    readings = []
    for _ in range(20):
        time.sleep(0.12)
        begun_s = time.perf_counter()
        meter.read()
        readings.append(time.perf_counter() - begun_s)
    told[READING] = statistics.median(readings)
    cpu_begun_s, begun_s = cpu_s(), time.perf_counter()
    time.sleep(10)
    told[IDLE] = (cpu_s() - cpu_begun_s) / (time.perf_counter() - begun_s)
    meter.stop()
    return told


def run(*arguments: str) -> dict[str, float]:
    """Run this file in a process of its own."""
    told = subprocess.run(
        [sys.executable, __file__, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    return json.loads(told.stdout.splitlines()[-1])


def main() -> None:
    """Compare, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="length of a training (default: 30)")
    parser.add_argument(
        "--repeats", type=int, default=5, help="pairs of trainings (default: 5); 0 measures the parts alone"
    )
    parser.add_argument("--part", choices=("train", "parts"), help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--tracker", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part == "train":
        print(json.dumps(train(options.steps, bool(options.tracker))))
        return
    if options.part == "parts":
        print(json.dumps(parts()))
        return

    from result_page import write_page

    lines = compare(options.seconds, options.repeats) if options.repeats else []
    costs = run("--part", "parts")
    once_s = costs["... processor time of it"]
    always = costs[IDLE] + costs[READING] / 15
    write_page(
        "carbon_tracker_cost",
        "What the CarbonTracker costs",
        f"python benchmarks/carbon_tracker_cost.py --seconds {options.seconds:g} --repeats {options.repeats}",
        [
            *lines,
            "| part | s |",
            "|---|---|",
            *(f"| {name} | {value:.4f} |" for name, value in costs.items()),
            "",
            f"That is {once_s:.2f} s of one core for the first training of a process, on one rank a node, "
            f"and {100 * always:.2f} % of one core from then on (a reading every 15 s): of one core "
            f"{100 * (once_s / 30 + always):.1f} % in a training of 30 s, and "
            f"{100 * (once_s / 300 + always):.2f} % in one of 5 minutes. Getting ready happens in a thread "
            "that begins with the Trainer's set-up.",
        ],
    )


def compare(seconds: float, repeats: int) -> list[str]:
    """Train with and without the tracker in turn, and give the table."""
    first = run("--part", "train", "--steps", "25")
    steps = max(int(25 * seconds / first["training_s"]), 2)
    pairs = []
    for repeat in range(repeats):
        order = (0, 1) if repeat % 2 == 0 else (1, 0)
        told = {
            tracker: run("--part", "train", "--steps", str(steps), "--tracker", str(tracker))
            for tracker in order
        }
        pairs.append((told[0], told[1]))
        print(f"{repeat + 1}/{repeats}", file=sys.stderr)

    def row(name: str, key: str) -> str:
        without = statistics.median(a[key] for a, _ in pairs)
        with_it = statistics.median(b[key] for _, b in pairs)
        more = statistics.median(b[key] - a[key] for a, b in pairs)
        ratios = sorted(b[key] / a[key] for a, b in pairs)
        spread = f"{statistics.median(ratios):.4f} | {ratios[0]:.3f} - {ratios[-1]:.3f}"
        return f"| {name} | {without:.3f} | {with_it:.3f} | {more:+.3f} | {spread} |"

    step_ms = 1000 * statistics.median(a["training_s"] for a, _ in pairs) / (4 * steps)
    constructor_ms = 1000 * statistics.median(b["constructor_s"] for _, b in pairs)
    return [
        f"Small convolutional network, {4 * steps} steps of {step_ms:.0f} ms in 4 epochs, one thread; "
        f"{repeats} pairs of processes, in turn with and without the tracker. Load average of the machine "
        f"meanwhile: {os.getloadavg()[1]:.1f}, which the times of the clock suffer from.",
        "",
        "| quantity | without, s | with, s | median difference, s | median ratio | least - most |",
        "|---|---|---|---|---|---|",
        row("training", "training_s"),
        row("training after the first epoch", "later_epochs_s"),
        row("whole `fit`", "fit_s"),
        row("processor time of `fit`", "cpu_s"),
        "",
        f"The constructor takes {constructor_ms:.0f} ms (it imports codecarbon).",
        "",
    ]


if __name__ == "__main__":
    main()
