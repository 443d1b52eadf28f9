"""Open series, whatever layout they are in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightning_itwin.datamodules.hydro.cell_major import CellMajorSource, ConvertedFileError, is_converted
from lightning_itwin.datamodules.hydro.source import CubeSource
from lightning_itwin.datamodules.hydro.variables import HydroVariables, VariableError
from lightning_itwin.datamodules.hydro.xarray_source import XarraySource


def open_source(path: str | Path | Sequence[str], variables: HydroVariables) -> CubeSource:
    """Open a converted folder, or NetCDF and Zarr files as they are.

    Args:
        path: a converted folder, or files, see ``XarraySource``.
        variables: names of the variables.

    Raises:
        ConvertedFileError: a converted folder is not whole.
        VariableError: a variable is missing; or ``mask`` is given for a converted folder, whose cells were
            chosen when it was written.
        FileNotFoundError, GridError, TimeAxisError, MissingExtraError: see ``XarraySource``.
    """
    one = path[0] if not isinstance(path, str | Path) and len(path) == 1 else path
    if isinstance(one, str | Path) and str(one).rstrip("/").endswith(".partial") and is_converted(one):
        raise ConvertedFileError(f"{one} is a conversion that was stopped: start the same command again.")
    if not is_converted(one):
        return XarraySource(path, variables)
    if variables.mask is not None:
        raise VariableError(
            f"{one} is converted: its cells were chosen then. Leave mask={variables.mask!r} out, or convert "
            f"again "
            f"with it."
        )
    return CellMajorSource(str(one), variables)
