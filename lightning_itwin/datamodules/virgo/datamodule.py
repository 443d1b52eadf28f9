"""VirgoDataModule: windows of a detector's strain and of the channels that witness its noise."""

# B batch, C channels, W witnesses, T samples of a window, S stretches

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.utilities import rank_zero_warn

from lightning_itwin.datamodules.batch_loader import BatchLoader, OrderedBatches
from lightning_itwin.datamodules.ranked import RankedDataModule
from lightning_itwin.datamodules.virgo.arguments import check_band, check_names, check_windows
from lightning_itwin.datamodules.virgo.settings import PARTS, SegmentSettings, SplitSettings
from lightning_itwin.datamodules.virgo.strain_windows import StrainWindows, Stretch
from lightning_itwin.datamodules.virgo.usable_time import check_parts, usable_segments
from lightning_itwin.datamodules.virgo.whitened import (
    FILTER_S,
    filtered,
    filters_of,
    filters_state,
    make_filters,
)
from lightning_itwin.datamodules.virgo.window_order import ConsecutiveOrder, TrainingOrder, segment_blocks
from lightning_itwin.strain.aligned_channels import AlignedChannels
from lightning_itwin.strain.channel_cache import ChannelCache
from lightning_itwin.strain.channel_list import ListedChannel, read_channel_list
from lightning_itwin.strain.channel_pieces import ChannelError
from lightning_itwin.strain.hdf5_channels import read_attribute
from lightning_itwin.strain.resampling import reach_s
from lightning_itwin.strain.simulator.virgo_simulator import VirgoSimulator
from lightning_itwin.strain.sources import find_files, names_in
from lightning_itwin.strain.whitening import ZeroPhaseFilter

_FILE_FORMAT = 1  # goes up when the simulator makes other samples of the same parameters
_SIMULATOR = VirgoSimulator()
_SEGMENTS = SegmentSettings()
_SPLIT = SplitSettings()
_READ_AHEAD = 2
# What a stage of the Trainer needs; predict goes over all usable time.
_PARTS_OF = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ()}


