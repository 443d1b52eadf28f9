"""The energy of a device over time, from a counter of energy, readings of power, or both."""

from __future__ import annotations

_STUCK_COUNTER_S = 3.0  # counters refresh about every 100 ms
_WH_PER_J = 1 / 3600


class EnergyIntegral:
    """The energy since the first reading: difference of the counter, else trapezoid of the power.

    A counter that starts over, falls silent, or stands still for 3 s while power flows, is bridged by the
    trapezoid over true time stamps. The sum never falls.

    >>> integral = EnergyIntegral()
    >>> for time_s, energy_j in ((0.0, 5000.0), (1.0, 5300.0), (3.0, 5900.0)):
    ...     integral.add(time_s, energy_j=energy_j, power_w=280.0)
    >>> round(integral.energy_wh * 3600), integral.source
    (900, 'counter')
    """

    def __init__(self) -> None:
        self._counted_j = 0.0
        self._bridge_j = 0.0  # trapezoid since the counter last moved
        self._largest_j: float | None = None
        self._counter: tuple[float, float] | None = None  # when it last moved, and where it stood then
        self._power: tuple[float, float] | None = None
        self._counting = False
        self._stuck = False

    def add(self, time_s: float, *, energy_j: float | None, power_w: float | None) -> None:
        """Add one reading.

        Args:
            time_s: its moment on a clock that never goes back.
            energy_j: the counter; None where it cannot be read.
            power_w: the power; None where it cannot be read.
        """
        if energy_j is None and power_w is None:
            return
        if power_w is not None:
            if self._power is not None:
                before_s, before_w = self._power
                self._bridge_j += (before_w + power_w) / 2 * (time_s - before_s)
            self._power = (time_s, power_w)
        self._counting = energy_j is not None and not self._stuck and self._count(time_s, energy_j)
        sum_j = self._counted_j + (0.0 if self._counting else self._bridge_j)
        self._largest_j = max(self._largest_j or 0.0, sum_j)

    @property
    def energy_wh(self) -> float | None:
        """The energy so far; None where neither counter nor power could be read."""
        return None if self._largest_j is None else self._largest_j * _WH_PER_J

    @property
    def source(self) -> str | None:
        """``"counter"`` or ``"trapezoid"``: what the last reading rests on; None before the first."""
        if self._largest_j is None:
            return None
        return "counter" if self._counting else "trapezoid"

    def _count(self, time_s: float, energy_j: float) -> bool:
        """Follow the counter; False from the moment at which it is known to stand still."""
        if self._counter is None:
            self._counted_j += self._bridge_j
        else:
            moved_s, before_j = self._counter
            step_j = energy_j - before_j
            if step_j == 0:
                self._stuck = time_s - moved_s > _STUCK_COUNTER_S and self._bridge_j > 0
                return not self._stuck
            self._counted_j += step_j if step_j > 0 else self._bridge_j
        self._bridge_j = 0.0
        self._counter = (time_s, energy_j)
        return True
