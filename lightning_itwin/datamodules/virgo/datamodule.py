"""VirgoDataModule: windows of a detector's strain and of the channels that witness its noise."""

# B batch, W witnesses, T samples of a window

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from lightning_itwin.datamodules.virgo.strain_windows import StrainWindows
from lightning_itwin.datamodules.virgo_simulator import VirgoSimulator
from lightning_itwin.strain.aligned_channels import AlignedChannels, align_channels
from lightning_itwin.strain.hdf5_channels import (
    ChannelError,
    list_channels,
    read_attribute,
    read_channels,
)
from lightning_itwin.strain.whitening import (
    LOWEST_BAND_HZ,
    TAPER_HZ,
    ZeroPhaseFilter,
    equalising_filter,
    whitening_filter,
)

FILTER_S = 2.0
GUARD_S = 4.0
SPLIT = {"train": 0.60, "val": 0.15, "test": 0.25}
_FILE_FORMAT = 1  # goes up when the simulator makes other samples of the same parameters
_SIMULATOR = VirgoSimulator()


class VirgoDataModule(LightningDataModule):
    """Windows of strain and witness channels, from HDF5 files or from a simulated detector.

    A batch is ``(witnesses, strain)``: (B, W, T) and (B, T), float32. The strain is whitened inside
    ``band_hz`` and has unit variance; a witness is whitened inside the band and, apart from that, has its
    part below 3 Hz scaled to unit variance. Means, spectra and scales come from the training part alone.

    The data are split in time: the first 60 % for training, then 15 % for validation and 25 % for test, with
    4 s left out in between; each part is filtered by itself, so that no sample enters two of them. Training
    windows overlap by ``window_s - stride_s``, others by half. ``predict`` goes over all the data.

    Args:
        data_dir: folder of simulated files, under the current folder unless absolute. A file is made once for
            each set of the simulator's parameters; processes that make it at the same time do not collide.
        path: HDF5 file or files of your own instead of simulated ones; a channel may continue from file to
            file. Attributes for sample rate and GPS start are understood as this package, gwpy and GWOSC
            write them.
        channels: names of the datasets, the strain first; not needed for files of our own simulator.
        simulator: parameters of the simulated detector, where no ``path`` is given.
        sample_rate_hz: rate to which all channels are resampled.
        band_hz: lower and upper edge of the band in which noise is looked for; from 7 Hz to 2 Hz below
            half the sample rate.
        window_s: length of a window.
        stride_s: time from one training window to the next.
        batch_size: windows in a batch of one process.

    Raises:
        ValueError: a value is outside its range.
        ChannelError: in ``setup``: a channel is missing, constant, a copy, not finite, or does not fit the
            others' clock; or the data are too short.

    >>> module = VirgoDataModule(simulator=VirgoSimulator(duration_s=64.0), batch_size=8)
    >>> module.window, module.sample_rate_hz
    (2048, 512.0)
    """

    def __init__(
        self,
        data_dir: str = "data/virgo",
        path: str | list[str] | None = None,
        channels: list[str] | None = None,
        simulator: VirgoSimulator = _SIMULATOR,
        sample_rate_hz: float = 512.0,
        band_hz: tuple[float, float] = (20.0, 200.0),
        window_s: float = 4.0,
        stride_s: float = 0.25,
        batch_size: int = 32,
    ) -> None:
        super().__init__()
        low_hz, high_hz = band_hz
        highest_hz = sample_rate_hz / 2 - TAPER_HZ
        if not LOWEST_BAND_HZ <= low_hz < high_hz <= highest_hz:
            raise ValueError(
                f"band_hz must rise and lie between {LOWEST_BAND_HZ:g} and {highest_hz:g} Hz ({TAPER_HZ:g} "
                f"Hz below half the sample rate of {sample_rate_hz:g} Hz), not {list(band_hz)}."
            )
        if channels is not None and (len(channels) < 2 or len(set(channels)) < len(channels)):
            raise ValueError(
                f"channels must name the strain and then at least one witness, each once, not {channels}."
            )
        if not 0 < stride_s <= window_s or batch_size < 1:
            raise ValueError(
                f"stride_s must be > 0 and at most window_s, and batch_size at least 1, not {stride_s}, "
                f"{window_s} and {batch_size}."
            )
        # What the model's hyperparameters do not say; a name in both would have to be equal to the type.
        self.save_hyperparameters("window_s", "stride_s", "batch_size")
        self.data_dir = Path(data_dir)
        self.path = path
        self.channels = channels
        self.simulator = simulator
        self.sample_rate_hz = sample_rate_hz
        self.band_hz = (low_hz, high_hz)
        self.window = round(window_s * sample_rate_hz)
        self.stride = max(1, round(stride_s * sample_rate_hz))
        self.batch_size = batch_size
        self._aligned: AlignedChannels | None = None
        # After setup: one filter a channel, the strain's first.
        self.filters: list[ZeroPhaseFilter] = []

    @property
    def num_witnesses(self) -> int:
        """Number of witness channels, known after ``setup``."""
        return len(self._data.names) - 1

    @property
    def simulated_file(self) -> Path:
        """File of the simulated data; its name tells the simulator's parameters apart."""
        key = json.dumps([_FILE_FORMAT, asdict(self.simulator)], sort_keys=True)
        return self.data_dir / f"virgo_{hashlib.sha256(key.encode()).hexdigest()[:12]}.h5"

    def prepare_data(self) -> None:
        if self.path is None and not self.simulated_file.is_file():
            self.simulator.write(self.simulated_file)

    def setup(self, stage: str | None = None) -> None:
        if self._aligned is not None:
            return
        self.prepare_data()  # for a node that does not see the folder where rank 0 has written
        paths = self.simulated_file if self.path is None else self.path
        names = self.channels or self._names_in(paths)
        aligned = align_channels(read_channels(paths, names), self.sample_rate_hz)
        self._check(aligned)
        begin, end = self._span(aligned, "train")
        training = aligned.values[:, begin:end]
        still = [name for name, values in zip(aligned.names, training) if np.ptp(values) == 0]
        if still:
            raise ChannelError(
                f"Constant over the training part, the first {SPLIT['train']:.0%} of the data: "
                f"{', '.join(still)}. Leave these channels out, or choose another time."
            )
        common = {"sample_rate_hz": self.sample_rate_hz, "length_s": FILTER_S}
        self.filters = [whitening_filter(training[0], band_hz=self.band_hz, **common)] + [
            equalising_filter(values, band_hz=self.band_hz, bandwidth_hz=bandwidth_hz, **common)
            for values, bandwidth_hz in zip(training[1:], aligned.bandwidth_hz[1:])
        ]
        self._aligned = aligned

    def windows(self, part: str, stride: int | None = None) -> StrainWindows:
        """Give the windows of one part of the data.

        Args:
            part: ``"train"``, ``"val"``, ``"test"``, or ``"all"`` for the data from end to end.
            stride: samples from one window to the next; half a window by default.
        """
        data = self._data
        begin, end = self.span(part)
        filtered = np.stack(
            [flatten(values[begin:end]) for flatten, values in zip(self.filters, data.values)]
        ).astype(np.float32)
        series = torch.from_numpy(filtered)
        lost = (end - begin - series.shape[1]) // 2
        return StrainWindows(
            series[1:],
            series[0],
            window=self.window,
            stride=stride or self.window // 2,
            gps_start_s=data.gps_start_s + (begin + lost) / self.sample_rate_hz,
            sample_rate_hz=self.sample_rate_hz,
        )

    def span(self, part: str) -> tuple[int, int]:
        """Give the first sample of a part of the aligned data, and the one after its last.

        Args:
            part: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        """
        return self._span(self._data, part)

    def train_dataloader(self) -> DataLoader:
        # A last batch of another size would make its step unlike the others, and its gradient noisier.
        windows = self.windows("train", self.stride)
        whole_batches = len(windows) >= self.batch_size
        return DataLoader(windows, batch_size=self.batch_size, shuffle=True, drop_last=whole_batches)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.windows("val"), batch_size=self.batch_size)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.windows("test"), batch_size=self.batch_size)

    def predict_dataloader(self) -> DataLoader:
        return DataLoader(self.windows("all"), batch_size=self.batch_size)

    @property
    def _data(self) -> AlignedChannels:
        if self._aligned is None:
            raise RuntimeError("VirgoDataModule has no data before setup(); the Trainer calls it, or you do.")
        return self._aligned

    def _names_in(self, paths: str | Path | list[str]) -> list[str]:
        first = paths if isinstance(paths, (str, Path)) else paths[0]
        listed = read_attribute(first, "channels")
        if listed is None:
            raise ChannelError(
                f"{first} does not say which of its channels is the strain: give channels=[strain, witness, "
                f"...]. Channels there: {', '.join(list_channels(first)) or 'none with a sample rate'}."
            )
        return json.loads(listed)

    def _check(self, aligned: AlignedChannels) -> None:
        if aligned.bandwidth_hz[0] < self.band_hz[1]:
            raise ChannelError(
                f"{aligned.names[0]}, the strain, holds nothing above {aligned.bandwidth_hz[0]:g} Hz, half "
                f"its sample rate; lower band_hz, now {list(self.band_hz)}."
            )
        shortest = min(end - begin for begin, end in (self._span(aligned, part) for part in SPLIT))
        needed = self.window + round(FILTER_S * self.sample_rate_hz)
        if shortest < needed:
            window_s = self.window / self.sample_rate_hz
            needed_s = 2 * GUARD_S + needed / self.sample_rate_hz / min(SPLIT.values())
            raise ChannelError(
                f"The channels have {aligned.duration_s:g} s in common; a window of {window_s:g} s in each "
                f"of the three parts needs {math.ceil(needed_s)} s or more."
            )

    def _span(self, aligned: AlignedChannels, part: str) -> tuple[int, int]:
        guard = round(GUARD_S * self.sample_rate_hz)
        if part == "all":
            return 0, aligned.values.shape[1]
        samples = aligned.values.shape[1] - 2 * guard
        begin = 0
        for name, share in SPLIT.items():
            end = begin + int(share * samples)
            if name == part:
                return begin, end
            begin = end + guard
        raise ValueError(f"There is no part {part!r}; the parts are {', '.join(SPLIT)} and all.")
