"""DetectorFrame: sky position and time as the detectors see them, in which their posterior is simple."""

# B batch, P parameters

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lightning_itwin.detectors import Observation, sidereal_time_rad
from lightning_itwin.detectors.projection import delays_s, unit_vectors
from lightning_itwin.inference import Prior

SKY_AND_TIME = ("ra", "dec", "geocent_time")
ONE_SITE_M = 100e3  # detectors nearer to each other than this tell no direction by their delays
_SMALLEST_COSINE = 1e-12


class DetectorFrame(nn.Module):
    """Turns right ascension, declination and geocentric time into the detectors' own, and back.

    The time becomes that of arrival at the first detector, which the data fix to a millisecond, while the
    geocentric one depends on the sky position by 20. The sky is turned so that its pole lies along the
    longest baseline: its delay is then a matter of the declination alone. Detectors at one site have the
    zenith there as their pole. An isotropic sky stays isotropic, and a time that runs over the end of its
    uniform prior comes in at its beginning, so that the prior stays the same.

    Args:
        observation: detectors and the reference time, at which the Earth is stopped.
        prior: of the parameters, with an isotropic sky and a uniform time.
        names: of the columns that are turned, P of them.

    Raises:
        ValueError: sky or time are not free, or not isotropic and uniform.

    Reference:
        Romero-Shaw et al. 2020, arXiv:2006.00714, section 2: bilby's ``reference_frame`` and
        ``time_reference``, of samplers.
    """

    rotation: Tensor
    vertex_m: Tensor

    def __init__(self, observation: Observation, prior: Prior, names: Sequence[str]) -> None:
        super().__init__()
        _check(prior, names)
        self._columns = [list(names).index(name) for name in SKY_AND_TIME]
        ra, _, time = (prior.names.index(name) for name in SKY_AND_TIME)
        self._ra_from = float(prior.minimum[ra])
        self._time_from_s = float(prior.minimum[time])
        self._time_range_s = float(prior.maximum[time] - prior.minimum[time])
        self._sidereal_time_rad = sidereal_time_rad(observation.settings.gps_time_s)
        vertex_DM = observation.vertex_m.double().cpu()
        self.register_buffer("vertex_m", vertex_DM[:1].clone(), persistent=False)
        self.register_buffer("rotation", _rotation(_pole(vertex_DM)), persistent=False)

    def to_frame(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Turn parameters into the detectors' frame.

        Args:
            theta: (..., P) float64.

        Returns:
            The same with sky and time of the frame, (..., P), and the logarithm of how much larger a volume
            becomes, (...).
        """
        ra, dec, time_s = (theta[..., column] for column in self._columns)
        to_source = unit_vectors(ra - self._sidereal_time_rad, dec)
        longitude, latitude = _angles(to_source @ self.rotation.T)
        time_s = self.inside(time_s + delays_s(self.vertex_m, to_source)[..., 0])
        return self._with(theta, longitude, latitude, time_s), _log_cosine(dec) - _log_cosine(latitude)

    def from_frame(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Turn parameters of the detectors' frame back; as ``to_frame``."""
        longitude, latitude, time_s = (theta[..., column] for column in self._columns)
        to_source = unit_vectors(longitude, latitude) @ self.rotation
        ra, dec = _angles(to_source)
        time_s = self.inside(time_s - delays_s(self.vertex_m, to_source)[..., 0])
        turned = self._with(theta, ra + self._sidereal_time_rad, dec, time_s)
        return turned, _log_cosine(latitude) - _log_cosine(dec)

    def _with(self, theta: Tensor, longitude: Tensor, latitude: Tensor, time_s: Tensor) -> Tensor:
        around = torch.remainder(longitude - self._ra_from, 2 * math.pi) + self._ra_from
        return with_columns(theta, dict(zip(self._columns, (around, latitude, time_s))))

    def inside(self, time_s: Tensor) -> Tensor:
        """Let a time that lies outside of its prior come in at the other end."""
        return torch.remainder(time_s - self._time_from_s, self._time_range_s) + self._time_from_s


def with_columns(table: Tensor, replaced: Mapping[int, Tensor]) -> Tensor:
    """Give a table, (..., P), with other values, (...), in some of its columns."""
    columns = list(table.unbind(-1))
    for column, values in replaced.items():
        columns[column] = values
    return torch.stack(columns, dim=-1)


def _angles(vectors: Tensor) -> tuple[Tensor, Tensor]:
    x, y, z = vectors.unbind(-1)
    return torch.atan2(y, x), torch.atan2(z, torch.hypot(x, y))


def _check(prior: Prior, names: Sequence[str]) -> None:
    missing = [name for name in SKY_AND_TIME if name not in names]
    if missing:
        raise ValueError(
            f"reference_frame: detectors needs free {', '.join(SKY_AND_TIME)}, and the prior fixes "
            f"{', '.join(missing)}. Use reference_frame: sky."
        )
    column = {name: prior.names.index(name) for name in SKY_AND_TIME}
    turn = float(prior.maximum[column["ra"]] - prior.minimum[column["ra"]])
    uniforms = torch.linspace(0.01, 0.99, 9, dtype=torch.float64)
    dec = prior.rescale(uniforms[:, None].expand(-1, len(prior.names)))[:, column["dec"]]
    cosine = torch.allclose(dec.sin(), 2 * uniforms - 1, atol=1e-6)
    isotropic = cosine and prior.is_uniform("ra") and abs(turn - 2 * math.pi) < 1e-6
    if not isotropic or not prior.is_uniform("geocent_time"):
        raise ValueError(
            "reference_frame: detectors needs a prior that is isotropic in the sky (ra Uniform over 2 pi, "
            "dec Cosine) and uniform in geocent_time; use reference_frame: sky with any other."
        )


def _pole(vertex_DM: Tensor) -> Tensor:
    baselines = vertex_DM[:, None] - vertex_DM[None]
    lengths = baselines.norm(dim=-1)
    if float(lengths.max()) < ONE_SITE_M:
        return vertex_DM[0]
    first, second = divmod(int(lengths.argmax()), len(vertex_DM))
    return baselines[first, second]


def _rotation(pole: Tensor) -> Tensor:
    up = pole / pole.norm()
    aside = torch.eye(3, dtype=up.dtype)[int(up.abs().argmin())]
    east = torch.linalg.cross(aside, up)
    east = east / east.norm()
    return torch.stack([east, torch.linalg.cross(up, east), up])


def _log_cosine(latitude: Tensor) -> Tensor:
    return latitude.cos().clamp(min=_SMALLEST_COSINE).log()
