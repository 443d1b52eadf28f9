"""The binary as every waveform wants it: one tensor a physical quantity, made from a table of parameters."""

# B batch, P parameters

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

_ANGLES_AND_SPINS = {  # name in a table -> field
    "dec": "dec_rad",
    "ra": "ra_rad",
    "psi": "psi_rad",
    "theta_jn": "theta_jn_rad",
    "phase": "phase_rad",
    "luminosity_distance": "luminosity_distance_mpc",
}
_OPTIONAL = {  # what is missing here is zero
    "a_1": "a_1",
    "a_2": "a_2",
    "tilt_1": "tilt_1_rad",
    "tilt_2": "tilt_2_rad",
    "phi_12": "phi_12_rad",
    "phi_jl": "phi_jl_rad",
    "geocent_time": "time_s",
}
MASSES = ("mass_1", "mass_2", "chirp_mass", "total_mass", "mass_ratio", "symmetric_mass_ratio")
_ALIGNED = ("chi_1", "chi_2")
NAMES = (*_ANGLES_AND_SPINS, *_OPTIONAL, *MASSES, *_ALIGNED)


@dataclass(frozen=True, kw_only=True)
class Binary:
    """A batch of compact binaries in the detector frame; every field is a float64 tensor (B,).

    The angles are bilby's: spins are given relative to the orbital angular momentum at the reference
    frequency of the waveform, the line of sight relative to the total angular momentum.

    Args:
        mass_1_msun: mass of the heavier body, detector frame.
        mass_2_msun: mass of the lighter body, detector frame.
        luminosity_distance_mpc: luminosity distance.
        ra_rad: right ascension.
        dec_rad: declination.
        psi_rad: polarisation angle.
        theta_jn_rad: angle between the total angular momentum and the line of sight.
        phase_rad: orbital phase at the reference frequency.
        a_1: dimensionless spin of the heavier body, 0 to 1.
        a_2: dimensionless spin of the lighter body, 0 to 1.
        tilt_1_rad: angle between spin 1 and the orbital angular momentum.
        tilt_2_rad: angle between spin 2 and the orbital angular momentum.
        phi_12_rad: azimuth of spin 2 relative to spin 1.
        phi_jl_rad: azimuth of the orbital angular momentum on its cone about the total one.
        time_s: merger at the centre of the Earth, relative to the observation's reference time.

    Reference:
        https://bilby-dev.github.io/bilby/compact-binary-coalescence-parameters.html
    """

    mass_1_msun: Tensor
    mass_2_msun: Tensor
    luminosity_distance_mpc: Tensor
    ra_rad: Tensor
    dec_rad: Tensor
    psi_rad: Tensor
    theta_jn_rad: Tensor
    phase_rad: Tensor
    a_1: Tensor
    a_2: Tensor
    tilt_1_rad: Tensor
    tilt_2_rad: Tensor
    phi_12_rad: Tensor
    phi_jl_rad: Tensor
    time_s: Tensor

    @classmethod
    def from_table(cls, names: Sequence[str], theta: Tensor) -> Binary:
        """Read a table of bilby's parameters.

        Masses come as any two that fix both bodies: ``mass_1`` and ``mass_2``, or one of ``chirp_mass``,
        ``total_mass``, ``mass_1``, ``mass_2`` with one of ``mass_ratio`` (mass_2 / mass_1 <= 1),
        ``symmetric_mass_ratio``. An aligned spin ``chi_1`` stands for ``a_1 = |chi_1|`` and ``tilt_1`` 0 or
        pi. Spins and ``geocent_time`` that are missing are 0.

        Args:
            names: of the columns.
            theta: one binary a row, (B, P).

        Returns:
            the binaries, on the device of ``theta``.

        Raises:
            ValueError: a name is unknown, missing or says what another one says already.

        >>> names = ["chirp_mass", "mass_ratio", "luminosity_distance", "ra", "dec"]
        >>> names += ["psi", "theta_jn", "phase"]
        >>> binary = Binary.from_table(names, torch.tensor([[30.0, 1.0, 400.0, 0.0, 0.0, 0.0, 0.0, 0.0]]))
        >>> round(binary.mass_1_msun.item(), 3)
        34.461
        """
        if theta.ndim != 2 or theta.shape[1] != len(names):
            raise ValueError(f"theta must be (B, {len(names)}), one column a name, not {tuple(theta.shape)}.")
        if len(set(names)) != len(names):
            raise ValueError(f"A name stands twice among the parameters: {list(names)}.")
        unknown = [name for name in names if name not in NAMES]
        if unknown:
            raise ValueError(f"Unknown parameter {unknown}. Known are {', '.join(NAMES)}.")
        columns = dict(zip(names, theta.to(torch.float64).unbind(1)))
        missing = [name for name in _ANGLES_AND_SPINS if name not in columns]
        if missing:
            raise ValueError(f"The parameter {missing} is missing.")
        for body in ("1", "2"):
            aligned = columns.pop(f"chi_{body}", None)
            if aligned is None:
                continue
            if f"a_{body}" in columns or f"tilt_{body}" in columns:
                raise ValueError(f"chi_{body} is given beside a_{body} or tilt_{body}; give one of the two.")
            columns[f"a_{body}"] = aligned.abs()
            columns[f"tilt_{body}"] = torch.pi * (aligned < 0).to(torch.float64)
        mass_1, mass_2 = component_masses({name: columns[name] for name in MASSES if name in columns})
        zero = torch.zeros_like(mass_1)
        values = {field: columns[name] for name, field in _ANGLES_AND_SPINS.items()}
        values |= {field: columns.get(name, zero) for name, field in _OPTIONAL.items()}
        return cls(mass_1_msun=mass_1, mass_2_msun=mass_2, **values)

    def __len__(self) -> int:
        return len(self.mass_1_msun)

    def __getitem__(self, rows: slice | Tensor) -> Binary:
        """Give some of the binaries as a new batch."""
        return self._each(lambda value: value[rows])

    def to(self, device: torch.device | str) -> Binary:
        """Give the same binaries on a device."""
        return self._each(lambda value: value.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Binary:
        return Binary(**{field.name: change(getattr(self, field.name)) for field in fields(self)})


def component_masses(given: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Turn any two mass parameters that fix a binary into the two masses.

    Args:
        given: two of bilby's mass parameters, (B,) each; masses in any unit.

    Returns:
        mass_1 and mass_2, (B,) each, in that unit.

    Raises:
        ValueError: not two of them, or two that do not fix both masses.
    """
    names = set(given)
    if names == {"mass_1", "mass_2"}:
        return given["mass_1"], given["mass_2"]
    ratios = names & {"mass_ratio", "symmetric_mass_ratio"}
    if len(names) != 2 or len(ratios) != 1:
        raise ValueError(
            "Give mass_1 and mass_2, or one of chirp_mass, total_mass, mass_1, mass_2 with one of "
            f"mass_ratio, symmetric_mass_ratio; not {sorted(names) or 'no mass at all'}."
        )
    if "mass_ratio" in names:
        ratio = given["mass_ratio"]
    else:
        eta = given["symmetric_mass_ratio"]
        # Of q = (1 - 2 eta - sqrt(1 - 4 eta)) / (2 eta), the form that loses no digits for small eta.
        ratio = 2 * eta / (1 - 2 * eta + (1 - 4 * eta).clamp_min(0).sqrt())
    (scale,) = names - ratios
    if scale == "mass_1":
        return given[scale], given[scale] * ratio
    if scale == "mass_2":
        return given[scale] / ratio, given[scale]
    total = given[scale]
    if scale == "chirp_mass":
        total = total * (1 + ratio) ** 1.2 / ratio**0.6
    mass_1 = total / (1 + ratio)
    return mass_1, mass_1 * ratio
