"""Interferometers: where they stand and how they answer; read from bilby's own detector files."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lightning_itwin.detectors.bilby_files import detector_folder

EQUATORIAL_RADIUS_M = 6378137.0  # WGS 84
POLAR_RADIUS_M = 6356752.314  # WGS 84
_SPHERE_RADIUS_M = 6378136.6  # the sphere on which bilby walks from vertex to vertex of a triangle, IERS 2003
_NEEDED = {"name", "length", "latitude", "longitude", "elevation", "xarm_azimuth", "yarm_azimuth"}
_OPERATIONS: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True, kw_only=True)
class Interferometer:
    """One pair of arms, in the frame that turns with the Earth (z to the north pole, x to Greenwich).

    Args:
        name: such as ``"H1"``, or ``"ET2"`` for the second interferometer of a triangle.
        vertex_m: position of the vertex, (3,).
        response: detector tensor (x x - y y) / 2 of the unit vectors x, y along the arms, (3, 3).
        noise_curve: file name of the noise curve that bilby gives it, without a folder; may be empty.
    """

    name: str
    vertex_m: np.ndarray
    response: np.ndarray
    noise_curve: str = ""


def interferometers(names: Sequence[str]) -> list[Interferometer]:
    """Read interferometers by name.

    Args:
        names: bilby's names, such as ``["H1", "L1"]``. A triangle stands for its three interferometers:
            ``["ET"]`` gives ET1, ET2 and ET3.

    Raises:
        ValueError: there is no detector of that name, or one stands there twice.
        MissingExtraError: bilby is not installed.
    """
    folder = detector_folder() / "detectors"
    read: list[Interferometer] = []
    for name in names:
        path = folder / f"{name}.interferometer"
        if not path.is_file():
            known = sorted(file.stem for file in folder.glob("*.interferometer"))
            raise ValueError(f"Unknown detector {name!r}. Known are {', '.join(known)}.")
        read += read_interferometer(path)
    found = [interferometer.name for interferometer in read]
    if not found or len(set(found)) != len(found):
        raise ValueError(f"Name at least one detector, each of them once, not {list(names)}.")
    return read


def read_interferometer(path: Path) -> list[Interferometer]:
    """Read a file in bilby's format, a value a line as a Python expression of numbers.

    Args:
        path: of the file.

    Returns:
        one interferometer, or the three of a triangle.

    Raises:
        ValueError: a line is not understood.
    """
    values: dict[str, float | str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        key, equals, text = line.partition("=")
        if not line.strip() or line.startswith("#"):
            continue
        if not equals:
            raise ValueError(f"{path}: not understood: {line!r}.")
        values[key.strip()] = _value(text.strip(), path)
    missing = _NEEDED - values.keys()
    if missing:
        raise ValueError(f"{path}: {', '.join(sorted(missing))} not understood or not there.")
    length_m = 1e3 * float(values["length"])
    latitude, longitude = (math.radians(float(values[key])) for key in ("latitude", "longitude"))
    x_azimuth, y_azimuth = (math.radians(float(values[f"{arm}arm_azimuth"])) for arm in "xy")
    triangle = str(values.get("shape", "l")).lower() in ("triangle", "triangular")
    bearing = math.pi / 2 - x_azimuth
    made = []
    for number in (1, 2, 3) if triangle else ("",):
        x, y = (
            _arm(latitude, longitude, azimuth, float(values.get(f"{arm}arm_tilt", 0.0)))
            for arm, azimuth in (("x", x_azimuth), ("y", y_azimuth))
        )
        made.append(
            Interferometer(
                name=f"{values['name']}{number}",
                vertex_m=_position(latitude, longitude, float(values["elevation"])),
                response=(np.outer(x, x) - np.outer(y, y)) / 2,
                noise_curve=str(values.get("power_spectral_density", "")),
            )
        )
        latitude, longitude = _walk(latitude, longitude, bearing, length_m / _SPHERE_RADIUS_M)
        bearing, x_azimuth, y_azimuth = (
            angle + math.radians(240.0) for angle in (bearing, x_azimuth, y_azimuth)
        )
    return made


def _value(text: str, path: Path) -> float | str:
    def number(node: ast.expr) -> float:
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return float(node.value)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -number(node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
            return _OPERATIONS[type(node.op)](number(node.left), number(node.right))
        raise ValueError(f"{path}: not understood: {text!r}.")

    node = ast.parse(text, mode="eval").body
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Call):  # PowerSpectralDensity(psd_file='...')
        return next(
            (str(word.value.value) for word in node.keywords if isinstance(word.value, ast.Constant)), ""
        )
    return number(node)


def _position(latitude: float, longitude: float, elevation_m: float) -> np.ndarray:
    a, b = EQUATORIAL_RADIUS_M, POLAR_RADIUS_M
    normal_m = a**2 / math.hypot(a * math.cos(latitude), b * math.sin(latitude))
    across_m = (normal_m + elevation_m) * math.cos(latitude)
    up_m = ((b / a) ** 2 * normal_m + elevation_m) * math.sin(latitude)
    return np.array([across_m * math.cos(longitude), across_m * math.sin(longitude), up_m])


def _arm(latitude: float, longitude: float, azimuth: float, tilt: float) -> np.ndarray:
    # azimuth from east to north, LIGO-T980044-10
    east = np.array([-math.sin(longitude), math.cos(longitude), 0.0])
    north = np.array(
        [
            -math.sin(latitude) * math.cos(longitude),
            -math.sin(latitude) * math.sin(longitude),
            math.cos(latitude),
        ]
    )
    along = math.cos(azimuth) * east + math.sin(azimuth) * north
    return math.cos(tilt) * along + math.sin(tilt) * np.cross(east, north)


def _walk(latitude: float, longitude: float, bearing: float, arc: float) -> tuple[float, float]:
    # Great circle from a point along a bearing from north to east.
    sine = math.sin(latitude) * math.cos(arc) + math.cos(latitude) * math.sin(arc) * math.cos(bearing)
    there = math.asin(sine)
    turned = math.atan2(
        math.sin(bearing) * math.sin(arc) * math.cos(latitude), math.cos(arc) - math.sin(latitude) * sine
    )
    return there, longitude + turned
