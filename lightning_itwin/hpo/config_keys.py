"""Keys of a LightningCLI config: dotted paths into the resolved config, ``init_args`` left out at will."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from lightning_itwin.hpo.study_plan import StudyError

_CLASS_KEYS = ("class_path", "init_args", "dict_kwargs")


def resolve(config: Mapping[str, Any], key: str) -> tuple[str | int, ...]:
    """Give the path of a key in a resolved config.

    >>> config = {"model": {"class_path": "M", "init_args": {"lr": 0.1}}}
    >>> resolve(config, "model.lr") == resolve(config, "model.init_args.lr") == ("model", "init_args", "lr")
    True

    Args:
        config: with all defaults filled in.
        key: dotted, such as ``model.learning_rate`` or ``trainer.callbacks.0.init_args.patience``.

    Raises:
        StudyError: there is no such key; the message names the nearest ones.
    """
    place: Any = config
    path: list[str | int] = []
    for part in key.split("."):
        if isinstance(place, Mapping) and "class_path" in place and part not in _CLASS_KEYS:
            extra = place.get("dict_kwargs") or {}
            path.append("dict_kwargs" if part in extra else "init_args")
            place = extra if part in extra else place.get("init_args") or {}
        if isinstance(place, Mapping) and part in place:
            path.append(part)
            place = place[part]
        elif isinstance(place, list) and part.isdigit() and int(part) < len(place):
            path.append(int(part))
            place = place[int(part)]
        else:
            known = sorted(short_keys(config))
            near = (
                difflib.get_close_matches(key, known, n=4, cutoff=0.5)
                or [one for one in known if one.startswith(f"{key.partition('.')[0]}.")][:12]
            )
            hint = f"did you mean {', '.join(near)}?" if near else f"it has {', '.join(config)}"
            raise StudyError(f"space: the config has no key {key!r}; {hint}")
    return tuple(path)


def get(config: Any, path: tuple[str | int, ...]) -> Any:
    """Give the value at a path."""
    for part in path:
        config = config[part]
    return config


def with_values(config: Mapping[str, Any], values: Mapping[tuple[str | int, ...], Any]) -> dict[str, Any]:
    """Give a copy of a config with values set at paths."""
    changed = copy.deepcopy(dict(config))
    for path, value in values.items():
        place: Any = changed
        for part in path[:-1]:
            if isinstance(place, dict) and place.get(part) is None:
                place[part] = {}
            place = place[part]
        place[path[-1]] = value
    return changed


def short_keys(config: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of a config, ``init_args`` left out."""
    for name, value in config.items():
        inner = name in ("init_args", "dict_kwargs")
        key = prefix if inner else f"{prefix}.{name}" if prefix else str(name)
        if not inner and name != "class_path":
            yield key
        if isinstance(value, Mapping):
            yield from short_keys(value, key)
