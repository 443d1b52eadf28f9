"""One of two processes that verify a half each; the first writes what both have found."""

from __future__ import annotations

import json
import sys
from datetime import timedelta

import torch
import torch.distributed as dist

from tests.forecasts.synthetic import batch, verification


def main(rank: int, store: str, target: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    data, metric = batch(), verification()
    size = len(data.series)
    half = slice(0, size // 3) if rank == 0 else slice(size // 3, size)
    metric.update(**data.part(half))
    found = metric.compute()
    if rank == 0:
        told = {name: values.tolist() for name, values in found.columns().items()}
        told["maps"] = {name: values.tolist() for name, values in found.maps.items()}
        told["latest"] = [found.latest_origin, found.latest_probability.tolist()]  # type: ignore[union-attr]
        with open(target, "w", encoding="utf-8") as file:
            json.dump(told, file)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
