"""Where a data module's events come from, and how many."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class EventData:
    """Where events come from, and how many.

    Args:
        path: None simulates on the training device; a folder made by ``simulate``; or an HDF5 file.
        train_events: events an epoch; None takes 1,000,000 simulated ones, or all that are stored and not
            kept for validation and test.
        val_events: events for validation, always the same; of stored events those before the test's.
        test_events: events for test, always the same; of stored events the last.
        bank_events: waveforms that are computed before training starts and kept in memory; training takes
            masses, spins, orientation and phase from them, all else and the noise anew for every event. 0
            computes a waveform for every event.
        whitened: whether the strain of an HDF5 file is whitened already.
        read_ahead: batches made ready in a thread while the model computes.
        read_threads: threads that read one batch from disk together.
        shuffle_block: neighbours on disk that are read and shuffled as one.
        verify: compare the checksums of all shards before the first batch.

    Raises:
        ValueError: a number is outside its range.
    """

    path: str | None = None
    train_events: int | None = None
    val_events: int = 10_000
    test_events: int = 1_000
    bank_events: int = 0
    whitened: bool = True
    read_ahead: int = 2
    read_threads: int = 1
    shuffle_block: int = 8
    verify: bool = False

    def __post_init__(self) -> None:
        at_least_one = {"val_events": self.val_events, "test_events": self.test_events}
        at_least_one |= {"read_threads": self.read_threads}
        if self.train_events is not None:
            at_least_one["train_events"] = self.train_events
        wrong = {name: value for name, value in at_least_one.items() if value < 1}
        not_negative = {"bank_events": self.bank_events, "read_ahead": self.read_ahead}
        wrong |= {name: value for name, value in not_negative.items() if value < 0}
        if wrong:
            raise ValueError(f"Too small: {', '.join(f'{name}={value}' for name, value in wrong.items())}.")
        if self.path is not None and self.bank_events:
            raise ValueError("bank_events is for events that are simulated; leave path or bank_events out.")
