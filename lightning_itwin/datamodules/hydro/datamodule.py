"""GriddedHydroDataModule: windows of gridded daily series, from the user's files or a simulated region."""

# N series (cell x realization), T days of a window, H longest lead, V columns, C context series

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.utilities import rank_zero_warn

from lightning_itwin.datamodules.batch_loader import BatchLoader, OrderedBatches
from lightning_itwin.datamodules.hydro.cell_major import CellMajorSource
from lightning_itwin.datamodules.hydro.evaluation_order import EvaluationOrder
from lightning_itwin.datamodules.hydro.forecast_origins import ForecastOrigins
from lightning_itwin.datamodules.hydro.grid import Grid
from lightning_itwin.datamodules.hydro.machine_memory import memory_for_data
from lightning_itwin.datamodules.hydro.open_source import open_source
from lightning_itwin.datamodules.hydro.preparation import DROUGHT_LEVELS
from lightning_itwin.datamodules.hydro.prepared_data import PreparedData, TrainingData
from lightning_itwin.datamodules.hydro.source import CubeSource
from lightning_itwin.datamodules.hydro.splits import SplitError, SplitPeriods, split_cells, window_starts
from lightning_itwin.datamodules.hydro.statistics import HydroStatistics
from lightning_itwin.datamodules.hydro.variables import HydroVariables
from lightning_itwin.datamodules.hydro.window_order import TrainingOrder
from lightning_itwin.datamodules.hydro.windows import BlockWindows, MemoryWindows, WindowShape
from lightning_itwin.datamodules.ranked import RankedDataModule
from lightning_itwin.hydrology import AlpsSimulator
from lightning_itwin.hydrology.climatology import Climatology
from lightning_itwin.hydrology.reference_forecasts import ReferenceForecasts

LEADS = (1, 3, 7, 14, 21, 30, 45, 60)
_FILE_FORMAT = 1  # goes up when the simulator makes other values of the same settings
_CALENDAR_DAYS = 4 * 365 + 1  # after which the calendar repeats itself
_RUN_SERIES = 16  # some 100 KiB to 1 MiB of a converted folder, in one read
_VARIABLES = HydroVariables()
_PERIODS = SplitPeriods()
_ORIGINS = ForecastOrigins()


