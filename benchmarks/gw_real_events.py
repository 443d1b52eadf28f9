"""GW150914 and GW170104 by a GWFlow of full size, trained on a GPU, beside their published chirp masses.

The preset gw_ligo with a flow of size D, an embedding twice as wide, and no bank: every signal is made anew
on the GPU, with fresh noise of the PSDs estimated from the events' own files. Samples are weighed by the
exact likelihood. Every command is one that a user types; what is finished in the folder is not made again.

Run from the repository, with GWOSC's files in data/gwosc: python benchmarks/gw_real_events.py
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
from pathlib import Path

import torch
from gw_preset import PUBLISHED, asked_of_real_events, parser_with_folders, real_events, scalars
from result_page import command_line, write_page

SIZE = {
    "model.init_args.embedding.svd_components": 96,
    "model.init_args.embedding.hidden_features": 1024,
    "model.init_args.embedding.num_blocks": 4,
    "model.init_args.flow.hidden_features": 512,
    "model.init_args.flow.num_blocks": 3,
    "model.init_args.flow.num_flow_steps": 20,
    "model.init_args.learning_rate": 0.001,
    "model.init_args.warmup_steps": 300,
    "model.init_args.posteriors.num_samples": 50_000,
    "model.init_args.posteriors.figures": False,
    "data.init_args.events.bank_events": 0,
    "float32_matmul_precision": "high",
}


def steps_per_s(folder: Path) -> float:
    """Give the median rate between two logged losses of a training."""
    losses = scalars(folder)["train/loss"]
    return statistics.median(
        (after.step - before.step) / (after.wall_time - before.wall_time)
        for before, after in itertools.pairwise(losses)
    )


def main() -> int:
    parser = parser_with_folders(__doc__, "gw_real_events")
    parser.add_argument("--steps", type=int, default=10_000, help="of the training (%(default)s)")
    parser.add_argument("--batch", type=int, default=1024, help="events a step (%(default)s)")
    parser.add_argument("--epochs", type=int, default=5, help="that share the steps (%(default)s)")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print(
            "gw_real_events needs a CUDA GPU, and torch sees none here; nothing was written.", file=sys.stderr
        )
        return 2
    events = options.steps // options.epochs * options.batch
    settings = {
        **SIZE,
        "data.init_args.batch_size": options.batch,
        "data.init_args.events.train_events": events,
        "trainer.max_epochs": options.epochs,
    }
    told, held = asked_of_real_events(
        options.folder, 1, real_events(options.gwosc), settings, accelerator="gpu"
    )
    minutes = json.loads((options.folder / "fit.json").read_text(encoding="utf-8"))["wall_s"] / 60
    lines = [
        f"Training: {minutes:.1f} minutes on one GPU, set-up and compilation in them, {options.epochs} "
        f"{'epoch' if options.epochs == 1 else 'epochs'} of {events / 1e6:.1f}e6 events, none of them "
        f"twice, in batches of {options.batch}; {steps_per_s(options.folder / 'fit'):.0f} steps a second in "
        "the median of what it logged. Priors: the preset's, eleven free "
        "parameters. PSDs from the events' own files.",
        f"{SIZE['model.init_args.posteriors.num_samples']:,} samples an event.",
        *told,
        "",
        f"Published chirp masses held: **{held} of {len(PUBLISHED)}**",
    ]
    note = torch.cuda.get_device_name()
    write_page("gw_real_events", "Two real events, full size", command_line(), lines, note)
    return 0


if __name__ == "__main__":
    sys.exit(main())
