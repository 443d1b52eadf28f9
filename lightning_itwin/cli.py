"""LightningCLI for any module: a config names model and data by class path, or is one of our presets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning.pytorch.cli import LightningCLI

from lightning_itwin import presets, strategy_names


class ItwinCLI(LightningCLI):
    """LightningCLI in subclass mode that knows our strategy strings and presets.

    Args:
        args: the command line without the program's name; None for the program's own.
        kwargs: whatever else LightningCLI takes.
    """

    def __init__(self, args: Sequence[str] | None = None, **kwargs: Any) -> None:
        strategy_names.register()
        kwargs.setdefault("save_config_kwargs", {"overwrite": True})
        super().__init__(
            subclass_mode_model=True,
            subclass_mode_data=True,
            args=None if args is None else presets.resolve(args),
            **kwargs,
        )
