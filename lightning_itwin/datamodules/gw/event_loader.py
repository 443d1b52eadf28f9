"""Batches of events, read ahead in a thread, dealt to the ranks, and resumed at the very next batch."""

# B batch, P parameters

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from lightning_itwin.datamodules.gw.event_order import EventOrder


class EventInputs(NamedTuple):
    """What a batch is made of, before it is on the device that finishes it.

    Args:
        theta: free parameters, (B, P) float64.
        psd_index: PSD set of each event, (B,) int64.
        record: stored whitened series (float32), stored whitened spectrum (complex64), raw strain (float64),
            or None where the signal is to be simulated.
        bank_row: row of the signal bank for each event, (B,) int64, or None.
        noise_seed: one seed for all the batch, a seed an event (B,), or None where no noise is to be added.
    """

    theta: Tensor
    psd_index: Tensor
    record: Tensor | None
    bank_row: Tensor | None
    noise_seed: int | np.ndarray | None


class EventSource(Protocol):
    """Where the events of one split come from."""

    def prepare(self, largest_batch: int, read_ahead: int) -> None:
        """Get buffers ready, before the first batch."""

    def read(self, events: np.ndarray, epoch: int, number: int) -> EventInputs:
        """Give the inputs of some events.

        Args:
            events: numbers within the split, rising, (B,).
            epoch: the epoch, from 0.
            number: of the batch within this rank's epoch; buffers are used in this order.
        """


class LoaderStateError(ValueError):
    """A checkpoint from the middle of an epoch does not fit the data; the message names the difference."""


class EventBatches(IterableDataset):
    """One rank's batches of an epoch.

    Args:
        source: reads them.
        order: says which events a batch holds.
        epoch: gives the epoch when an iteration begins.
        read_ahead: batches read ahead in a thread; 0 reads when asked.
    """

    def __init__(
        self, source: EventSource, order: EventOrder, epoch: Callable[[], int], read_ahead: int
    ) -> None:
        self.source = source
        self.order = order
        self.read_ahead = read_ahead
        self._epoch = epoch
        self._at: tuple[int, int] = (0, 0)  # epoch and the batches of it that were given out
        self._resume_at: dict[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[EventInputs]:
        epoch = self._epoch()
        first = self._first_batch(epoch)
        permutation = self.order.permutation(epoch)
        self.source.prepare(self.order.largest_batch, self.read_ahead)

        def read(number: int) -> EventInputs:
            return self.source.read(self.order.batch(epoch, number, permutation), epoch, number)

        if not self.read_ahead:
            for number in range(first, len(self)):
                batch = read(number)
                self._at = (epoch, number + 1)
                yield batch
            return
        pending: deque[Future[EventInputs]] = deque()
        asked = iter(range(first, len(self)))
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as reader:
            try:
                for number in range(first, len(self)):
                    while len(pending) <= self.read_ahead and (ahead := next(asked, None)) is not None:
                        pending.append(reader.submit(read, ahead))
                    batch = pending.popleft().result()
                    self._at = (epoch, number + 1)
                    yield batch
            finally:
                for future in pending:
                    future.cancel()

    def state_dict(self) -> dict[str, Any]:
        """Give the place in the epoch, plain values, the same on each rank."""
        epoch, batches = self._at
        return {"epoch": epoch, "batches": batches, "order": self._shared_order()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on behind the batches of a state; it has an effect on the next iteration of the same epoch."""
        self._resume_at = state

    def _first_batch(self, epoch: int) -> int:
        state, self._resume_at = self._resume_at, None
        self._at = (epoch, 0)
        if state is None or state["epoch"] != epoch or not state["batches"]:
            return 0
        now = self._shared_order()
        changed = [
            f"{name} was {value}, is {now.get(name)}"
            for name, value in state["order"].items()
            if value != now.get(name)
        ]
        if changed:
            raise LoaderStateError(
                f"The checkpoint lies in the middle of epoch {epoch}, after {state['batches']} batches, and "
                f"{'; '.join(changed)}. Resume with the same, or from a checkpoint at the end of an epoch."
            )
        self._at = (epoch, state["batches"])
        return state["batches"]

    def _shared_order(self) -> dict[str, Any]:
        return {name: value for name, value in dataclasses.asdict(self.order).items() if name != "rank"}


class EventLoader:
    """A torch DataLoader of whole batches, with a state.

    Not itself a DataLoader, so that Lightning neither takes it apart for a sampler of its own nor asks for
    worker processes: reading is a system call, in which a thread does as well and needs no second copy.

    Args:
        batches: the batches.
    """

    def __init__(self, batches: EventBatches) -> None:
        self.batches = batches
        self.loader: DataLoader = DataLoader(batches, batch_size=None, collate_fn=_as_it_is)

    @property
    def batch_size(self) -> int:
        """Events in a full batch of one rank."""
        return self.batches.order.batch_size

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[EventInputs]:
        return iter(self.loader)

    def state_dict(self) -> dict[str, Any]:
        """Give the place in the epoch; Lightning keeps it in its checkpoints."""
        return self.batches.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on behind the batches of a state."""
        self.batches.load_state_dict(state)


def _as_it_is(batch: Any) -> Any:
    return batch
