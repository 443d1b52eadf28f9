"""A Virgo-like detector: its background noise, and which witness couples to the strain along which path."""

# F frequencies

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LOWEST_HZ = 10.0  # the published fit of the noise begins here; below, the ASD stays at this value
MAINS_HZ = 50.0
HIGHEST_RESONANCE_HZ = 190.0


def virgo_asd(frequency_hz: np.ndarray) -> np.ndarray:
    """Give the amplitude spectral density of Advanced Virgo's design noise.

    A sum of four exponentials of quadratic polynomials in ``x = ln(f / 300 Hz)``.

    Args:
        frequency_hz: frequencies, (F,); below 10 Hz the value at 10 Hz is given.

    Returns:
        ASD in 1/sqrt(Hz), (F,).

    Reference:
        Manzotti and Dietz 2012, arXiv:1202.4031, eq. 6; the same fit as ``SimNoisePSDAdvVirgo`` of
        LALSimulation.

    >>> print(f"{virgo_asd(np.array([300.0]))[0]:.3e}")
    3.388e-24
    """
    x = np.log(np.maximum(frequency_hz, LOWEST_HZ) / 300.0)
    return 1.259e-24 * (
        0.07 * np.exp(-0.142 - 1.437 * x + 0.407 * x**2)
        + 3.10 * np.exp(-0.466 - 1.043 * x - 0.548 * x**2)
        + 0.40 * np.exp(-0.304 + 2.896 * x - 0.293 * x**2)
        + 0.09 * np.exp(1.466 + 3.722 * x - 0.984 * x**2)
    )


def ground_asd(frequency_hz: np.ndarray) -> np.ndarray:
    """Give the spectral shape of ground and sound: rising towards low frequencies, flat above some 40 Hz.

    Args:
        frequency_hz: frequencies, (F,).
    """
    return np.sqrt(1.0 + (40.0 / np.maximum(frequency_hz, 1.0)) ** 2)


@dataclass(frozen=True, kw_only=True)
class Resonance:
    """The path from a witness to the strain: a damped oscillator behind a delay.

    Args:
        frequency_hz: resonance frequency.
        quality: quality factor; the response rings for about ``quality / (pi frequency_hz)`` seconds.
        delay_s: delay of the path.
        strength: ASD of what it adds to the strain, relative to the background's, at resonance; negative
            for a path that turns the sign.
    """

    frequency_hz: float
    quality: float
    delay_s: float
    strength: float

    def response(self, frequency_hz: np.ndarray) -> np.ndarray:
        """Give the complex response, of modulus ``abs(strength)`` at resonance.

        Args:
            frequency_hz: frequencies, (F,).
        """
        ratio = frequency_hz / self.frequency_hz
        oscillator = 1.0 / (self.quality * (1.0 - ratio**2) + 1j * ratio)
        return self.strength * oscillator * np.exp(-2j * np.pi * frequency_hz * self.delay_s)


@dataclass(frozen=True, kw_only=True)
class VirgoInstrument:
    """What couples to what in one detector; the same for every stretch of its noise.

    Args:
        linear: paths of the seismometers.
        acoustic: path of the microphone, whose gain slow alignment angles set: a bilinear coupling.
        acoustic_mix_rad: direction in the plane of the two angles that sets that gain.
        mains_strengths: ASD that the mains line times an angle adds, relative to the background's, for the
            first and the third harmonic.
        acoustic_angle: which angle sets that gain where it is not stationary, 0 for pitch, 1 for yaw.
        scattering_strength: ASD of the scattered light at 20 Hz, relative to the background's.
        scattering_phase_rad: phase of the scattered light where the bench rests.
        glitch: path of the saturated glitches; its strength is the peak of a fully saturated one, relative to
            the background's rms within 1 Hz at resonance.
    """

    linear: tuple[Resonance, ...]
    acoustic: Resonance
    acoustic_mix_rad: float
    mains_strengths: tuple[float, float]
    acoustic_angle: int
    scattering_strength: float
    scattering_phase_rad: float
    glitch: Resonance

    @classmethod
    def draw(cls, seed: int, coupling_strength: float = 1.0) -> VirgoInstrument:
        """Draw an instrument.

        Args:
            seed: seed of the instrument.
            coupling_strength: scale of all couplings; 0 is an instrument without any.
        """
        rng = np.random.default_rng(seed)

        def path(
            low_hz: float,
            high_hz: float,
            quality: tuple[float, float] = (5.0, 12.0),
            strength: tuple[float, float] = (2.0, 4.0),
        ) -> Resonance:
            return Resonance(
                frequency_hz=rng.uniform(low_hz, high_hz),
                quality=rng.uniform(*quality),
                delay_s=rng.uniform(0.0, 0.02),
                strength=coupling_strength * rng.uniform(*strength) * rng.choice([-1.0, 1.0]),
            )

        return cls(
            linear=(path(25.0, 45.0), path(95.0, 125.0), path(150.0, HIGHEST_RESONANCE_HZ)),
            acoustic=path(65.0, 85.0),
            acoustic_mix_rad=rng.uniform(0.0, 2.0 * np.pi),
            mains_strengths=(
                coupling_strength * rng.uniform(5.0, 8.0),
                coupling_strength * rng.uniform(3.0, 5.0),
            ),
            # What is drawn later leaves what was drawn before as it is.
            acoustic_angle=int(rng.integers(2)),
            scattering_strength=coupling_strength * rng.uniform(2.0, 4.0),
            scattering_phase_rad=rng.uniform(0.0, 2.0 * np.pi),
            glitch=path(80.0, 140.0, quality=(1.0, 2.0), strength=(200.0, 300.0)),
        )
