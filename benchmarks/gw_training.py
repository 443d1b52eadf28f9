"""What a training step of GWFlow costs, part by part: simulation, embedding, flow, optimizer.

On a GPU the batch is that of the reference system: 256 events of 8 s at 8192 Hz in three interferometers, in
bfloat16 but for the flow. On a CPU ``gw_small`` and ``gw_ligo`` are measured as they are, and the reference
system with a batch of 8.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.gw_preset import option_words, real_events
from benchmarks.result_page import command_line, write_page
from lightning_itwin import presets
from lightning_itwin.cli import ItwinCLI
from lightning_itwin.models.gw_conditions import GWConditions
from lightning_itwin.models.gw_network import GWNetwork

REFERENCE_BATCHES_PER_S = 1.0  # of the reference system, batches of 256 on an NVIDIA L40


def preset_parts(preset: str, changed: Mapping[str, object]) -> tuple[Any, Any]:
    """Make model and datamodule of a preset, changed by the names of its options."""
    sys.argv = sys.argv[:1]  # the CLI warns of other words
    arguments = ["--config", str(presets.find(preset)), *option_words(changed)]
    cli = ItwinCLI(args=arguments, run=False, save_config_callback=None)
    return cli.model, cli.datamodule


class Step:
    """A training step in parts, without a Trainer."""

    def __init__(self, preset: str, overrides: dict[str, object], device: torch.device) -> None:
        model, self.data = preset_parts(preset, overrides)
        self.device = device
        self.data.setup("fit")
        without = ("phase",) if model.hparams["synthetic_phase"] else ()
        conditions = GWConditions.of(self.data)
        self.network = GWNetwork(
            conditions,
            model.embedding_settings,
            model.flow_settings,
            without,
            model.hparams["reference_frame"],
        ).to(device)
        self.network.write_gradients_in_place(True)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-5, fused=device.type == "cuda")
        self.inputs = self.data.transfer_batch_to_device(next(iter(self.data.train_dataloader())), device, 0)
        self.batch = self.data.finish(self.inputs)
        self.context = self.embed().detach().requires_grad_()
        self.z = self.network.to_coordinates(self.batch.theta)[0].float()

    def simulate(self) -> None:
        self.batch = self.data.finish(self.inputs)

    def embed(self) -> torch.Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            return self.network(self.batch.strain, self.batch.psd_index)

    def embedding(self) -> None:
        self.optimizer.zero_grad()
        self.embed().square().sum().backward()

    def flow(self) -> None:
        self.optimizer.zero_grad()
        self.network._fast.log_prob(self.z, self.context).sum().backward()

    def update(self) -> None:
        self.optimizer.step()

    def whole(self) -> None:
        self.simulate()
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            loss = -self.network.log_prob(*self.batch).mean()
        loss.backward()
        self.optimizer.step()


def timed_ms(part: Callable[[], None], repeats: int, device: torch.device) -> tuple[float, float]:
    """Median time of a part, and that until the host is through with it.

    On a GPU of several in a row, waited for once, as a training does.
    """
    in_a_row = 10 if device.type == "cuda" else 1
    spans, host_spans = [], []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        for _ in range(in_a_row):
            part()
        host_spans.append((time.perf_counter() - begin) / in_a_row)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        spans.append((time.perf_counter() - begin) / in_a_row)
    return 1e3 * statistics.median(spans[1:]), 1e3 * statistics.median(host_spans[1:])


def memory_gib(device: torch.device) -> float:
    """Highest memory so far: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cuda = torch.cuda.is_available()
    parser.add_argument("--presets", nargs="*", default=[] if cuda else ["gw_small", "gw_ligo"])
    parser.add_argument(
        "--kinds", nargs="*", default=["folded", "folded_lean", "svd"], help="embeddings of gw"
    )
    parser.add_argument("--batch-size", type=int, default=256 if cuda else 8, help="of gw")
    parser.add_argument("--gwosc", type=Path, default=Path("data/gwosc"), help="folder of GWOSC's files")
    parser.add_argument("--repeats", type=int, default=5 if cuda else 3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--page", default="gw_training_cuda" if cuda else "gw_training")
    arguments = parser.parse_args()
    command = command_line()
    torch.set_num_threads(arguments.threads)
    device = torch.device("cuda" if cuda else "cpu")
    if cuda:
        torch.set_float32_matmul_precision("high")
    steps: list[tuple[str, str, dict[str, object]]] = [
        (preset, preset, {"data.init_args.events.bank_events": 2000}) for preset in arguments.presets
    ]
    for kind in arguments.kinds:
        override = {"model.init_args.embedding.kind": kind, "data.init_args.batch_size": arguments.batch_size}
        steps.append((f"gw, {kind}", "gw", override))
    lines = [
        "| | batch | parameters | simulation | embedding | flow | optimizer | step | batches/s | memory |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    rates = {}
    for name, preset, overrides in steps:
        if preset == "gw_ligo":
            overrides["data.init_args.real_events"] = real_events(arguments.gwosc)
        if cuda:
            torch.cuda.reset_peak_memory_stats(device)
        step = Step(preset, overrides, device)
        parts = (step.simulate, step.embedding, step.flow, step.update, step.whole)
        spans, host_spans = zip(*(timed_ms(part, arguments.repeats, device) for part in parts))
        rates[name] = 1e3 / spans[-1]
        parameters = sum(parameter.numel() for parameter in step.network.parameters()) / 1e6
        cells = " | ".join(f"{span:.1f} ms" for span in spans)
        lines.append(
            f"| {name} | {len(step.batch.theta)} | {parameters:.1f}e6 | {cells} | {rates[name]:.2f} | "
            f"{memory_gib(device):.1f} GiB |"
        )
        if cuda:
            cells = " | ".join(f"{span:.1f} ms" for span in host_spans)
            lines.append(f"| thereof the host | | | {cells} | | |")
    lines += ["", "Embedding and flow with their backward passes; the step with its simulation."]
    if cuda and arguments.batch_size == 256:
        told = (f"{name} {rate / REFERENCE_BATCHES_PER_S:.1f}" for name, rate in rates.items())
        lines += ["", f"Over the reference's 1 batch of 256 a second: {', '.join(told)}"]
    note = f"{arguments.threads} thread" if not cuda else torch.cuda.get_device_name()
    write_page(arguments.page, "A training step of GWFlow", command, lines, note)


if __name__ == "__main__":
    main()
