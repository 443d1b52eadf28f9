"""One process of a world of two: it updates every metric with its half of the batches.

``metrics_world.py RANK FOLDER`` meets the other in ``FOLDER/store`` and writes ``FOLDER/RANK.pt``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.metrics.cases import CELLS, LEADS, cases, flat, groups


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    told = {}
    for name, (make, updates) in cases().items():
        metric = make(num_outputs=LEADS, num_groups=CELLS)
        for number, (batch, cells) in enumerate(zip(updates, groups())):
            if (number % 3 == 0) == (rank == 0):  # two batches here, four there
                metric.update(*batch, groups=cells)
        told[name] = flat(metric.compute())
    torch.save(told, folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
