"""Whole batches, read ahead in a thread, dealt to the ranks, and resumed at the very next batch."""

# B batch

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ClassVar, Protocol

from torch.utils.data import DataLoader, IterableDataset


class BatchOrder(Protocol):
    """Which samples a batch of one rank holds; a frozen dataclass with a field ``rank``."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    @property
    def batch_size(self) -> int:
        """Samples in a full batch."""

    @property
    def largest_batch(self) -> int:
        """Samples in the largest batch there is."""

    def __len__(self) -> int:
        """Number of batches of an epoch."""

    def permutation(self, epoch: int) -> Any:
        """Draw the order of an epoch."""

    def batch(self, epoch: int, number: int, permutation: Any = None) -> Any:
        """Give the samples of a batch."""


class BatchSource(Protocol):
    """Where the samples come from."""

    def prepare(self, largest_batch: int, read_ahead: int) -> None:
        """Get buffers ready, before the first batch."""

    def read(self, samples: Any, epoch: int, number: int) -> Any:
        """Give the batch of some samples.

        Args:
            samples: as the order gives them.
            epoch: the epoch, from 0.
            number: of the batch within this rank's epoch; buffers are used in this order.
        """


class LoaderStateError(ValueError):
    """A checkpoint from the middle of an epoch does not fit the data; the message names the difference."""


class OrderedBatches(IterableDataset):
    """One rank's batches of an epoch.

    Args:
        source: reads them.
        order: says which samples a batch holds.
        epoch: gives the epoch when an iteration begins.
        read_ahead: batches read ahead in a thread; 0 reads when asked.
    """

    def __init__(
        self, source: BatchSource, order: BatchOrder, epoch: Callable[[], int], read_ahead: int
    ) -> None:
        self.source = source
        self.order = order
        self.read_ahead = read_ahead
        self._epoch = epoch
        self._at: tuple[int, int] = (0, 0)  # epoch and the batches of it that were given out
        self._resume_at: dict[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Any]:
        epoch = self._epoch()
        first = self._first_batch(epoch)
        permutation = self.order.permutation(epoch)
        self.source.prepare(self.order.largest_batch, self.read_ahead)

        def read(number: int) -> Any:
            return self.source.read(self.order.batch(epoch, number, permutation), epoch, number)

        if not self.read_ahead:
            for number in range(first, len(self)):
                batch = read(number)
                self._at = (epoch, number + 1)
                yield batch
            return
        pending: deque[Future[Any]] = deque()
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


class BatchLoader:
    """A torch DataLoader of whole batches, with a state.

    Not itself a DataLoader, so that Lightning neither takes it apart for a sampler of its own nor asks for
    worker processes: reading is a system call, in which a thread does as well and needs no second copy.

    Args:
        batches: the batches.
    """

    def __init__(self, batches: OrderedBatches) -> None:
        self.batches = batches
        self.loader: DataLoader = DataLoader(batches, batch_size=None, collate_fn=_as_it_is)

    @property
    def batch_size(self) -> int:
        """Samples in a full batch of one rank."""
        return self.batches.order.batch_size

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.loader)

    def state_dict(self) -> dict[str, Any]:
        """Give the place in the epoch; Lightning keeps it in its checkpoints."""
        return self.batches.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on behind the batches of a state."""
        self.batches.load_state_dict(state)


def _as_it_is(batch: Any) -> Any:
    return batch
