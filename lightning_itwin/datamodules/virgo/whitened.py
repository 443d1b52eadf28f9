"""Whitened strain and equalised witnesses, by filters that the training part sets."""

# C channels, K taps

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from lightning_itwin.datamodules.virgo.strain_windows import Stretch
from lightning_itwin.strain.aligned_channels import AlignedChannels
from lightning_itwin.strain.whitening import ZeroPhaseFilter, equalising_filter, whitening_filter

FILTER_S = 2.0


def make_filters(
    data: AlignedChannels, stretches: np.ndarray, band_hz: tuple[float, float]
) -> list[ZeroPhaseFilter]:
    """Make one filter a channel, the strain's first.

    Args:
        data: of all channels.
        stretches: ranges of samples of the training part; the longest sets the filters.
        band_hz: lower and upper edge of the band.
    """
    begin, end = stretches[np.argmax(stretches[:, 1] - stretches[:, 0])]
    values = np.asarray(data.values[:, begin:end], dtype=np.float64)
    common: dict[str, Any] = {"sample_rate_hz": data.sample_rate_hz, "length_s": FILTER_S}
    return [whitening_filter(values[0], band_hz=band_hz, **common)] + [
        equalising_filter(one, band_hz=band_hz, bandwidth_hz=bandwidth_hz, **common)
        for one, bandwidth_hz in zip(values[1:], data.bandwidth_hz[1:])
    ]


def filtered(
    data: AlignedChannels, stretches: np.ndarray, filters: Sequence[ZeroPhaseFilter]
) -> list[Stretch]:
    """Filter stretches, each by itself; a stretch loses half a filter at each end.

    Args:
        data: of all channels.
        stretches: ranges of samples, int64 (S, 2).
        filters: one a channel.
    """
    taps = max(len(one.taps) for one in filters)
    found = []
    for begin, end in stretches.tolist():
        if end - begin < taps:
            continue
        values = [flatten(row[begin:end].astype(np.float64)) for flatten, row in zip(filters, data.values)]
        found.append(
            Stretch(values=np.stack(values).astype(np.float32), start=begin + filters[0].taps.size // 2)
        )
    return found


def filters_state(filters: Sequence[ZeroPhaseFilter]) -> dict[str, Any]:
    """Give filters as plain values, for a checkpoint."""
    return {
        "taps": [torch.from_numpy(one.taps.copy()) for one in filters],
        "offset": [one.offset for one in filters],
    }


def filters_of(state: dict[str, Any]) -> list[ZeroPhaseFilter]:
    """Give the filters of a state."""
    return [
        ZeroPhaseFilter(offset=float(offset), taps=torch.as_tensor(taps).numpy())
        for offset, taps in zip(state["offset"], state["taps"])
    ]
