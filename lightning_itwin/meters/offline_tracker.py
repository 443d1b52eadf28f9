"""codecarbon's offline tracker: made quickly, kept off the network, and quiet."""

from __future__ import annotations

import importlib
import logging
import os
import platform
import shutil
from typing import Any

from lightning_itwin.meters import host
from lightning_itwin.meters.grid import Grid
from lightning_itwin.optional import require

_NEVER_S = 1e7  # codecarbon's own measuring thread sleeps: readings are asked for, one at a time
_HISTORY = 3600  # readings of utilisation, one a second
_CPU_SOURCES = {"intel_rapl": "rapl", "cpu_load": "load", "constant": "constant"}


class RowTaker:
    """Takes codecarbon's row instead of a file: what codecarbon calls an output handler."""

    total: Any = None

    def out(self, total: Any, delta: Any) -> None:
        self.total = total

    def live_out(self, total: Any, delta: Any) -> None:
        pass

    def task_out(self, data: Any, experiment_name: str) -> None:
        pass

    def exit(self) -> None:
        pass


def configuration() -> dict[str, str]:
    """Give what codecarbon's configuration files and environment variables say, value by name."""
    config = require("codecarbon.core.config", extra="carbon")
    logging.getLogger("codecarbon").setLevel(logging.ERROR)  # its import sets another level
    settings: dict[str, str] = config.get_hierarchical_config()
    return settings


def build_tracker(grid: Grid, output: RowTaker, project_name: str, pue: float) -> Any:
    """Make codecarbon's tracker ready to start; what it may ask of the network is turned off.

    Args:
        grid: whose electricity the node draws.
        output: takes its rows, whenever it is asked to ``flush``.
        project_name: name for codecarbon's dashboard.
        pue: power usage effectiveness of the data centre, at least 1.
    """
    settings = configuration()
    codecarbon = require("codecarbon", extra="carbon")
    _spare_scontrol()
    _spare_cpuinfo()
    tracker = codecarbon.OfflineEmissionsTracker(
        country_iso_code=grid.country_iso_code,
        region=grid.region,
        # without a grid codecarbon would take the world's mean: its emissions are not used then
        force_carbon_intensity_g_co2e_kwh=grid.intensity_g_per_kwh if grid.known else 0.0,
        cloud_provider=None,
        cloud_region=None,
        country_2letter_iso_code=None,
        project_name=project_name,
        pue=pue,
        tracking_mode="machine",
        measure_power_secs=_NEVER_S,
        api_call_interval=-1,
        allow_multiple_runs=True,  # otherwise it takes a lock file, and SIGINT and SIGTERM with it
        output_dir=os.curdir,
        output_methods=[],
        output_handlers=[output],
        emissions_endpoint=None,
        electricitymaps_api_token="",  # None would let an old configuration file bring its token in
        log_level=settings.get("log_level", "error"),
    )
    tracker.get_detected_hardware()
    importlib.import_module("codecarbon.core.emissions")
    if grid.country_iso_code is not None and grid.intensity_g_per_kwh is None:
        importlib.import_module("codecarbon.input").DataSource().get_global_energy_mix_data()
    return tracker


def cpu_source(tracker: Any) -> str | None:
    """Say how the processor is measured: ``"rapl"``, ``"load"`` or ``"constant"``; None if it is unknown."""
    modes = [getattr(part, "_mode", None) for part in getattr(tracker, "_hardware", ())]
    return next((_CPU_SOURCES[mode] for mode in modes if mode in _CPU_SOURCES), None)


def trim(tracker: Any) -> None:
    """Forget utilisations, of which codecarbon keeps one a second for as long as it runs."""
    if len(getattr(tracker, "_cpu_utilization_history", ())) > _HISTORY:
        tracker._clear_utilization_history()


def _spare_scontrol() -> None:
    """In a SLURM job codecarbon asks ``scontrol``, and fails in a container that has none."""
    if shutil.which("scontrol") is None:
        for name in ("codecarbon.core.util", "codecarbon.external.ram"):
            vars(importlib.import_module(name))["SLURM_JOB_ID"] = None


def _spare_cpuinfo() -> None:
    """Tell codecarbon the processor's name, for which it would run a process of more than a second."""
    name = host.cpu_name()
    if name in (platform.processor(), platform.machine()):  # /proc/cpuinfo does not have it
        return
    cpuinfo: Any = importlib.import_module("cpuinfo")
    asked = cpuinfo.get_cpu_info
    cpuinfo.get_cpu_info = lambda: {"brand_raw": name}
    try:
        importlib.import_module("codecarbon.core.util").detect_cpu_model()  # which remembers the answer
    finally:
        cpuinfo.get_cpu_info = asked
