"""codecarbon's ``emissions.csv``, one row a node, so that codecarbon's own tools can show a run."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_itwin.records.manifest import write_text

EMISSIONS = "emissions.csv"


class EmissionsFile:
    """The row of one node, written anew with every reading.

    The node of rank 0 writes ``emissions.csv`` and adds the rows of the other nodes, each of which writes
    ``emissions-rank-0004.csv`` and the like beside it.

    Args:
        folder: the run's folder, the same on every node.
        rank: global rank of the process that writes for its node.
    """

    def __init__(self, folder: Path, rank: int) -> None:
        self._folder = folder
        self.path = folder / (EMISSIONS if rank == 0 else f"emissions-rank-{rank:04d}.csv")

    def write(self, row: Mapping[str, Any]) -> None:
        """Write the row; readers see the old file or the new one, never half of one.

        Args:
            row: value by column, in codecarbon's order; None leaves a field empty.

        Raises:
            OSError: the file cannot be written.
        """
        text = io.StringIO()
        table = csv.DictWriter(text, fieldnames=list(row), lineterminator="\n", extrasaction="ignore")
        table.writeheader()
        table.writerow(row)
        if self.path.name == EMISSIONS:
            for other in sorted(self._folder.glob("emissions-rank-*.csv")):
                with open(other, encoding="utf-8", newline="") as rows:
                    table.writerows(csv.DictReader(rows))
        write_text(self.path, text.getvalue())
