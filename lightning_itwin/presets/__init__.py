"""Presets: LightningCLI configs that come with the package, found by name."""

from __future__ import annotations

from pathlib import Path


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
