"""CarbonTracker: what energy a training draws, and how much carbon dioxide that means."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn

from lightning_itwin.callbacks.collectives import gather
from lightning_itwin.callbacks.epoch_timer import EpochTimer
from lightning_itwin.callbacks.measuring_callback import MeasuringCallback
from lightning_itwin.callbacks.node_gpus import share_gpus
from lightning_itwin.callbacks.sample_counter import SampleCounter
from lightning_itwin.meters import host
from lightning_itwin.meters.emissions_file import EmissionsFile
from lightning_itwin.meters.energy import EnergyMeter, EnergyReading
from lightning_itwin.meters.energy_ledger import EnergyLedger
from lightning_itwin.meters.energy_totals import EnergyTotals
from lightning_itwin.meters.gpu import GPUMeter
from lightning_itwin.meters.grid import Grid, check_grid, find_grid
from lightning_itwin.meters.offline_tracker import configuration
from lightning_itwin.meters.processor_energy import ProcessorEnergy
from lightning_itwin.optional import require
from lightning_itwin.records import GPURecord, tags

_WAIT_S = 5.0  # for codecarbon to get ready, at the end of a training shorter than that takes


class CarbonTracker(MeasuringCallback):
    """Adds up the energy of processors, memory and GPUs in use, and the carbon dioxide of the grid for it.

    One process a node tracks, however many ranks it has: processors and memory of the whole node by
    codecarbon's offline tracker, and every GPU that a rank trains on, once, by the hardware's counter. The
    network is asked nothing. The carbon intensity is the user's; else that of the country which codecarbon's
    configuration names; else that of the only country of the system's time zone, which is said in a message.
    Where nothing tells, energy is measured and emissions are not.

    A row is written at the end of every epoch, in long epochs every ``interval_s``, and at the end of the
    training; ``emissions.csv`` in the run's folder is what codecarbon's own tools read. A training resumed
    from a checkpoint goes on counting in its scalars; its rows tell of its own part alone.

    Logged metrics, at the end of every epoch, of all nodes together since the training began:
    ``carbon/energy_kwh``, ``carbon/emissions_kg``, ``carbon/measured_percent`` (share that came from a sensor
    rather than a model), ``carbon/energy_wh_per_1000_samples``, ``carbon/emissions_g_per_1000_samples``; and
    ``carbon/epoch_energy_wh`` of the epoch.

    Args:
        country_iso_code: ISO 3166-1 alpha-3 code of the country of the grid, such as ``"DEU"``.
        region: part of it, where codecarbon knows any: USA, CAN, CHN, SWE, NOR, FIN.
        carbon_intensity_g_per_kwh: carbon intensity of the grid, from 0; comes before the country's.
        pue: power usage effectiveness of the data centre, at least 1; by default codecarbon's configuration
            or 1.
        interval_s: longest time between two rows, at least 1 s.
        project_name: name for codecarbon's dashboard; by default codecarbon's configuration, or the module's
            class.
        batch_size_fn: gives the number of samples of a batch; by default Lightning's own rule, the length of
            the first tensor in it.

    Raises:
        MissingExtraError: codecarbon is not installed.
        ValueError: an argument is out of its range, or codecarbon knows no such country or region.

    Reference:
        codecarbon, https://codecarbon.io; its figures of processors without RAPL and of memory are models.

    >>> from lightning.pytorch import Trainer
    >>> tracker = CarbonTracker(country_iso_code="ITA")
    >>> trainer = Trainer(callbacks=[tracker], logger=False, enable_model_summary=False)
    """

    brings = (EpochTimer,)

    def __init__(
        self,
        country_iso_code: str | None = None,
        region: str | None = None,
        carbon_intensity_g_per_kwh: float | None = None,
        pue: float | None = None,
        interval_s: float = 15.0,
        project_name: str | None = None,
        batch_size_fn: Callable[[Any], int] | None = None,
    ) -> None:
        require("codecarbon", extra="carbon")
        if pue is not None and not (math.isfinite(pue) and pue >= 1):
            raise ValueError(f"CarbonTracker(pue={pue}): a data centre's PUE is at least 1, such as 1.2")
        if not (math.isfinite(interval_s) and interval_s >= 1):
            raise ValueError(f"CarbonTracker(interval_s={interval_s}): at least 1 s; 15.0 is a good choice")
        self._named = check_grid(country_iso_code, region, carbon_intensity_g_per_kwh, source="user")
        self._pue = pue
        self._interval_s = interval_s
        self._project_name = project_name
        self._counter = SampleCounter(batch_size_fn)
        self._earlier = EnergyTotals()
        self._ledger: EnergyLedger | None = None
        self._meter: EnergyMeter | None = None
        self._processors: ProcessorEnergy | None = None
        self._file: EmissionsFile | None = None
        self._gpu_names: Mapping[str, int] = {}
        self._said: set[str] = set()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            self._ledger = self._meter = self._processors = self._file = None
            if self.run.keeps:
                self._prepare(trainer, pl_module)

    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._ledger is None:
            return
        if trainer.global_step == 0:  # a new training, not one that goes on
            self._earlier = EnergyTotals()
        self._ledger.begin(self._earlier)
        if self._meter is not None:
            self._meter.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._ledger is not None:
            self._ledger.count(self._counter.count(batch))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._ledger is None:
            return
        reading = self._meter.read(_WAIT_S) if self._meter is not None else None
        self._ledger.add_up(gather(trainer, self._ledger.row(reading)))
        if reading is not None:
            self._keep(reading, trainer.current_epoch)
        self._warn_of_failure()
        self.run.log(trainer, _scalars(self._ledger))

    def stop(self) -> None:
        if self._ledger is None:
            return
        reading = self._meter.stop(_WAIT_S) if self._meter is not None else None
        if reading is not None:
            self._keep(reading)
        self._warn_of_failure()
        self._earlier = self._ledger.until(reading)
        self._ledger = self._meter = None

    def state_dict(self) -> dict[str, Any]:
        if self._ledger is None or not self._running:
            return dataclasses.asdict(self._earlier)
        reading = self._meter.read() if self._meter is not None else None
        return dataclasses.asdict(self._ledger.until(reading))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._earlier = EnergyTotals(**state_dict)

    def _prepare(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Agree with the other ranks on who reads what, and get this rank's meter ready; collective."""
        rank = trainer.global_rank
        machines = [row[0] for row in gather(trainer, [host.machine_number()])]
        self._ledger = EnergyLedger(rank=rank, machines=machines)
        gpus = share_gpus(trainer) if _uses_gpus(trainer) else None
        if gpus is not None and gpus.warns:
            self._warn(f"the energy of GPUs is missing: {gpus.fault}")
        mine = gpus.mine if gpus is not None else ()
        if not (self._ledger.leads or mine):
            return
        settings = configuration()
        pue = self._pue or _pue(settings)
        if self._ledger.leads:
            self._ledger.grid = self._named or self._find_grid(settings)
            name = self._project_name or settings.get("project_name") or type(pl_module).__name__
            self._processors = ProcessorEnergy(self._ledger.grid, project_name=name, pue=pue)
            self._processors.prepare()
            self._file = EmissionsFile(self.run.folder, rank)
            self._gpu_names = Counter(gpu.name for gpu in mine)
        self._meter = EnergyMeter(
            processors=self._processors,
            gpus=GPUMeter(gpus.sensors, mine, _pass_over) if gpus is not None and mine else None,
            pue=pue,
            interval_s=self._interval_s,
            take=self._keep,
        )

    def _find_grid(self, settings: Mapping[str, str]) -> Grid:
        try:
            grid = find_grid(settings)
        except ValueError as error:
            self._warn(f"codecarbon's configuration names no grid that it knows: {error}")
            grid = find_grid({})
        if "grid" not in self._said:
            self._said.add("grid")
            if grid.known:
                rank_zero_info(
                    f"CarbonTracker: the electricity grid is that of {grid.country_iso_code or 'the user'}, "
                    f"by {grid.detail}. CarbonTracker(country_iso_code=...) names another."
                )
            else:
                rank_zero_warn(
                    "CarbonTracker: nothing tells the country of the electricity grid, so that energy is "
                    "measured and emissions are not. Name it: CarbonTracker(country_iso_code='DEU')."
                )
        return grid

    def _keep(self, reading: EnergyReading, epoch: int | None = None) -> None:
        """Write the rows of this node; the meter's thread calls it too."""
        ledger = self._ledger
        if ledger is None or not ledger.leads:
            return
        reading = reading.with_gpus(ledger.neighbours_kwh)
        self.run.write(ledger.record(reading, node=self.run.node, epoch=epoch))
        if self._file is not None and reading.row is not None and self.run.keeps:
            try:
                self._file.write(reading.codecarbon_row(self._gpu_names))
            except OSError as error:
                self._file = None
                self._warn(f"emissions.csv cannot be written: {error}")

    def _warn_of_failure(self) -> None:
        failure = self._processors.failure if self._processors is not None else ""
        if failure and failure not in self._said:
            self._said.add(failure)
            self._warn(
                f"codecarbon gives no energy of processors and memory: {failure}. "
                "CODECARBON_LOG_LEVEL=warning lets it say more"
            )

    def _warn(self, text: str) -> None:
        warnings.warn(f"CarbonTracker on {self.run.node}: {text}. The training goes on.", stacklevel=3)