class VirgoDataModule(RankedDataModule):
    """Windows of strain and witness channels, from GWF frames, HDF5 files or a simulated detector.

    A batch is a ``StrainBatch``: witnesses (B, W, T), strain (B, T), GPS time and number of the first sample.
    Values are as in the files, at one sample rate; with ``whiten`` the strain is whitened inside ``band_hz``
    and has unit variance, and a witness is whitened inside the band and, apart from that, has its part below
    3 Hz scaled to unit variance, by filters that the training part sets and checkpoints keep.

    Channels are read once, checked, resampled onto the strain's clock and kept as a float32 memory map in
    ``data_dir``; what is put right is said in one warning, what cannot be used is refused with every fault
    in one message. Time in which a channel has a gap or samples that are not finite, and time that flags or
    segment files exclude, is left out.

    The usable time is split in the order of time, with a guard left out in between, so that no sample of a
    file enters two parts, filters included. Training windows are shuffled and dealt to the processes, each to
    one; a training that stopped in the middle of an epoch goes on with the very next batch. Windows of
    validation, test and ``predict`` cover their part, each window once over all processes.

    Args:
        data_dir: folder of simulated files and of memory maps, under the current folder unless absolute.
        path: GWF or HDF5 files of your own instead of simulated ones: file, folder, pattern or several. A
            channel may continue from file to file or have a file of its own. Attributes for sample rate and
            GPS start are understood as this package, gwpy, DeepClean and GWOSC write them.
        channels: names of the channels, the strain first; or the path of a channel list file. Not needed
            where ``channels.txt`` lies beside the first file, and for files of our own simulator.
        simulator: parameters of the simulated detector, where no ``path`` is given.
        sample_rate_hz: rate to which all channels are resampled.
        band_hz: lower and upper edge of the band in which noise is looked for; from 7 Hz to 2 Hz below
            half the sample rate.
        window_s: length of a training window.
        stride_s: time from one training window to the next.
        batch_size: training windows in a batch of one process; longer windows come in smaller batches.
        whiten: whether batches are whitened.
        evaluation_window_s: length of a window of validation, test and ``predict``; None takes ``window_s``.
        evaluation_overlap_s: time that two of them share at least; None takes half a window.
        segments: which time is used.
        split: shares of training, validation and test.
        seed: of the shuffle.

    Raises:
        ValueError: a value is outside its range.
        ChannelError: in ``prepare_data`` or ``setup``: channels cannot be used, or the data are too short.

    >>> module = VirgoDataModule(simulator=VirgoSimulator(duration_s=64.0), batch_size=8)
    >>> module.window, module.sample_rate_hz
    (2048, 512.0)
    """

    def __init__(
        self,
        data_dir: str = "data/virgo",
        path: str | list[str] | None = None,
        channels: list[str] | str | None = None,
        simulator: VirgoSimulator = _SIMULATOR,
        sample_rate_hz: float = 512.0,
        band_hz: tuple[float, float] = (20.0, 200.0),
        window_s: float = 4.0,
        stride_s: float = 0.25,
        batch_size: int = 32,
        whiten: bool = False,
        evaluation_window_s: float | None = None,
        evaluation_overlap_s: float | None = None,
        segments: SegmentSettings = _SEGMENTS,
        split: SplitSettings = _SPLIT,
        seed: int = 42,
    ) -> None:
        super().__init__()
        check_band(band_hz, sample_rate_hz)
        check_names(channels)
        longer_s = window_s if evaluation_window_s is None else evaluation_window_s
        shared_s = longer_s / 2 if evaluation_overlap_s is None else evaluation_overlap_s
        check_windows(window_s, stride_s, batch_size, longer_s, shared_s)
        # What the model's hyperparameters do not say; a name in both would have to be equal to the type.
        self.save_hyperparameters("window_s", "stride_s", "batch_size")
        self.data_dir = Path(data_dir)
        self.path, self.channels, self.simulator = path, channels, simulator
        self.sample_rate_hz = sample_rate_hz
        self.band_hz = (band_hz[0], band_hz[1])
        self.window = round(window_s * sample_rate_hz)
        self.stride = max(1, round(stride_s * sample_rate_hz))
        self.evaluation_window = round(longer_s * sample_rate_hz)
        self.evaluation_overlap = round(shared_s * sample_rate_hz)
        self.batch_size, self.whiten, self.seed = batch_size, whiten, seed
        self.segments, self.split = segments, split
        self._aligned: AlignedChannels | None = None
        self._filters: list[ZeroPhaseFilter] = []
        self._parts: dict[str, np.ndarray] = {}
        self._guard = 0

    @property
    def aligned(self) -> AlignedChannels:
        """All channels on one clock, and the segments that may be used; known after ``setup``."""
        if self._aligned is None:
            raise RuntimeError("VirgoDataModule has no data before setup(); the Trainer calls it, or you do.")
        return self._aligned

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels, the strain first; known after ``setup``."""
        return self.aligned.names

    @property
    def num_witnesses(self) -> int:
        """Number of witness channels, known after ``setup``."""
        return len(self.aligned.names) - 1

    @property
    def simulated_file(self) -> Path:
        """File of the simulated data; its name tells the simulator's parameters apart."""
        key = json.dumps([_FILE_FORMAT, self.simulator.parameters()], sort_keys=True)
        return self.data_dir / f"virgo_{hashlib.sha256(key.encode()).hexdigest()[:12]}.h5"

    @property
    def source_files(self) -> list[Path]:
        """Files that the channels come from."""
        return find_files(self.simulated_file if self.path is None else self.path)

    @property
    def filters(self) -> list[ZeroPhaseFilter]:
        """With ``whiten``, one filter a channel, the strain's first; known after ``setup``."""
        if not self._filters:
            self._filters = make_filters(self.aligned, self.stretches("train"), self.band_hz)
        return self._filters

    def prepare_data(self) -> None:
        if self.path is None and not self.simulated_file.is_file():
            self.simulator.write(self.simulated_file)
        self._open()

    def setup(self, stage: str | None = None) -> None:
        if self._aligned is None:
            self._read()
        needed = self.window + (round(FILTER_S * self.sample_rate_hz) if self.whiten else 0)
        parts = _PARTS_OF.get(stage or "", PARTS)
        check_parts(self.aligned, self._parts, self.split, self._guard, needed, parts)

    def stretches(self, part: str) -> np.ndarray:
        """Give the time of a part: ranges of samples without a gap, in the order of time, int64 (S, 2).

        Args:
            part: ``"train"``, ``"val"``, ``"test"``, or ``"all"`` for all usable time, guards included.
        """
        self.aligned  # noqa: B018  says that there are no data yet
        if part not in self._parts:
            raise ValueError(f"There is no part {part!r}; the parts are {', '.join(PARTS)} and all.")
        return self._parts[part]

    def read(self, begin: int, end: int) -> np.ndarray:
        """Give all channels over a range of samples as they are in the memory map, float64 (C, n).

        Args:
            begin: first sample on the clock.
            end: the sample after the last.
        """
        return self.aligned.values[:, begin:end].astype(np.float64)

    def blocks(self, part: str, segment: int, hop: int, per_block: int = 64) -> list[tuple[int, int]]:
        """Give this process's blocks for sums over segments, such as Welch's; see ``segment_blocks``.

        Args:
            part: see ``stretches``.
            segment: samples of a segment.
            hop: samples from one segment to the next.
            per_block: segments of a block, at most.
        """
        return segment_blocks(self.stretches(part), segment, hop, per_block, self._rank, self._world_size)

    def series(self, part: str) -> list[Stretch]:
        """Give the stretches of a part with their values as batches have them: raw, or whitened.

        Args:
            part: see ``stretches``.
        """
        stretches = self.stretches(part)
        if self.whiten:
            return filtered(self.aligned, stretches, self.filters)
        return [
            Stretch(values=self.aligned.values[:, begin:end], start=begin)
            for begin, end in stretches.tolist()
        ]

    def windows(self, part: str, stride: int | None = None) -> StrainWindows:
        """Give the windows of a part.

        Args:
            part: see ``stretches``.
            stride: samples from one window to the next, as for training; without, windows are those of
                evaluation and cover the part.
        """
        series, clock = self.series(part), self.aligned.clock
        if stride is not None:
            return StrainWindows.sliding(series, clock, self.window, stride)
        return StrainWindows.covering(
            series, clock, self.evaluation_window, self.evaluation_overlap, self.window
        )

    def train_dataloader(self) -> BatchLoader:
        windows = self.windows("train", self.stride)
        order = TrainingOrder(
            events=len(windows),
            batch_size=self.batch_size,
            rank=self._rank,
            world_size=self._world_size,
            shuffle_block=1,
            seed=self.seed,
            fingerprint=zlib.crc32(windows.starts.tobytes() + repr(self.channel_names).encode()),
        )
        return BatchLoader(OrderedBatches(windows, order, self._epoch, _READ_AHEAD))

    def val_dataloader(self) -> BatchLoader:
        return self._evaluation("val")

    def test_dataloader(self) -> BatchLoader:
        return self._evaluation("test")

    def predict_dataloader(self) -> BatchLoader:
        return self._evaluation("all")

    def state_dict(self) -> dict[str, Any]:
        return {"filters": filters_state(self._filters)} if self._filters else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if "filters" in state_dict:
            self._filters = filters_of(state_dict["filters"])

    def _evaluation(self, part: str) -> BatchLoader:
        windows = self.windows(part)
        order = ConsecutiveOrder(
            lengths=windows.lengths,
            batch_size=max(1, self.batch_size * self.window // self.evaluation_window),
            rank=self._rank,
            world_size=self._world_size,
        )
        return BatchLoader(OrderedBatches(windows, order, lambda: 0, _READ_AHEAD))

    def _read(self) -> None:
        if self.path is None and not self.simulated_file.is_file():
            self.simulator.write(self.simulated_file)  # for a node that does not see rank 0's folder
        aligned, words = usable_segments(self._open(), self.source_files, self.segments, self.window)
        if aligned.bandwidth_hz[0] < self.band_hz[1]:
            raise ChannelError(
                f"{aligned.names[0]}, the strain, holds nothing above {aligned.bandwidth_hz[0]:g} Hz, half "
                f"its sample rate; lower band_hz, now {list(self.band_hz)}."
            )
        if words:
            rank_zero_warn("\n".join(words), stacklevel=2)
        reach = max(reach_s(own_hz, self.sample_rate_hz) for own_hz in aligned.own_rate_hz)
        self._guard = round(max(self.split.guard_s, 2 * reach) * self.sample_rate_hz)
        self._parts = self.split.parts(aligned.segments, self._guard)
        self._aligned = aligned

    def _open(self) -> AlignedChannels:
        files = self.source_files
        listed = self._listed(files)
        return ChannelCache(self.data_dir / "channels").open(
            files, listed, self.sample_rate_hz, leave_out=self.segments.leave_out_faulty
        )

    def _listed(self, files: Sequence[Path]) -> list[ListedChannel]:
        if isinstance(self.channels, str):
            return read_channel_list(self.channels)
        if self.channels is not None:
            return [ListedChannel(name=name) for name in self.channels]
        first = files[0]
        for beside in (first.with_name("channels.txt"), first.with_name(f"{first.stem}_channels.txt")):
            if beside.is_file():
                return read_channel_list(beside)
        told = None if first.suffix.lower() == ".gwf" else read_attribute(first, "channels")
        if told is None:
            raise ChannelError(
                f"{first} does not say which of its channels is the strain: give channels=[strain, witness, "
                f"...]. Channels there: {', '.join(names_in(first)) or 'none with a sample rate'}."
            )
        return [ListedChannel(name=name) for name in json.loads(told)]
