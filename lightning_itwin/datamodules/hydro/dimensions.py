"""Which dimension of a file is time, row, column, cell, realization or lead."""

from __future__ import annotations

from typing import Any

TIME, ROW, COLUMN, CELL, REALIZATION, LEAD = "time", "row", "column", "cell", "realization", "lead"

_NAMES = {
    TIME: ("time", "t", "date", "day", "valid_time", "times"),
    ROW: ("lat", "latitude", "y", "rlat", "south_north", "northing", "nj", "j", "yc", "row", "rows"),
    COLUMN: ("lon", "longitude", "x", "rlon", "west_east", "easting", "ni", "i", "xc", "column", "columns"),
    CELL: (
        "gridcell",
        "cell",
        "cells",
        "point",
        "points",
        "station",
        "stations",
        "catchment",
        "basin",
        "values",
    ),
    REALIZATION: ("realization", "realisation", "member", "ensemble", "ens", "number"),
    LEAD: (
        "weather_lead",
        "lead",
        "lead_time",
        "leadtime",
        "step",
        "prediction_timedelta",
        "forecast_period",
    ),
}
_STANDARD_NAMES = {
    "time": TIME,
    "latitude": ROW,
    "projection_y_coordinate": ROW,
    "grid_latitude": ROW,
    "longitude": COLUMN,
    "projection_x_coordinate": COLUMN,
    "grid_longitude": COLUMN,
    "realization": REALIZATION,
    "forecast_period": LEAD,
}
_AXES = {"T": TIME, "Y": ROW, "X": COLUMN, "E": REALIZATION}


def part_of(dim: str, coordinate: Any | None) -> str | None:
    """Say which part a dimension plays, by its coordinate's attributes, then by its name; None for another.

    Args:
        dim: its name.
        coordinate: its variable, with ``attrs``, where it has one.

    >>> part_of("latitude", None), part_of("feat", None)
    ('row', None)
    """
    attributes = {} if coordinate is None else coordinate.attrs
    if "compress" in attributes:
        return CELL
    if attributes.get("standard_name") in _STANDARD_NAMES:
        return _STANDARD_NAMES[attributes["standard_name"]]
    if attributes.get("axis") in _AXES:
        return _AXES[attributes["axis"]]
    for part, names in _NAMES.items():
        if dim.lower() in names:
            return part
    return None


def holds_labels(coordinate: Any | None) -> bool:
    """Say whether a dimension's coordinate is a list of names, such as those of variables."""
    if coordinate is None:
        return False
    kind = coordinate.dtype.kind
    if kind in "UST":
        return True
    return kind == "O" and coordinate.size > 0 and isinstance(coordinate.values.flat[0], str)
