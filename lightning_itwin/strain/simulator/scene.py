"""What else happens in the simulated detector, beside its stationary couplings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a simulated stretch of data holds beside background, linear and bilinear couplings.

    Args:
        nonstationary: whether a magnetometer couples with a gain ``0.5 + 0.8 a + 0.3 (a^2 - 1)`` of a
            temperature ``a``.
        scattering: whether light scattered by a moving bench adds ``A sin(4 pi x / 1.064 um)``.
        glitches_per_hour: glitches that a monitor sees before they saturate and reach the strain by a path.
        unwitnessed_glitches_per_hour: glitches that no channel sees.
        injections_per_hour: chirps of binary black holes.
        injection_snr: their optimal signal-to-noise ratios against the background, least and most.
        dummies: witness channels that couple to nothing.
        unsafe_noise: adds a channel that carries the strain itself: whitened, plus so many times white noise
            of the same power; None for none.
        gaps_s: stretches in which the strain is missing, begin and end in seconds from the first sample.
        change_at_s: time at which the instrument changes; None for never.
        changed_instrument_seed: seed of the couplings from then on.

    Raises:
        ValueError: a value is outside its range.
    """

    nonstationary: bool = False
    scattering: bool = False
    glitches_per_hour: float = 0.0
    unwitnessed_glitches_per_hour: float = 0.0
    injections_per_hour: float = 0.0
    injection_snr: tuple[float, float] = (8.0, 30.0)
    dummies: int = 1
    unsafe_noise: float | None = None
    gaps_s: tuple[tuple[float, float], ...] = ()
    change_at_s: float | None = None
    changed_instrument_seed: int = 1

    def __post_init__(self) -> None:
        # JSON and YAML know no tuples
        object.__setattr__(self, "injection_snr", tuple(self.injection_snr))
        object.__setattr__(self, "gaps_s", tuple(tuple(gap) for gap in self.gaps_s))
        rates = (self.glitches_per_hour, self.unwitnessed_glitches_per_hour, self.injections_per_hour)
        if min(rates) < 0 or self.dummies < 0 or (self.unsafe_noise is not None and self.unsafe_noise < 0):
            raise ValueError(
                "rates an hour, dummies and unsafe_noise must be >= 0, not "
                f"{', '.join(f'{rate:g}' for rate in rates)}, {self.dummies} and {self.unsafe_noise}."
            )
        least, most = self.injection_snr
        if not 0 < least <= most:
            raise ValueError(f"injection_snr must rise from above 0, not {list(self.injection_snr)}.")
        for begin_s, end_s in self.gaps_s:
            if not 0 <= begin_s < end_s:
                raise ValueError(
                    f"a gap must begin at 0 s or later and end after that, not {begin_s}, {end_s}."
                )
