"""Presets: LightningCLI configs that come with the package, found by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_CONFIG_FLAGS = ("--config", "-c")


def names() -> tuple[str, ...]:
    """Give the names of the presets."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.yaml")))


def find(config: str) -> Path:
    """Give the file of a preset's name, or the path itself where it is a file.

    Args:
        config: path of a LightningCLI config, or the name of a preset.

    Raises:
        FileNotFoundError: it is neither; the message lists the presets.

    >>> find("virgo").name
    'virgo.yaml'
    """
    path = Path(config)
    if path.is_file():
        return path
    if config in names():
        return Path(__file__).parent / f"{config}.yaml"
    raise FileNotFoundError(
        f"config {config!r} is neither a file (looked in {Path.cwd()}) nor a preset. "
        f"Presets: {', '.join(names())}. Give one, or the path of a LightningCLI config."
    )


def resolve(args: Sequence[str]) -> list[str]:
    """Put the path of a preset wherever a command line names one after ``--config``.

    Raises:
        FileNotFoundError: a config is neither a file nor a preset.
    """
    resolved: list[str] = []
    for argument in args:
        flag, equals, value = argument.partition("=")
        if resolved and resolved[-1] in _CONFIG_FLAGS:
            resolved.append(_config(argument))
        elif equals and flag in _CONFIG_FLAGS:
            resolved.append(f"{flag}={_config(value)}")
        else:
            resolved.append(argument)
    return resolved


def _config(value: str) -> str:
    # LightningCLI also takes a config's text in place of its path
    return value if "\n" in value or value.lstrip().startswith("{") else str(find(value))
