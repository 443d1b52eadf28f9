"""A NetCDF or Zarr file that is written origin by origin, and has its name only when it is whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lightning_itwin.forecasts.cf_variables import Variable
from lightning_itwin.optional import require


@contextmanager
def open_store(
    path: Path, variables: Mapping[str, Variable], attributes: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Open a file to write; what stands at the path is replaced at the end, and stays if something fails.

    Args:
        path: ends in ``.nc`` or ``.zarr``.
        variables: by name.
        attributes: of the file.

    Yields:
        The arrays by name, to assign to.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    make = _netcdf if path.suffix == ".nc" else _zarr
    try:
        arrays, close = make(part, variables, attributes)
        yield arrays
        close()
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(part, path)
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        part.unlink(missing_ok=True)


def check_path(path: Path) -> None:
    """Refuse a path that cannot be written, before anything is computed.

    Raises:
        ValueError: another ending, or something stands there that this room has not written.
        MissingExtraError: what writes it is not installed.
    """
    if path.suffix not in (".nc", ".zarr"):
        raise ValueError(f"A forecast file ends in .nc or .zarr, not {path.name!r}.")
    require("netCDF4" if path.suffix == ".nc" else "zarr", extra="drought")
    if path.exists() and key_of(path) is None:
        raise ValueError(
            f"{path} exists and is no forecast file of ours: it is not replaced. Choose another name."
        )


def key_of(path: Path) -> str | None:
    """Give the key that a forecast file was written with; None if there is none, or no file of ours."""
    if path.is_dir():
        listed = path / ".zattrs"
        if not listed.exists():
            return None
        found = json.loads(listed.read_text(encoding="utf-8")).get("forecast_key")
        return None if found is None else str(found)
    if not path.exists():
        return None
    try:
        with require("netCDF4", extra="drought").Dataset(path) as file:
            return str(file.forecast_key) if "forecast_key" in file.ncattrs() else None
    except OSError:  # no NetCDF
        return None


def _netcdf(part: Path, variables: Mapping[str, Variable], attributes: Mapping[str, Any]) -> tuple[dict, Any]:
    file = require("netCDF4", extra="drought").Dataset(part, "w", format="NETCDF4")
    file.setncatts(dict(attributes))
    arrays = {}
    for name, about in variables.items():
        for dim, size in zip(about.dims, about.shape):
            if dim not in file.dimensions:
                file.createDimension(dim, size)
        packed = {"zlib": True, "complevel": 2, "shuffle": True} if about.values is None else {}
        array = file.createVariable(
            name,
            np.dtype(about.dtype),
            about.dims,
            chunksizes=about.chunks,
            fill_value=None if about.fill is None else np.dtype(about.dtype).type(about.fill),
            **packed,
        )
        array.setncatts(dict(about.attributes))
        if about.values is not None:
            array[...] = about.values
        arrays[name] = array
    return arrays, file.close


def _zarr(part: Path, variables: Mapping[str, Variable], attributes: Mapping[str, Any]) -> tuple[dict, Any]:
    zarr, numcodecs = require("zarr", extra="drought"), require("numcodecs", extra="drought")
    current = hasattr(zarr.Group, "create_array")  # zarr 3; format 2 is what every version reads
    group = zarr.open_group(str(part), mode="w", **{"zarr_format" if current else "zarr_version": 2})
    group.attrs.update({name: _plain(value) for name, value in attributes.items()})
    codec = numcodecs.Blosc(cname="zstd", clevel=5, shuffle=numcodecs.Blosc.SHUFFLE)
    create = group.create_array if current else group.create_dataset
    arrays = {}
    for name, about in variables.items():
        packed: dict[str, Any] = {"compressors" if current else "compressor": codec if about.shape else None}
        array = create(
            name,
            shape=about.shape,
            dtype=np.dtype(about.dtype),
            chunks=about.chunks or about.shape,
            fill_value=about.fill,
            **packed,
        )
        told = {label: _plain(value) for label, value in about.attributes.items()}
        array.attrs.update({"_ARRAY_DIMENSIONS": list(about.dims), **told})
        if about.values is not None:
            array[...] = about.values
        arrays[name] = array
    return arrays, lambda: zarr.consolidate_metadata(str(part))


def _plain(value: Any) -> Any:
    """Give a value as JSON has it."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
