"""What a driver does while its study's storage is away: it waits, and lets the trials train on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from lightning_itwin.hpo.storage import connection_errors

_PAUSE_S, _LIMIT_S = 2.0, 3600.0


class StorageLostError(OSError):
    """A study's storage did not come back."""


class Patience:
    """Takes turns, and takes them again where the storage was away; says so, and when it is back."""

    def __init__(self) -> None:
        self._away_s: float | None = None  # since when

    def endure(self, turn: Callable[[], bool]) -> bool:
        """Take a turn; say whether there will be more.

        Args:
            turn: says so itself; may be taken again after it was broken off anywhere.

        Raises:
            StorageLostError: the storage has been away for an hour.
        """
        try:
            more = turn()
        except connection_errors() as error:
            self._wait(error)
            return True
        if self._away_s is not None:
            self._away_s = None
            print("\nthe study's storage is back", file=sys.stderr)
        return more

    def _wait(self, error: Exception) -> None:
        now_s = time.monotonic()
        if self._away_s is None:
            self._away_s = now_s
            print(f"\nthe study's storage is away, trials train on: {error}", file=sys.stderr)
        if now_s - self._away_s > _LIMIT_S:
            raise StorageLostError(
                f"the study's storage has been away for {_LIMIT_S / 60:.0f} minutes ({error}); the trials "
                "that run train on, and their results will be read"
            ) from None
        time.sleep(_PAUSE_S)
