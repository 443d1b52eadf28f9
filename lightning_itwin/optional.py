"""The one way to an optional dependency: import it late, or say which extra brings it."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message names the command that installs it."""


def available(module: str) -> bool:
    """Say whether ``module`` can be imported, without importing it.

    >>> available("json"), available("no_such_module")
    (True, False)
    """
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def require(module: str, extra: str, then: str | None = None) -> ModuleType:
    """Import ``module``, or say which extra of this package brings it.

    Args:
        module: dotted name of the module, such as ``"codecarbon"``.
        extra: the extra in ``pyproject.toml`` that installs it, such as ``"carbon"``.
        then: a command that has to follow, where the extra alone does not bring the module.

    Raises:
        MissingExtraError: the module is not installed.

    >>> require("json", extra="none").__name__
    'json'
    """
    if not available(module):
        raise MissingExtraError(
            f"{module!r} is not installed. It comes with the extra {extra!r}: "
            f"pip install 'lightning-itwin[{extra}]'" + (f" && {then}" if then else "")
        )
    return importlib.import_module(module)


def late_face(package: str, files: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a package whose names are imported when they are asked for.

    A face that imports its files would load Lightning for a command line that needs none, and load the module
    of ``python -m package.module`` twice.

    Args:
        package: its ``__name__``.
        files: name of the module that each name comes from.

    >>> face = late_face("lightning_itwin", {"require": "lightning_itwin.optional"})
    >>> face("require").__name__
    'require'
    """

    def attribute(name: str) -> Any:
        if name not in files:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(files[name]), name)

    return attribute
