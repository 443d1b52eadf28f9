"""Two real processes that run a script of this folder, and what each of them leaves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import torch


def run_two_ranks(
    script: str, folder: Path, timeout_s: float = 240.0
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run a script that starts a world of two, and read what its ranks saved as ``0.pt`` and ``1.pt``.

    Args:
        script: its name in this folder.
        folder: its only argument.
        timeout_s: when it counts as hung.
    """
    told = subprocess.run(
        [sys.executable, "-W", "ignore", str(Path(__file__).with_name(script)), str(folder)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
