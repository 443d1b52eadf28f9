"""What a simulation gives: channels, the truth behind them, events, and what of the time may be used."""

# T samples, S segments

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np

from lightning_itwin.strain.bns_range import bns_range_mpc
from lightning_itwin.strain.hdf5_channels import Channel
from lightning_itwin.strain.segments import NONE
from lightning_itwin.strain.simulator.transients import Event
from lightning_itwin.strain.spectra import power_spectrum

UNKNOWN = ("truth/background", "truth/glitches/unwitnessed", "truth/injections")
_SEGMENT_S = 4.0


@dataclass(frozen=True, kw_only=True)
class SimulatedData:
    """Channels as a detector would record them, and what only a simulator knows.

    Args:
        strain: the strain; the sum of all of ``truth``, not a number within gaps.
        witnesses: the witness channels.
        truth: parts of the strain: ``truth/background``, which no witness sees, then one part a coupling.
        events: glitches and injections, in order of time.
        data_s: GPS time in which there is a strain, (S, 2).
        good_s: GPS time in which it may be used, (S, 2).
    """

    strain: Channel
    witnesses: tuple[Channel, ...]
    truth: tuple[Channel, ...]
    events: tuple[Event, ...] = ()
    data_s: np.ndarray = field(default_factory=lambda: NONE)
    good_s: np.ndarray = field(default_factory=lambda: NONE)

    @property
    def oracle(self) -> Channel:
        """What an ideal subtraction leaves: all that no witness knows of."""
        return self._sum("truth/oracle", UNKNOWN)

    @property
    def whole(self) -> Channel:
        """The strain without its gaps."""
        return self._sum("truth/whole", [part.name for part in self.truth])

    def part(self, name: str) -> np.ndarray:
        """Give a part of the truth, (T,).

        Args:
            name: such as ``"background"`` or ``"linear/SEISMOMETER_1"``.

        Raises:
            KeyError: there is no such part.
        """
        found = {part.name.removeprefix("truth/"): part.values for part in self.truth}
        if name not in found:
            raise KeyError(f"There is no part {name!r}; the parts are {', '.join(found)}.")
        return found[name]

    def ranges_mpc(self) -> tuple[float, float]:
        """Give the range of binary neutron stars, raw and of the oracle, in Mpc.

        By the median of spectra of 4 s, so that rare loud glitches do not count.
        """
        raw, oracle = (
            float(bns_range_mpc(psd, frequency_hz))
            for frequency_hz, psd in (
                power_spectrum(channel.values, channel.sample_rate_hz, _SEGMENT_S)
                for channel in (self.whole, self.oracle)
            )
        )
        return raw, oracle

    def _sum(self, name: str, parts: tuple[str, ...] | list[str]) -> Channel:
        chosen = (part.values for part in self.truth if part.name in parts)
        values = reduce(np.add, chosen, np.zeros(len(self.strain.values)))
        return replace(self.strain, name=name, values=values)