def _uses_gpus(trainer: Trainer) -> bool:
    return trainer.strategy.root_device.type == "cuda"


def _scalars(ledger: EnergyLedger) -> dict[str, float | None]:
    training, epoch_kwh = ledger.training, ledger.epoch.energy_kwh
    energy_wh = None if training.energy_kwh is None else training.energy_kwh * 1000
    emissions_g = None if training.emissions_kg is None else training.emissions_kg * 1000
    return {
        tags.CARBON_ENERGY_KWH: training.energy_kwh,
        tags.CARBON_EMISSIONS_KG: training.emissions_kg,
        tags.CARBON_MEASURED_PERCENT: training.measured_percent,
        tags.CARBON_EPOCH_ENERGY_WH: None if epoch_kwh is None else epoch_kwh * 1000,
        tags.CARBON_ENERGY_WH_PER_1000_SAMPLES: training.per_1000_samples(energy_wh),
        tags.CARBON_EMISSIONS_G_PER_1000_SAMPLES: training.per_1000_samples(emissions_g),
    }


def _pue(settings: Mapping[str, str]) -> float:
    try:
        pue = float(settings.get("pue", 1.0))
    except ValueError:  # codecarbon takes it for 1 as well
        return 1.0
    return pue if math.isfinite(pue) and pue >= 1 else 1.0


def _pass_over(row: GPURecord) -> None:
    """Rows of GPUs are the GPUMonitor's to write."""
