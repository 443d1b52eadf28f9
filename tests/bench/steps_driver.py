"""The bench in an allocation, with workers that meet, add up and train nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lightning_itwin.bench import __main__ as command
from lightning_itwin.bench import run
from lightning_itwin.bench.order import Order
from lightning_itwin.launch.rendezvous import meet
from lightning_itwin.records.manifest import from_json


def work(path: Path) -> None:
    """Add up over the world; leave the sum and the place of this rank."""
    import torch

    order: Order = from_json(Order, path)
    store = meet(Path(order.meeting), order.token)
    torch.distributed.init_process_group("gloo", init_method="env://")
    total = torch.ones(1)
    torch.distributed.all_reduce(total)
    place = path.with_suffix(f".rank-{os.environ['RANK']}")
    place.write_text(f"{os.environ['SLURMD_NODENAME']} {int(total)} {order.workers}")
    torch.distributed.destroy_process_group()
    del store


def main() -> int:
    """Be the worker of an order, or drive the sweep of the command line."""
    if sys.argv[1].endswith(".json"):
        work(Path(sys.argv[1]))
        return 0
    run._worker = lambda order: ("-m", "tests.bench.steps_driver", str(order.absolute()))
    run.Sweep.check = lambda self: None  # type: ignore[method-assign]
    command.report = lambda folder, failed, options: len(failed)  # type: ignore[attr-defined]
    return command.main()


if __name__ == "__main__":
    sys.exit(main())
