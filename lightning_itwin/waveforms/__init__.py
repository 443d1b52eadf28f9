"""From a binary to its two polarisations, h plus and h cross, in the frequency domain.

``Binary`` holds the physical quantities, a ``Waveform`` turns them into polarisations: our own IMRPhenomPv2
in torch, which runs on any device, or any frequency-domain approximant through lalsimulation on the CPU.
"""

# B batch, F frequencies

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from lightning_itwin.waveforms.binary import Binary

__all__ = ["Binary", "EndsEarly", "Recordable", "Waveform", "make_waveform"]


class Waveform(Protocol):
    """Turns binaries into polarisations; its name goes into manifests."""

    name: str

    def __call__(self, binary: Binary, frequency_hz: Tensor) -> tuple[Tensor, Tensor]:
        """Give h plus and h cross.

        Args:
            binary: the binaries, B of them.
            frequency_hz: evenly spaced frequencies above 0, (F,).

        Returns:
            h plus and h cross in 1/Hz, (B, F) each, complex; lalsimulation's conventions; merger at t = 0.
        """


@runtime_checkable
class Recordable(Protocol):
    """A waveform made of launches alone, whose shapes the batch fixes: a CUDA graph can record it."""

    recordable: bool


@runtime_checkable
class EndsEarly(Protocol):
    """A waveform that knows above which frequency it is zero."""

    def highest_frequency_hz(self, binary: Binary) -> float:
        """Give the highest frequency at which any of the binaries has a signal."""


def make_waveform(name: str, *, reference_frequency_hz: float = 20.0) -> Waveform:
    """Make a waveform by its name.

    Args:
        name: ``"IMRPhenomPv2"`` for our own, or ``"lalsimulation:NAME"`` for a frequency-domain approximant
            of lalsimulation (extra ``gw``), such as ``"lalsimulation:IMRPhenomXPHM"``.
        reference_frequency_hz: where spins and phase are defined.

    Raises:
        ValueError: the name is not known, or the reference frequency is not above 0.
        MissingExtraError: lalsimulation is not installed.
    """
    if reference_frequency_hz <= 0:
        raise ValueError(f"reference_frequency_hz must be above 0, not {reference_frequency_hz}.")
    if name.startswith("lalsimulation:"):
        from lightning_itwin.waveforms.lalsimulation_waveform import LALSimulationWaveform

        return LALSimulationWaveform(name.removeprefix("lalsimulation:"), reference_frequency_hz)
    if name == "IMRPhenomPv2":
        from lightning_itwin.waveforms.phenom_pv2 import IMRPhenomPv2

        return IMRPhenomPv2(reference_frequency_hz)
    raise ValueError(
        f"Unknown waveform {name!r}. Known are 'IMRPhenomPv2' and 'lalsimulation:NAME' with a "
        "frequency-domain approximant of lalsimulation, such as 'lalsimulation:IMRPhenomXPHM'."
    )
