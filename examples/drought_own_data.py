"""From NetCDF files of your own to a drought forecast that xarray opens: python examples/drought_own_data.py

Makes files as they come from elsewhere (other names, packed integers, latitude from north to south, a
calendar without leap days, gaps), then fits, tests and predicts for a few steps, in two minutes on a CPU
core. After so few steps a forecast is worth little: leave limit_train_batches out and give it more epochs.

Needs the extra: pip install 'lightning-itwin[drought]'
"""

from pathlib import Path

import cftime
import lightning.pytorch as pl
import numpy as np
import xarray as xr

from lightning_itwin.datamodules import GriddedHydroDataModule
from lightning_itwin.datamodules.hydro import ForecastOrigins, HydroVariables, SplitPeriods
from lightning_itwin.hydrology import AlpsSimulator
from lightning_itwin.models import DroughtForecaster

FOLDER = Path("data/drought_own_data")
FIRST, YEARS, ROWS, COLUMNS = 1990, 12, 8, 10


def make_files(folder: Path) -> None:
    """Write weather and soil moisture, a file a year, and a file of maps, from a simulated region."""
    folder.mkdir(parents=True, exist_ok=True)
    run = AlpsSimulator(years=YEARS, rows=ROWS, columns=COLUMNS, first_year=FIRST).run()
    dates = [str(day) for day in run.time]
    kept = [place for place, date in enumerate(dates) if not date.endswith("02-29")]
    noleap = [cftime.DatetimeNoLeap(*map(int, dates[place].split("-"))) for place in kept]
    rain, warmth, demand, soil = (
        getattr(run, name)[0, kept, ::-1].copy()  # from north to south
        for name in ("precipitation", "temperature", "potential_evapotranspiration", "soil_moisture")
    )
    soil[400:430] = np.nan  # the satellite was off
    soil[:, 0, :3] = np.nan  # a lake
    dims, space = ("valid_time", "latitude", "longitude"), ("latitude", "longitude")
    grid = {"latitude": np.linspace(47.4, 46.0, ROWS), "longitude": np.linspace(10.0, 11.8, COLUMNS)}
    weather = xr.Dataset(
        {
            "tp": (dims, rain / 86400, {"units": "kg m-2 s-1"}),
            "t2m": (dims, warmth + 273.15, {"units": "K"}),
            "et0": (dims, demand, {"units": "mm d-1"}),
            "theta_root": (dims, soil, {"units": "m3 m-3", "long_name": "soil moisture of the root zone"}),
        },
        coords={"valid_time": noleap, **grid},
    )
    packed = {"dtype": "int16", "_FillValue": np.int16(-32768)}
    encoding = {
        "tp": {**packed, "scale_factor": 2e-7, "add_offset": 0.004},
        "t2m": {**packed, "scale_factor": 0.005, "add_offset": 273.15},
        "theta_root": {**packed, "scale_factor": 2e-5, "add_offset": 0.4},
    }
    for year, of_year in weather.groupby("valid_time.year"):
        of_year.to_netcdf(folder / f"weather_{year}.nc", encoding=encoding)
    terrain = run.simulator.terrain
    maps = {name: getattr(terrain, name).reshape(ROWS, COLUMNS)[::-1] for name in ("elevation", "root_depth")}
    lake = np.isnan(soil).all(axis=0).astype("int8")
    maps_file = xr.Dataset({name: (space, values) for name, values in (maps | {"lake": lake}).items()}, grid)
    maps_file.to_netcdf(folder / "maps.nc")


def main() -> None:
    """Make the files, fit, test, predict, and look at the forecast."""
    make_files(FOLDER)
    data = GriddedHydroDataModule(
        path=[str(FOLDER / "weather_*.nc"), str(FOLDER / "maps.nc")],
        variables=HydroVariables(
            inputs=["tp", "t2m", "et0"],
            target="theta_root",
            statics=["elevation", "root_depth"],
            mask="not lake",
        ),
        periods=SplitPeriods(
            train=["1990", "1996"], calibration=["1997", "1999"], val=["2000", "2000"], test=["2001", "2001"]
        ),
        batch=64,
        seq_length=180,
        warmup=90,
        leads=[1, 7, 30],
        forecasts=ForecastOrigins(dates=["2001-08-01", "2001-12-31"]),
    )
    model = DroughtForecaster(hidden_size=32)
    trainer = pl.Trainer(accelerator="cpu", max_epochs=1, limit_train_batches=40, default_root_dir=FOLDER)
    trainer.fit(model, datamodule=data)
    trainer.test(model, datamodule=data)
    trainer.predict(model, datamodule=data, return_predictions=False)
    newest = max(FOLDER.rglob("forecasts.nc"), key=lambda path: path.stat().st_mtime)
    forecast = xr.open_dataset(newest)
    print(forecast)
    week = forecast.sel(lead=7).isel(time=-1)
    dry = week.probability_below_p20
    print(f"Share of cells with more than 50 % for below P20, a week ahead: {float((dry > 0.5).mean()):.2f}")


if __name__ == "__main__":
    main()
