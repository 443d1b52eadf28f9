"""GlitchDataModule: windows of whitened strain and witnesses, around glitches and in quiet times."""

# C channels, T samples, S stretches, N windows

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lightning_itwin.datamodules.virgo.datamodule import VirgoDataModule
from lightning_itwin.datamodules.virgo.glitch_windows import GlitchWindows, loud_windows
from lightning_itwin.datamodules.virgo.strain_windows import StrainWindows, Stretch
from lightning_itwin.datamodules.virgo.whitened import FILTER_S
from lightning_itwin.strain.channel_pieces import ChannelError
from lightning_itwin.strain.hdf5_channels import list_channels, read_channels
from lightning_itwin.strain.resampling import resample
from lightning_itwin.strain.whitening import ZeroPhaseFilter, whitening_filter

WITNESSED, UNWITNESSED = "truth/glitches/witnessed", "truth/glitches/unwitnessed"
_HIGH_PASS_S = 0.5
_GAUSSIAN_MAD = 0.6744897501960817  # median of the modulus of N(0, 1)


class GlitchDataModule(VirgoDataModule):
    """Windows for a model of glitches; sources, segments, splits and ranks are ``VirgoDataModule``'s.

    A batch is a ``GlitchBatch``. The strain is whitened by a filter that the training part sets, so scaled
    that the noise has unit density whatever glitches it holds. A witness passes above the lower edge of
    ``band_hz`` with its waveform kept, which a coupling that saturates needs, in units of its usual spread.
    The filters are part of a checkpoint. Training windows are those in which any channel is louder than
    usual, and a share of the rest; evaluation covers its part. The truth of our own simulator's files comes
    along, whitened alike.

    Args:
        sample_rate_hz: rate to which all channels are resampled.
        band_hz: lower and upper edge of the band of the whitened strain.
        window_s: length of a window, of evaluation too.
        stride_s: time from one training window to the next.
        batch_size: windows in a batch of one process.
        quiet_share: share of the windows without anything loud that training sees.
        options: see ``VirgoDataModule``.

    Raises:
        ValueError: a value is outside its range.

    >>> GlitchDataModule().window
    2048
    """

    def __init__(
        self,
        sample_rate_hz: float = 1024.0,
        band_hz: tuple[float, float] = (12.0, 450.0),
        window_s: float = 2.0,
        stride_s: float = 1.0,
        batch_size: int = 64,
        quiet_share: float = 0.25,
        **options: Any,
    ) -> None:
        if not 0 <= quiet_share <= 1:
            raise ValueError(f"quiet_share must be between 0 and 1, not {quiet_share}.")
        super().__init__(
            sample_rate_hz=sample_rate_hz,
            band_hz=band_hz,
            window_s=window_s,
            stride_s=stride_s,
            batch_size=batch_size,
            whiten=True,
            **options,
        )
        self.quiet_share = quiet_share
        self._filtered: dict[str, list[Stretch]] = {}

    @property
    def filters(self) -> list[ZeroPhaseFilter]:
        """One filter a channel, the strain's first; known after ``setup``."""
        if not self._filters:
            self._filters = self._make_filters()
        return self._filters

    @property
    def whitening_taps(self) -> np.ndarray:
        """Impulse response of the filter that whitens the strain, of odd length, zero lag in the middle."""
        return self.filters[0].taps

    def series(self, part: str) -> list[Stretch]:
        """Give the stretches of a part: whitened strain, witnesses, whitened truth of two kinds, (C + 2, n).

        Args:
            part: see ``stretches``.
        """
        if part not in self._filtered:
            self._filtered[part] = self._filter(part)
        return self._filtered[part]

    def windows(self, part: str, stride: int | None = None) -> StrainWindows:
        """Give the windows of a part; those of training are chosen.

        Args:
            part: see ``stretches``.
            stride: samples from one window to the next, as for training; without, windows are those of
                evaluation and cover the part.
        """
        series, clock = self.series(part), self.aligned.clock
        if stride is None:
            return GlitchWindows.covering(
                series, clock, self.evaluation_window, self.evaluation_overlap, self.window
            )
        windows = GlitchWindows.sliding(series, clock, self.window, stride)
        chosen = loud_windows(windows, self.sample_rate_hz, len(self.filters))
        chosen |= np.random.default_rng(self.seed).random(len(windows)) < self.quiet_share
        if chosen.any():
            windows.starts, windows.lengths = windows.starts[chosen], windows.lengths[chosen]
        return windows

    def _filter(self, part: str) -> list[Stretch]:
        truth = [self._truth(name) for name in (WITNESSED, UNWITNESSED)]
        whiten = ZeroPhaseFilter(offset=0.0, taps=self.filters[0].taps)
        longest = max(len(one.taps) for one in self.filters)
        found = []
        for begin, end in self.stretches(part).tolist():
            if end - begin < longest + self.window:
                continue
            half = longest // 2
            values = np.full((len(self.filters) + 2, end - begin - 2 * half), np.nan, dtype=np.float32)
            for row, (one, channel) in zip(values, zip(self.filters, self.aligned.values)):
                row[:] = _centred(one, channel[begin:end].astype(np.float64), half)
            for row, part_of_truth in zip(values[-2:], truth):
                if part_of_truth is not None:
                    row[:] = _centred(whiten, part_of_truth[begin:end], half)
            found.append(Stretch(values=values, start=begin + half))
        return found

    def _make_filters(self) -> list[ZeroPhaseFilter]:
        stretches: Sequence[Sequence[int]] = self.stretches("train").tolist()
        if not stretches:
            raise ChannelError(
                "There is no training part to set the filters. Give split.train a share, or the filters of a "
                "training: load_state_dict(state_dict of its datamodule), or a checkpoint."
            )
        begin, end = max(stretches, key=lambda one: one[1] - one[0])
        values = np.asarray(self.aligned.values[:, begin:end], dtype=np.float64)
        white = whitening_filter(values[0], self.sample_rate_hz, self.band_hz, FILTER_S)
        share = (self.band_hz[1] - self.band_hz[0]) / (self.sample_rate_hz / 2)
        # The noise's own variance, whatever the glitches add to it.
        filters = [_unit_spread(white, values[0], np.sqrt(share))]
        passing = _high_pass(self.sample_rate_hz, self.band_hz[0])
        for channel in values[1:]:
            own = ZeroPhaseFilter(offset=float(np.median(channel)), taps=passing)
            filters.append(_unit_spread(own, channel, 1.0))
        return filters

    def _truth(self, name: str) -> np.ndarray | None:
        clock = self.aligned.clock
        file = self.source_files[0]
        if self.path is not None and (len(self.source_files) > 1 or file.suffix.lower() == ".gwf"):
            return None
        if name not in list_channels(file):
            return None
        channel = read_channels(file, [name])[0]
        values = resample(channel.values, channel.sample_rate_hz, clock.sample_rate_hz, name)
        first = round((clock.gps_start_s - channel.gps_start_s) * clock.sample_rate_hz)
        values = values[max(0, first) : first + clock.samples]
        return np.pad(values, (max(0, -first), max(0, clock.samples - len(values) - max(0, -first))))


