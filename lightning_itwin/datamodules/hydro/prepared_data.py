"""From values in the variables' units to windows of standardised ones: first statistics, then all by them."""

# N series, M cells, R realizations, T days, V columns, S maps, C context series

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.datamodules.hydro.cell_major import CellMajorSource
from lightning_itwin.datamodules.hydro.column_sums import DomainMeans
from lightning_itwin.datamodules.hydro.machine_memory import return_freed_memory
from lightning_itwin.datamodules.hydro.preparation import Preparation
from lightning_itwin.datamodules.hydro.source import CubeSource
from lightning_itwin.datamodules.hydro.splits import SplitError
from lightning_itwin.datamodules.hydro.statistics import HydroStatistics, TrainingPass, join
from lightning_itwin.datamodules.hydro.windows import (
    BlockBuffer,
    BlockWindows,
    MemoryWindows,
    WindowMaker,
    WindowShape,
)
from lightning_itwin.hydrology.climatology import Climatology
from lightning_itwin.hydrology.reference_forecasts import ReferenceForecasts

_LEAST_YEARS_OF_NEW_CELLS = 5
_SERIES_AT_ONCE = 256
_MOST_AT_ONCE = 1024
_TILE_BYTES = 2**27


@dataclass(frozen=True, kw_only=True)
class PreparedData:
    """Data that are ready to be cut into windows.

    Args:
        windows: cuts them.
        statistics: of the training.
        climatology, reference_forecasts: for the cells of these data, in their order.
    """

    windows: MemoryWindows | BlockWindows
    statistics: HydroStatistics
    climatology: Climatology | None
    reference_forecasts: ReferenceForecasts | None


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Data that are to be prepared.

    Args:
        source: reads values.
        shape: of a window.
        leads: of forecasts, in days.
        context: number of context series, C: the inputs, then the target.
        block_series: series in a block.
        in_memory: whether all values are held in memory.
        train: gives the days of training.
        train_cells: gives the cells of training.
    """

    source: CubeSource
    shape: WindowShape
    leads: list[int]
    context: int
    block_series: int
    in_memory: bool
    train: Callable[[], tuple[int, int]]
    train_cells: Callable[[], np.ndarray]

    def prepare(self, statistics: HydroStatistics | None, anomaly: bool) -> PreparedData:
        """Prepare the data.

        Args:
            statistics: of a training that was, or None for one that begins.
            anomaly: whether the target is an anomaly.

        Raises:
            VariableError: the columns are not those of the statistics, or have values that cannot be.
            SplitError: there are cells without a climatology.
            ValueError: the training period is too short for one.
        """
        source, grid = self.source, self.source.grid
        values = self._read_all() if self.in_memory else None
        if statistics is None:
            train = self.train()
            leads = self.leads if anomaly else []
            training = TrainingPass(source.columns, grid, train, self.train_cells(), leads)
            statistics = training.run(self._cell_blocks(values, *train), source.statics)
            return_freed_memory()
        statistics.check_columns(source.columns)
        climatology, reference = self._of_these_cells(statistics, values) if anomaly else (None, None)
        preparation = Preparation(statistics, grid, climatology)
        maps = torch.from_numpy(np.ascontiguousarray(source.statics))
        static = ((maps - statistics.static_mean) / statistics.static_deviation).nan_to_num(0.0, 0.0, 0.0)
        context = self._prepare_values(values, preparation)
        maker = WindowMaker(self.shape, grid, static, context, preparation)
        windows: MemoryWindows | BlockWindows
        if values is not None:
            windows = MemoryWindows(maker, values, grid.cells)
        else:
            windows = BlockWindows(maker, source, preparation, BlockBuffer())
        return PreparedData(
            windows=windows, statistics=statistics, climatology=climatology, reference_forecasts=reference
        )

    def _read_all(self) -> Tensor:
        grid = self.source.grid
        values = torch.empty(grid.series, grid.axis.size, self.source.columns.width)
        array = values.numpy()
        for series, first, end in self.source.tiles(_TILE_BYTES):
            neighbours = series.size == series[-1] - series[0] + 1
            if neighbours and end - first == grid.axis.size:
                self.source.read(series, first, end, array[series[0] : series[-1] + 1])
            else:
                array[series, first:end] = self.source.read(series, first, end)
        return values

    def _series_of(self, cells: np.ndarray) -> np.ndarray:
        """Give the series of some cells, all of the first realization, then of the next."""
        grid = self.source.grid
        return (np.arange(grid.realizations)[:, None] * grid.cells + cells).ravel()

    def _cell_blocks(
        self, values: Tensor | None, first: int, end: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give the values of some cells after others, all realizations of a cell in one block."""
        step = max(1, min(self.block_series // self.source.grid.realizations, _SERIES_AT_ONCE))
        for cells in self._neighbours(values is not None, step):
            series = self._series_of(cells)
            yield series, self._values_of(series, first, end, values)

    def _neighbours(self, in_memory: bool, most: int) -> Iterator[np.ndarray]:
        """Give all cells, by groups that are read together well."""
        cells = self.source.grid.cells
        groups = [np.arange(cells)] if in_memory else [one for one in self.source.groups() if one[0] < cells]
        step = most if in_memory else max(most, min(_MOST_AT_ONCE, max(one.size for one in groups)))
        if not in_memory and isinstance(self.source, CellMajorSource):
            groups, step = [np.arange(cells)], most
        for group in groups:
            for begin in range(0, group.size, step):
                yield group[begin : begin + step]

    def _values_of(self, series: np.ndarray, first: int, end: int, values: Tensor | None) -> np.ndarray:
        if values is None:
            return self.source.read(series, first, end)
        if series.size == series[-1] - series[0] + 1:
            return values.numpy()[series[0] : series[-1] + 1, first:end]
        return values.numpy()[series, first:end]

    def _prepare_values(self, values: Tensor | None, preparation: Preparation) -> Tensor:
        """Prepare what is in memory in place, and give the means of the domain, (R, T, C)."""
        grid = self.source.grid
        means = DomainMeans(grid.realizations, grid.axis.size, self.context)
        if values is None and not self.context:
            return means.result()
        chosen = [*range(len(self.source.columns.inputs)), -1][: self.context]
        step = min(self.block_series, _SERIES_AT_ONCE)
        histories = np.arange(grid.realizations) * grid.cells
        for series in (
            base + cells for base in histories for cells in self._neighbours(values is not None, step)
        ):
            if values is None:
                block = torch.from_numpy(self.source.read(series, 0, grid.axis.size))
            else:
                block = values[int(series[0]) : int(series[-1]) + 1]
            missing = ~block[:, :, chosen].isfinite() if self.context else None
            preparation(block, series, 0)
            if missing is not None:
                means.add(series // grid.cells, block[:, :, chosen], missing)
        return means.result()

    def _of_these_cells(
        self, statistics: HydroStatistics, values: Tensor | None
    ) -> tuple[Climatology, ReferenceForecasts | None]:
        """Give both in the order of these cells; make those of new cells where years suffice."""
        known, reference = statistics.climatology, statistics.reference_forecasts
        if known is None:
            raise SplitError(
                "The checkpoint was trained with anomaly=False and has no climatology; set anomaly to false."
            )
        grid = self.source.grid
        cells, new = statistics.cells_of(grid)
        if not new.size and np.array_equal(cells, np.arange(len(known))):
            return known, reference
        at = torch.from_numpy(cells)
        state = known.state_dict()
        names = ("mean", "standard_deviation", "percentiles")
        parts = {name: state[name][at] for name in names}
        if reference is not None:
            tables = reference.state_dict()
            for name in ("coefficient", "spread"):
                of_cells = tables[name][at]
                of_cells[torch.from_numpy(new)] = tables[name].mean(0)
                tables[name] = of_cells
            reference = ReferenceForecasts.from_state_dict(tables)
        if new.size:
            made = self._climatology_of(new, values).state_dict()
            for name in names:
                parts[name][torch.from_numpy(new)] = made[name]
        return (
            Climatology(
                parts["mean"],
                parts["standard_deviation"],
                parts["percentiles"],
                known.levels,
                known.window_days,
            ),
            reference,
        )

    def _climatology_of(self, cells: np.ndarray, values: Tensor | None) -> Climatology:
        grid = self.source.grid
        first, end = self.train()
        if end - first < 360 * _LEAST_YEARS_OF_NEW_CELLS:
            lat, lon = grid.positions()[cells[0]]
            raise SplitError(
                f"{cells.size} of {grid.cells} cells, such as {lat:.4f} N {lon:.4f} E, are none of the "
                f"training's, "
                f"so there is no climatology of them, and the training period has {end - first} days in "
                f"these data: "
                f"{_LEAST_YEARS_OF_NEW_CELLS} years are needed for one. Give more years, or the training's "
                f"cells."
            )
        fraction = torch.from_numpy(grid.axis.year_fraction()[first:end]).repeat(grid.realizations)
        found = []
        for begin in range(0, cells.size, _SERIES_AT_ONCE):
            some = cells[begin : begin + _SERIES_AT_ONCE]
            series = self._series_of(some)
            block = (
                self.source.read(series, first, end) if values is None else values.numpy()[series, first:end]
            )
            target = np.moveaxis(block[:, :, -1].reshape(grid.realizations, some.size, -1), 0, 1)
            found.append(Climatology.fit(np.ascontiguousarray(target).reshape(some.size, -1), fraction))
        return join(found)
