"""Strain that a model cannot read is refused before it is sent to a device."""

# B batch, D detectors, T samples

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_LONGEST_STILL_S = 1 / 32


def check_strain(strain: Tensor, detectors: Sequence[str], samples: int, sample_rate_hz: float) -> None:
    """Refuse whitened strain of the wrong shape, with NaN or with a gap.

    Args:
        strain: (B, D, T).
        detectors: names of the D detectors that the model was made for.
        samples: their samples T.
        sample_rate_hz: their rate.

    Raises:
        ValueError: another number of dimensions, detectors or samples, values that are not finite, or a
            gap: a series that stands still for more than 1/32 s, as where data were filled in.
    """
    wanted = (
        f"(events, {len(detectors)} detectors {', '.join(detectors)}, "
        f"{samples} samples at {sample_rate_hz:g} Hz)"
    )
    if strain.ndim != 3:
        raise ValueError(f"Whitened strain is wanted as {wanted}, not {tuple(strain.shape)}.")
    if strain.shape[1] != len(detectors):
        raise ValueError(
            f"The model was made for {len(detectors)} detectors ({', '.join(detectors)}), the strain has "
            f"{strain.shape[1]}. Give {wanted}."
        )
    if strain.shape[2] != samples:
        raise ValueError(
            f"The model was made for {samples} samples ({samples / sample_rate_hz:g} s at {sample_rate_hz:g} "
            f"Hz), the strain has {strain.shape[2]}. Cut or resample it: {wanted}."
        )
    finite_BD = torch.isfinite(strain).all(dim=-1)
    if not bool(finite_BD.all()):
        raise ValueError(f"The strain is not finite in {_places(~finite_BD, detectors)}.")
    longest = max(2, round(_LONGEST_STILL_S * sample_rate_hz))
    if samples > longest:
        still = (strain.diff(dim=-1) == 0).cumsum(dim=-1, dtype=torch.int32)
        gap_BD = (still[..., longest - 1 :] - still[..., : still.shape[-1] - longest + 1] >= longest - 1).any(
            dim=-1
        )
        if bool(gap_BD.any()):
            raise ValueError(
                f"The strain stands still for more than {_LONGEST_STILL_S} s in "
                f"{_places(gap_BD, detectors)}: "
                "a gap. Take a segment without one."
            )


def _places(wrong_BD: Tensor, detectors: Sequence[str]) -> str:
    places = [f"event {event}, {detectors[detector]}" for event, detector in wrong_BD.nonzero().tolist()]
    return "; ".join(places[:5]) + ("" if len(places) <= 5 else f"; {len(places) - 5} more")
