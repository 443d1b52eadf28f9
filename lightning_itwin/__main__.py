"""``python -m lightning_itwin fit --config virgo``: LightningCLI for any module, ours included."""

from __future__ import annotations

import sys


def main() -> None:
    """Run LightningCLI; a config that cannot be found ends it before torch is imported."""
    from lightning_itwin import presets

    if {"-h", "--help"} & set(sys.argv[1:2]):
        print(f"Presets for --config: {', '.join(presets.names())}\n")
    try:
        sys.argv[1:] = presets.resolve(sys.argv[1:])
        from lightning_itwin.cli import ItwinCLI

        ItwinCLI()
    except FileNotFoundError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
