"""What happens in the simulated detector beside stationary couplings, and how channels are recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Stretches = tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a simulated stretch of data holds beside background, linear and bilinear couplings.

    Args:
        nonstationary: whether the microphone couples with a gain ``0.5 + 0.8 a + 0.3 (a^2 - 1)`` of one
            alignment angle ``a``, where else its gain is a mix of both angles.
        scattering: whether light scattered by a moving bench adds ``A sin(4 pi x / 1.064 um + phase)``, and
            a channel measures the bench's position x.
        glitches_per_hour: glitches that a monitor sees before they saturate and reach the strain by a path.
            They reach up to 320 Hz, which folds back at sample rates below 700 Hz.
        unwitnessed_glitches_per_hour: glitches that no channel sees.
        unwitnessed_snr: their optimal signal-to-noise ratios against the background, least and most.
        injections_per_hour: signals of binary black holes.
        injection_snr: their optimal signal-to-noise ratios against the background, least and most.
        injection_mass_msun: mass of each body in solar masses, least and most.
        change_at_s: time at which the instrument changes, in seconds from the first sample; None for never.
        changed_instrument_seed: seed of the couplings from then on.

    Raises:
        ValueError: a value is outside its range.
    """

    nonstationary: bool = False
    scattering: bool = False
    glitches_per_hour: float = 0.0
    unwitnessed_glitches_per_hour: float = 0.0
    unwitnessed_snr: tuple[float, float] = (8.0, 80.0)
    injections_per_hour: float = 0.0
    injection_snr: tuple[float, float] = (8.0, 30.0)
    injection_mass_msun: tuple[float, float] = (8.0, 40.0)
    change_at_s: float | None = None
    changed_instrument_seed: int = 1

    def __post_init__(self) -> None:
        rates = (self.glitches_per_hour, self.unwitnessed_glitches_per_hour, self.injections_per_hour)
        if min(rates) < 0:
            raise ValueError(f"rates an hour must be >= 0, not {', '.join(f'{rate:g}' for rate in rates)}.")
        for name in ("unwitnessed_snr", "injection_snr", "injection_mass_msun"):
            # JSON and YAML know no tuples
            least, most = getattr(self, name)
            object.__setattr__(self, name, (least, most))
            if not 0 < least <= most:
                raise ValueError(f"{name} must rise from above 0, not {[least, most]}.")


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Which channels are recorded, and how.

    Witnesses are named without their prefix, such as ``MICROPHONE``.

    Args:
        dummies: witness channels that couple to nothing.
        neighbours: more sensors beside those that are not dummies, one after the other, each with a noise of
            its own: ``SEISMOMETER_1_B`` and so on, then ``..._C``.
        unsafe_noise: adds a channel that carries the strain itself: whitened, plus so many times white noise
            of the same power; None for none.
        rates_hz: sample rates of witnesses that are recorded at others than usual, by name. What they hold
            ends at half the simulator's sample rate in any case.
        gaps_s: stretches in which the strain is missing (NaN): begin and end in seconds from the first
            sample.
        lost_s: such stretches of witnesses, by name.
        flagged_s: stretches that are not to be used: there the flag ``CBC_CAT1`` is off.

    Raises:
        ValueError: a value is outside its range.
    """

    dummies: int = 1
    neighbours: int = 0
    unsafe_noise: float | None = None
    rates_hz: Mapping[str, float] = field(default_factory=dict)
    gaps_s: Stretches = ()
    lost_s: Mapping[str, Stretches] = field(default_factory=dict)
    flagged_s: Stretches = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "gaps_s", _stretches("gaps_s", self.gaps_s))
        object.__setattr__(self, "flagged_s", _stretches("flagged_s", self.flagged_s))
        lost_s = {name: _stretches(f"lost_s of {name}", given) for name, given in self.lost_s.items()}
        object.__setattr__(self, "lost_s", lost_s)
        counts = (self.dummies, self.neighbours, self.unsafe_noise or 0.0)
        if min(counts) < 0:
            raise ValueError(
                "dummies, neighbours and unsafe_noise must be >= 0, not "
                f"{self.dummies}, {self.neighbours} and {self.unsafe_noise}."
            )
        for name, rate_hz in self.rates_hz.items():
            if rate_hz <= 0:
                raise ValueError(f"rates_hz of {name} must be above 0, not {rate_hz:g}.")


def _stretches(name: str, given: Stretches) -> Stretches:
    for begin_s, end_s in given:
        if not 0 <= begin_s < end_s:
            raise ValueError(
                f"{name}: a stretch must begin at 0 s or later and end after that, not {begin_s}, {end_s}."
            )
    return tuple((float(begin_s), float(end_s)) for begin_s, end_s in given)
