"""LightningCLI for any module: a config names model and data by class path, or is one of our presets."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from lightning.pytorch.cli import LightningCLI

from lightning_itwin import presets, strategy_names

CONFIG_FLAGS = ("--config", "-c")


class ItwinCLI(LightningCLI):
    """LightningCLI in subclass mode that knows our strategy strings and presets.

    Args:
        args: the command line without the program's name; default ``sys.argv[1:]``.
        kwargs: whatever else LightningCLI takes.
    """

    def __init__(self, args: Sequence[str] | None = None, **kwargs: Any) -> None:
        strategy_names.register()
        kwargs.setdefault("save_config_kwargs", {"overwrite": True})
        super().__init__(
            subclass_mode_model=True,
            subclass_mode_data=True,
            args=with_presets(sys.argv[1:] if args is None else args),
            **kwargs,
        )


def with_presets(args: Sequence[str]) -> list[str]:
    """Put the path of a preset wherever a command line names one after ``--config``.

    Raises:
        FileNotFoundError: a config is neither a file nor a preset.
    """
    resolved: list[str] = []
    for argument in args:
        flag, equals, value = argument.partition("=")
        if resolved and resolved[-1] in CONFIG_FLAGS:
            resolved.append(_config(argument))
        elif equals and flag in CONFIG_FLAGS:
            resolved.append(f"{flag}={_config(value)}")
        else:
            resolved.append(argument)
    return resolved


def _config(value: str) -> str:
    # LightningCLI also takes a config's text in place of its path
    return value if "\n" in value or value.lstrip().startswith("{") else str(presets.find(value))
