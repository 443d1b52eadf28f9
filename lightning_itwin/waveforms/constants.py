"""Constants of nature and of astronomy that waveforms need, in SI units, as lalsimulation uses them."""

from __future__ import annotations

# G M_sun: IAU 2015 Resolution B3, the nominal solar mass parameter, 1.3271244e20 m^3/s^2.
# c: SI, exact. pc: IAU 2015 Resolution B2, 648000/pi au.
SPEED_OF_LIGHT_M_PER_S = 299792458.0
SOLAR_MASS_PARAMETER_M3_PER_S2 = 1.3271244e20
SOLAR_MASS_S = SOLAR_MASS_PARAMETER_M3_PER_S2 / SPEED_OF_LIGHT_M_PER_S**3  # G M_sun / c^3
SOLAR_MASS_M = SOLAR_MASS_PARAMETER_M3_PER_S2 / SPEED_OF_LIGHT_M_PER_S**2  # G M_sun / c^2
MEGAPARSEC_M = 3.085677581491367e22
