"""hython, the predecessor of the drought use case, as it stands: its loader, its model and its trainer.

It is not installed (the package of that name on PyPI is another one): a folder with its source is given.

    git clone https://github.com/interTwin-eu/hython && git -C hython checkout c00b6fb
    pip install dask hydra-core omegaconf cf_xarray urllib3
"""

# T days, F features, S maps

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.result_page import command_line

COMMIT = "c00b6fb"
HOW_TO_GET_IT = (
    f"hython is not measured: give its source with --hython FOLDER "
    f"(git clone https://github.com/interTwin-eu/hython && git -C hython checkout {COMMIT}; "
    f"pip install dask hydra-core omegaconf cf_xarray urllib3)."
)
DYNAMIC = {
    "precip": "precipitation",
    "pet": "potential_evapotranspiration",
    "temp": "temperature",
}
TARGET = "vwc"
MASK = "mask_missing"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of hython's ``itwinai/training.yaml``.

    Args:
        seq_length: days of a window.
        hidden_size, dropout: of the LSTM.
        batch: windows of a step.
        epochs: of the training.
        learning_rate: of Adam.
    """

    seq_length: int = 120
    hidden_size: int = 64
    dropout: float = 0.1
    batch: int = 256
    epochs: int = 30
    learning_rate: float = 1e-3


def folder(path: str | None) -> Path | None:
    """Check a folder with hython's source and let Python find it.

    Raises:
        SystemExit: it is another folder, or hython needs a package that is missing.
    """
    if path is None:
        return None
    found = Path(path).resolve()
    if not (found / "hython" / "datasets" / "wflow_sbm.py").exists():
        raise SystemExit(f"error: {found} has no hython/datasets/wflow_sbm.py. {HOW_TO_GET_IT}")
    sys.path.insert(0, str(found))
    try:
        importlib.import_module("hython.datasets")
        importlib.import_module("hython.trainer")
    except ModuleNotFoundError as error:
        raise SystemExit(f"error: hython needs {error.name}. {HOW_TO_GET_IT}") from error
    return found


def command(path: str | None) -> str:
    """Give the command of this benchmark without the place of hython's source."""
    return command_line().replace(path, "FOLDER") if path else command_line()


def write_cube(run: Any, statics: list[str], path: Path) -> None:
    """Write one realization of a simulated region as hython reads it: two Zarr stores.

    Args:
        run: from ``AlpsSimulator.run``.
        statics: names of maps of the terrain.
        path: folder for ``dynamic.zarr`` and ``static.zarr``.
    """
    import xarray

    rows, columns = run.precipitation.shape[-2:]
    grid = {"lat": np.arange(rows, dtype=float), "lon": np.arange(columns, dtype=float)}
    dims = ("time", "lat", "lon")
    fields = {short: (dims, getattr(run, name)[0]) for short, name in DYNAMIC.items()}
    fields[TARGET] = (dims, run.soil_moisture[0])
    time = run.time.astype("datetime64[ns]")
    dynamic = xarray.Dataset(fields, coords={"time": time, **grid})
    dynamic.to_zarr(path / "dynamic.zarr", mode="w", zarr_format=2)
    maps = {
        name: (dims[1:], np.asarray(getattr(run.simulator.terrain, name)).reshape(rows, columns))
        for name in statics
    }
    maps[MASK] = (dims[1:], np.zeros((rows, columns), dtype=bool))
    xarray.Dataset(maps, coords=grid).to_zarr(path / "static.zarr", mode="w", zarr_format=2)


def config(
    path: Path, statics: list[str], train: tuple[str, str], valid: tuple[str, str], recipe: Recipe
) -> Any:
    """Give hython's configuration for a cube from :func:`write_cube`.

    Args:
        path: its folder.
        statics: names of maps.
        train, valid: first and last day of a period.
        recipe: settings.
    """
    from hython.config import Config
    from hython.losses import RMSELoss
    from hython.metrics import MSEMetric
    from hython.scaler import StandardScaler

    made = Config()
    kinds = {"dynamic_inputs": list(DYNAMIC), "static_inputs": list(statics), "target_variables": [TARGET]}
    files = {"dynamic_inputs": str(path / "dynamic.zarr"), "static_inputs": str(path / "static.zarr")}
    settings = {
        **kinds,
        "experiment_name": "benchmark",
        "experiment_run": "1",
        "work_dir": str(path),
        "train_temporal_range": list(train),
        "valid_temporal_range": list(valid),
        "train_downsampler": None,
        "valid_downsampler": None,
        "mask_variables": [MASK],
        "data_lazy_load": False,
        "data_source": {"file": files, "xarray_kwargs": {"consolidated": True}},
        "preprocessor": {},
        "scaler": {kind: {"variant": [StandardScaler(names)]} for kind, names in kinds.items()},
        "seq_length": recipe.seq_length,
        "hidden_size": recipe.hidden_size,
        "dropout": recipe.dropout,
        "lstm_layers": 1,
        "lstm_batch_norm": False,
        "model_head_layer": "regression",
        "model_head_activation": "linear",
        "model_head_kwargs": {},
        "loss_fn": RMSELoss(),
        "metric_fn": MSEMetric(),
        "optimizer": "adam",
        "lr_scheduler": {"mode": "min", "factor": 0.5, "patience": 10},
        "learning_rate": recipe.learning_rate,
        "batch": recipe.batch,
        "epochs": recipe.epochs,
        "gradient_clip": {"max_norm": 1.0},
        "target_weights": "even",
        "predict_steps": 0,
        "regularization": None,
    }
    for name, value in settings.items():
        setattr(made, name, value)
    return made


def datasets(made: Any) -> tuple[Any, Any]:
    """Give hython's data sets of training and validation; the scaler knows training only."""
    from hython.datasets import get_dataset
    from hython.scaler import Scaler

    scaler = Scaler(made)
    kind = get_dataset("WflowSBM_HPC")
    train = kind(made, scaler, True, "train")
    return train, kind(made, scaler, False, "valid")


def loader(dataset: Any, batch: int, sampling: str, drop_last: bool = False) -> torch.utils.data.DataLoader:
    """Give the loader that hython's pipeline makes, in the process that trains.

    Args:
        dataset: from :func:`datasets`.
        batch: windows of a step.
        sampling: ``"random"`` or ``"sequential"``.
        drop_last: drop an incomplete batch.
    """
    from hython.sampler import SamplerBuilder

    sampler = SamplerBuilder({}, dataset, sampling=sampling, processing="single-gpu").get_sampler()
    return torch.utils.data.DataLoader(dataset, batch_size=batch, sampler=sampler, drop_last=drop_last)