def _high_pass(sample_rate_hz: float, edge_hz: float) -> np.ndarray:
    samples = 2 * round(_HIGH_PASS_S * sample_rate_hz / 2)
    frequency_hz = np.fft.rfftfreq(samples, 1 / sample_rate_hz)
    passed = np.sin(np.pi / 2 * np.clip(2 * frequency_hz / edge_hz - 1, 0.0, 1.0)) ** 2
    taps = np.fft.fftshift(np.fft.irfft(passed))[1:]
    taps *= np.hanning(len(taps) + 2)[1:-1]
    return taps - taps.mean()  # nothing passes at 0 Hz


def _centred(flatten: ZeroPhaseFilter, values: np.ndarray, half: int) -> np.ndarray:
    more = half - len(flatten.taps) // 2
    return flatten(values[more : len(values) - more])


def _unit_spread(one: ZeroPhaseFilter, values: np.ndarray, spread: float) -> ZeroPhaseFilter:
    usual = float(np.median(np.abs(one(values)))) / _GAUSSIAN_MAD
    # A channel with nothing above the edge stays as it is: rounding noise.
    smallest = 1e-9 * float(np.std(values)) + np.finfo(np.float64).tiny
    return ZeroPhaseFilter(offset=one.offset, taps=one.taps * (spread / usual if usual > smallest else 0.0))
