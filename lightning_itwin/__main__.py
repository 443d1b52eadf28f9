"""``python -m lightning_itwin fit --config virgo``: LightningCLI for any module, ours included."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path


def main() -> None:
    """Run LightningCLI; a config that cannot be found ends it before torch is imported."""
    from lightning_itwin import presets

    if {"-h", "--help"} & set(sys.argv[1:2]):
        print(f"Presets for --config: {', '.join(presets.names())}\n")
    try:
        sys.argv[1:] = presets.resolve(sys.argv[1:])
        from lightning.pytorch.utilities.exceptions import SIGTERMException

        from lightning_itwin.cli import ItwinCLI

        try:
            ItwinCLI()
        except SIGTERMException:  # Lightning would let it pass for a success
            sys.exit(128 + signal.SIGTERM)
    except FileNotFoundError as error:
        sys.exit(f"error: {error}{_where_data_come_from(presets.names())}")


def _where_data_come_from(names: Sequence[str]) -> str:
    """Name the preset that was given, if its head says where to get the data that it needs."""
    folder = Path(__file__).parent / "presets"
    for argument in sys.argv[1:]:
        file = Path(argument.removeprefix("--config="))
        if file.parent == folder and file.stem in names and "https://" in file.read_text(encoding="utf-8"):
            return f" The head of {file} says where the preset's data come from."
    return ""


if __name__ == "__main__":
    main()
