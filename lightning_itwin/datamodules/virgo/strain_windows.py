"""Windows of a strain and its witnesses, as a dataset."""

# W witnesses, T samples of a window

from __future__ import annotations

from torch import Tensor
from torch.utils.data import Dataset


class StrainWindows(Dataset[tuple[Tensor, Tensor]]):
    """Overlapping windows of one stretch of whitened strain and equalised witnesses.

    Args:
        witnesses: equalised witnesses, float32, (W, samples of the stretch).
        strain: whitened strain, float32, (samples of the stretch,).
        window: samples in a window.
        stride: samples from one window to the next.
        gps_start_s: GPS time of the first sample.
        sample_rate_hz: sample rate.
    """

    def __init__(
        self,
        witnesses: Tensor,
        strain: Tensor,
        *,
        window: int,
        stride: int,
        gps_start_s: float,
        sample_rate_hz: float,
    ) -> None:
        self.witnesses = witnesses
        self.strain = strain
        self._window = window
        self._stride = stride
        self._gps_start_s = gps_start_s
        self._sample_rate_hz = sample_rate_hz

    def __len__(self) -> int:
        return max(0, (len(self.strain) - self._window) // self._stride + 1)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Give the witnesses, (W, T), and the strain, (T,), of a window."""
        if not 0 <= index < len(self):
            raise IndexError(f"Window {index} of {len(self)}.")
        first = index * self._stride
        time = slice(first, first + self._window)
        return self.witnesses[:, time], self.strain[time]

    def gps_start_s(self, index: int) -> float:
        """Give the GPS time of the first sample of a window.

        Args:
            index: number of the window.
        """
        return self._gps_start_s + index * self._stride / self._sample_rate_hz