class GriddedHydroDataModule(RankedDataModule):
    """Windows of daily inputs and of a target's anomaly on a grid, as ``HydroBatch``.

    Scales and climatologies come from the training period alone and are kept in checkpoints: with a
    ``ckpt_path`` a new file is standardised as the training's was. A cell that the training did not have gets
    a climatology from the new file's own training period where that holds at least 5 years, and is refused
    otherwise.

    An epoch draws ``samples_per_epoch`` windows; order and draws depend on seed and epoch alone, ranks share
    nothing, and a training that stopped in the middle of an epoch goes on with the very next batch. Data are
    held in memory where they fit, else read block by block; ``python -m lightning_itwin.datamodules.hydro
    convert`` writes the layout in which that is quick.

    Validation, calibration and test go through windows of their own days; no day that one of them scores
    after the warm-up, at any lead, is scored by another. ``predict`` gives windows that end on the days
    forecasts are made from, start by start; where the history is shorter than a window its first days are
    gaps.

    Args:
        path: NetCDF file, Zarr folder or converted folder of your own, several, or patterns.
        simulator: settings of a simulated region, where no ``path`` is given; its file is made once.
        data_dir: folder of simulated files, under the current folder unless absolute.
        variables: names of the variables.
        periods: days of the splits.
        batch: windows in a batch of one process.
        seq_length: days of a window.
        interval_value: every how many rows and columns a cell is taken; splits begin at other cells.
        samples_per_epoch: windows in a training epoch over all processes; at most as many as there are. None
            takes all.
        warmup: first days of a window whose forecasts do not count.
        leads: days ahead of the forecasts; ``[0]`` is a nowcast.
        anomaly: whether the target is a standardised anomaly by the cell's climatology, which takes some
            years, or else the value, standardised over all cells.
        block_split: side, in cells, of square blocks of which a quarter is held out from training, for the
            other splits; 0 leaves all cells to all splits.
        context: whether to add the domain's means of all inputs, and of the target where it is forecast. With
            a single history of weather a network knows training days by them: use it with many realizations.
        evaluate_every: days from one window of validation, calibration and test to the next; None takes
            ``seq_length - warmup``, so that each day counts about once.
        forecasts: days and histories of weather that ``predict`` makes forecasts from.
        memory_gib: how large the data may be to be held in memory, a process; None takes half of the
            machine's memory over its processes, 0 reads block by block in any case.
        block_mib: how large a block may be, values and thresholds; an epoch of few windows takes less.
        seed: of order and draws.

    Raises:
        ValueError: here or in ``setup``: a setting is outside its range, or variables, times, grid or splits
            do not fit (``VariableError``, ``TimeAxisError``, ``GridError``, ``SplitError``).
        FileNotFoundError: there is no such file.
        MissingExtraError: xarray is not installed.
    """

    # A rank may have no day to forecast from.
    allow_zero_length_dataloader_with_multiple_devices = True

    def __init__(
        self,
        path: str | list[str] | None = None,
        simulator: AlpsSimulator | None = None,
        data_dir: str = "data/drought",
        variables: HydroVariables = _VARIABLES,
        periods: SplitPeriods = _PERIODS,
        batch: int = 256,
        seq_length: int = 180,
        interval_value: int = 1,
        samples_per_epoch: int | None = 80_000,
        warmup: int = 90,
        leads: Sequence[int] = LEADS,
        anomaly: bool = True,
        block_split: int = 0,
        context: bool = False,
        evaluate_every: int | None = None,
        forecasts: ForecastOrigins = _ORIGINS,
        memory_gib: float | None = None,
        block_mib: float = 1024.0,
        seed: int = 42,
    ) -> None:
        super().__init__()
        if (path is None) == (simulator is None):
            raise ValueError("Give either path, to files of your own, or simulator, to make some.")
        if min(batch, seq_length, interval_value, *(samples_per_epoch or 1, evaluate_every or 1)) < 1:
            raise ValueError(
                "batch, seq_length, interval_value, samples_per_epoch and evaluate_every must be at least 1, "
                f"not {batch}, {seq_length}, {interval_value}, {samples_per_epoch} and {evaluate_every}."
            )
        if samples_per_epoch == 0 or evaluate_every == 0:
            raise ValueError("samples_per_epoch and evaluate_every must be at least 1, or null.")
        if not 0 <= warmup < seq_length:
            raise ValueError(f"warmup must be at least 0 and below seq_length={seq_length}, not {warmup}.")
        if min(block_split, seed, memory_gib or 0) < 0 or block_mib <= 0:
            raise ValueError(
                "block_split, seed and memory_gib must be at least 0 and block_mib above it, not "
                f"{block_split}, {seed}, {memory_gib} and {block_mib}."
            )
        days = [int(lead) for lead in leads]
        if not days or days != sorted(set(days)) or days[0] < 0 or (days[0] == 0 and len(days) > 1):
            raise ValueError(
                f"leads must rise and be at least 1 day, or be [0] for a nowcast, not {list(leads)}."
            )
        self.save_hyperparameters(
            "batch", "seq_length", "interval_value", "samples_per_epoch", "warmup", "anomaly"
        )
        self.path = path
        self.simulator = simulator
        self.data_dir = Path(data_dir)
        self.variables = variables
        self.periods = periods
        self.batch = batch
        self.seq_length = seq_length
        self.interval_value = interval_value
        self.samples_per_epoch = samples_per_epoch
        self.warmup = warmup
        self.leads = days
        self.anomaly = anomaly
        self.block_split = block_split
        self.context = context
        self.evaluate_every = evaluate_every or seq_length - warmup
        self.forecasts = forecasts
        self.memory_gib = memory_gib
        self.block_mib = block_mib
        self.seed = seed
        self._source: CubeSource | None = None
        self._statistics: HydroStatistics | None = None
        self._prepared: PreparedData | None = None

    @property
    def batch_size(self) -> int:
        """Windows in a batch of one process."""
        return self.batch

    @property
    def source(self) -> CubeSource:
        """Where values are read from, known after ``setup``."""
        if self._source is None:
            raise RuntimeError(
                "GriddedHydroDataModule has no data before setup(); the Trainer calls it, or you do."
            )
        return self._source

    @property
    def grid(self) -> Grid:
        """Grid and time axis, known after ``setup``."""
        return self.source.grid

    @property
    def dynamic_names(self) -> list[str]:
        """The inputs, in the order of ``HydroBatch.dynamic``."""
        return list(self.source.columns.inputs)

    @property
    def static_names(self) -> list[str]:
        """The maps, in the order of ``HydroBatch.static``."""
        return list(self.source.columns.statics)

    @property
    def weather_names(self) -> list[str]:
        """Statistics of a weather forecast, in the order of ``HydroBatch.weather``."""
        return list(self.source.columns.weather)

    @property
    def context_names(self) -> list[str]:
        """Means of the domain, in the order of ``HydroBatch.context``."""
        if not self.context:
            return []
        observed = [] if self.leads == [0] else [self.target_name]
        return [f"domain mean of {name}" for name in [*self.source.columns.inputs, *observed]]

    @property
    def target_name(self) -> str:
        """What is forecast."""
        return self.variables.target

    @property
    def target_units(self) -> str:
        """Units of the target as the file says them, or nothing."""
        return self.source.columns.units.get(self.target_name, "")

    @property
    def statistics(self) -> HydroStatistics | None:
        """Scales and climatology of the training, once there are any: from the first dataloader on."""
        return self._statistics

    @property
    def climatology(self) -> Climatology | None:
        """The target's climatology in the cells of ``grid``, once there is one; None without anomalies."""
        return None if self._prepared is None else self._prepared.climatology

    @property
    def reference_forecasts(self) -> ReferenceForecasts | None:
        """What a forecast has to beat, in the cells of ``grid``, as ``climatology``."""
        return None if self._prepared is None else self._prepared.reference_forecasts

    @property
    def target_scale(self) -> tuple[float, float] | None:
        """Mean and deviation of the target over all cells in training, once there are statistics."""
        return None if self._statistics is None else self._statistics.target_scale

    @property
    def simulated_file(self) -> Path:
        """File of the simulated region; its name tells the simulator's settings apart."""
        if self.simulator is None:
            raise ValueError("There is no simulator: path was given.")
        key = json.dumps([_FILE_FORMAT, asdict(self.simulator)], sort_keys=True)
        return self.data_dir / f"alps_{hashlib.sha256(key.encode()).hexdigest()[:12]}.zarr"

    def prepare_data(self) -> None:
        if self.simulator is None or self.simulated_file.exists():
            return
        made = self.simulated_file.with_name(f"{self.simulated_file.stem}_{os.getpid()}.zarr")
        self.simulator.write(made)
        try:
            os.rename(made, self.simulated_file)
        except OSError:  # another process was first
            shutil.rmtree(made, ignore_errors=True)
            if not self.simulated_file.exists():
                raise

    def setup(self, stage: str | None = None) -> None:
        if self._source is not None:
            return
        self.prepare_data()  # for a node that does not see the folder where rank 0 has written
        path = self.path if self.path is not None else str(self.simulated_file)
        self._source = open_source(path, self.variables)

    def train_dataloader(self) -> BatchLoader:
        span, days = self._span("train"), self.seq_length - self.warmup
        windows = self.samples_per_epoch or self.grid.series * self.grid.axis.size
        # each day of a block counts about once before the next block is read, and an epoch needs no more
        # than that
        enough = max(1, -(-windows * days // (self.grid.axis.size * self._world_size)))
        block_series = min(self._block_series, enough)
        order = TrainingOrder(
            series=self._series("train"),
            starts=self._starts("train", span),
            samples=self.samples_per_epoch,
            batch_size=self.batch,
            rank=self._rank,
            world_size=self._world_size,
            seed=self.seed,
            block_series=0 if self.in_memory else block_series,
            run_series=self._run_series,
            block_windows=max(self.batch, block_series * self.grid.axis.size // days),
        )
        return self._loader(order, self._epoch)

    def val_dataloader(self) -> BatchLoader:
        return self._evaluation("val")

    def test_dataloader(self) -> BatchLoader:
        return self._evaluation("test")

    def calibration_dataloader(self) -> BatchLoader:
        """Give the windows of the period of calibration, as ``val_dataloader`` gives those of validation."""
        return self._evaluation("calibration")

    def predict_dataloader(self) -> BatchLoader:
        order = EvaluationOrder(
            series=np.arange(self.forecast_grid.series),
            starts=self.forecast_origins() - self.seq_length + 1,
            batch_size=self.batch,
            rank=self._rank,
            world_size=self._world_size,
            whole_starts=True,
        )
        return self._loader(order, lambda: 0)

    def forecast_origins(self) -> np.ndarray:
        """Give the days that ``predict`` makes forecasts from, in order, as indices of the time axis.

        Raises:
            SplitError: a day is not in the data.
        """
        return self.forecasts.days(self.grid.axis, self._span("test") if self.forecasts.every else (0, 0))

    @property
    def forecast_grid(self) -> Grid:
        """Grid of what ``predict`` forecasts: ``grid`` with the histories of weather that are asked for."""
        asked = self.forecasts.realizations or self.grid.realizations
        return replace(self.grid, realizations=min(asked, self.grid.realizations))

    @property
    def in_memory(self) -> bool:
        """Whether the data are held in memory, known after ``setup``."""
        limit = (
            self.memory_gib * 2**30 if self.memory_gib is not None else memory_for_data(self._local_processes)
        )
        return self._bytes(self.grid.series) + self._threshold_bytes(self.grid.cells) <= limit

    def ensure_statistics(self) -> HydroStatistics:
        """Make scales and climatology of the training, unless a checkpoint has brought them.

        The dataloaders do it; it takes one pass over the data.

        Raises:
            VariableError: data and checkpoint do not fit.
            ValueError: there are too few years for a climatology.
        """
        self._prepare()
        assert self._statistics is not None
        return self._statistics

    def state_dict(self) -> dict[str, Any]:
        return {} if self._statistics is None else {"statistics": self._statistics.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if "statistics" in state_dict:
            self._statistics = HydroStatistics.from_state_dict(state_dict["statistics"])
            self._prepared = None

    @property
    def _local_processes(self) -> int:
        return self.trainer.num_devices if self.trainer is not None else 1

    @property
    def _shape(self) -> WindowShape:
        columns = self.source.columns
        return WindowShape(
            seq_length=self.seq_length,
            horizon=self.leads[-1],
            inputs=len(columns.inputs),
            weather=(columns.weather_leads, len(columns.weather)),
        )

    def _bytes(self, series: int) -> int:
        return series * self.grid.axis.size * self.source.columns.width * 4

    def _threshold_bytes(self, cells: int) -> int:
        days = min(self.grid.axis.size, _CALENDAR_DAYS) + 2 * self._shape.days
        return cells * days * len(DROUGHT_LEVELS) * 4 * self.anomaly

    @property
    def _block_series(self) -> int:
        """Series whose values and thresholds fit into a block."""
        return max(1, int(self.block_mib * 2**20) // (self._bytes(1) + self._threshold_bytes(1)))

    @property
    def _run_series(self) -> int:
        """Neighbouring series that are read together: of files as they are, those of a chunk."""
        if self.in_memory or isinstance(self.source, CellMajorSource):
            return _RUN_SERIES
        return max(_RUN_SERIES, int(np.median([group.size for group in self.source.groups()])))

    def _span(self, split: str) -> tuple[int, int]:
        return self.periods.spans(self.grid.axis)[split]

    def _series(self, split: str) -> np.ndarray:
        cells = split_cells(self.grid, split, self.interval_value, self.block_split, self.seed)
        series = (np.arange(self.grid.realizations)[:, None] * self.grid.cells + cells).ravel()
        if self.in_memory or isinstance(self.source, CellMajorSource):
            return series
        neighbours = np.concatenate(self.source.groups())
        return neighbours[np.isin(neighbours, series)]

    def _starts(self, split: str, span: tuple[int, int]) -> tuple[int, int]:
        first, end = window_starts(span, self.seq_length, self.warmup, self.leads[-1])
        if end <= first:
            raise SplitError(
                f"The {span[1] - span[0]} days of {split} are too few: a window has "
                f"seq_length={self.seq_length} days, "
                f"of which warmup={self.warmup} may lie before, and the longest lead is {self.leads[-1]} "
                f"days. Give "
                f"{split} more days, or lower seq_length or leads."
            )
        return first, end

    def _evaluation(self, split: str) -> BatchLoader:
        first, end = self._starts(split, self._span(split))
        order = EvaluationOrder(
            series=self._series(split),
            starts=np.arange(first, end, self.evaluate_every),
            batch_size=self.batch,
            rank=self._rank,
            world_size=self._world_size,
            block_series=0 if self.in_memory else self._block_series,
        )
        return self._loader(order, lambda: 0)

    def _loader(self, order: Any, epoch: Any) -> BatchLoader:
        windows: Any = self._prepare()
        return BatchLoader(OrderedBatches(windows, order, epoch, read_ahead=0))

    def _prepare(self) -> MemoryWindows | BlockWindows:
        """Get statistics, and the data where they fit into memory."""
        if self._prepared is not None:
            return self._prepared.windows
        data = TrainingData(
            source=self.source,
            shape=self._shape,
            leads=self.leads,
            context=len(self.context_names),
            block_series=self._block_series,
            in_memory=self.in_memory,
            train=lambda: self._span("train"),
            train_cells=lambda: split_cells(
                self.grid, "train", self.interval_value, self.block_split, self.seed
            ),
        )
        if not self.in_memory and not isinstance(self.source, CellMajorSource):
            rank_zero_warn(
                f"The data are read block by block from files as they are, {self.source.reads_per_use():.1f} "
                f"values for each that is used. Write them into the layout that trains fastest: python -m "
                f"lightning_itwin.datamodules.hydro convert PATH --out FOLDER, and set path to the folder."
            )
        self._prepared = data.prepare(self._statistics, self.anomaly)
        self._statistics = self._prepared.statistics
        return self._prepared.windows
