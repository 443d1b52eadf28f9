"""Simulated Alps: how quickly they are made, and how far ahead their soil moisture can be foreseen.

Predictability is that of a region of 48 x 48 cells of 5 km: 18 years of training for climatology and damped
persistence, 31 origins in years 21 to 24, several realizations of the weather. Skill is that of the CRPS of
the standardised anomaly against the climatology of the day of the year.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from result_page import command_line, write_page

from lightning_itwin.hydrology import AlpsSimulator, Climatology, ReferenceForecasts
from lightning_itwin.hydrology.alps_oracle import oracle
from lightning_itwin.hydrology.alps_simulator import AlpsRun
from lightning_itwin.hydrology.regime_filter import RegimeRegression, regime_from_circulation
from lightning_itwin.metrics.crps import crps_ensemble, crps_quantile

LEADS = [1, 3, 7, 14, 21, 30, 45, 60]
LEVELS = [(number + 0.5) / 100 for number in range(100)]
TRAINING_YEARS, FIRST_TEST_YEAR, YEARS, ORIGINS = 18, 20, 24, 31
REFERENCE = {  # one realization of a prototype with the same grid, years and origins
    "oracle": [0.945, 0.876, 0.784, 0.657, 0.551, 0.466, 0.342, 0.230],
    "damped persistence": [0.916, 0.817, 0.669, 0.466, 0.342, 0.269, 0.148, 0.064],
}
WATER = {  # mm/year of the prototype, 64 x 64 cells
    "precipitation": 930,
    "potential_evapotranspiration": 484,
    "evapotranspiration": 316,
    "runoff": 528,
}
FORECASTS = ("oracle", "regime filtered from the circulation", "regime regressed on regional means")
GOAL_RATE = 1e6  # cell-days a second


def speed() -> tuple[list[str], float]:
    """Time runs and files of a training set and of larger grids, in processor time."""
    lines = [
        "| realizations x years x cells | M cell-days | run, M/s | to Zarr, s | to NetCDF, s | Zarr, MB |"
    ]
    lines.append("|---|---|---|---|---|---|")
    slowest = np.inf
    for settings in (
        AlpsSimulator(years=12, realizations=32, rows=16, columns=16),
        AlpsSimulator(years=12, realizations=1, rows=16, columns=16),
        AlpsSimulator(years=12, realizations=2, rows=48, columns=48),
        AlpsSimulator(years=1, realizations=1, rows=280, columns=280, spacing_km=1.0),
    ):
        begun_s = time.process_time()
        count = settings.run().precipitation.size
        run_s = time.process_time() - begun_s
        slowest = min(slowest, count / run_s)
        written_s, size = {}, 0
        with tempfile.TemporaryDirectory() as folder:
            for ending in ("zarr", "nc"):
                path = Path(folder) / f"alps.{ending}"
                begun_s = time.process_time()
                settings.write(path)
                written_s[ending] = time.process_time() - begun_s
                if ending == "zarr":
                    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        lines.append(
            f"| {settings.realizations} x {settings.years} x {settings.rows} x {settings.columns} "
            f"| {count / 1e6:.1f} | {count / run_s / 1e6:.1f} | {written_s['zarr']:.1f} "
            f"| {written_s['nc']:.1f} | {size / 1e6:.0f} |"
        )
    return lines, float(slowest)


def water(settings: AlpsSimulator) -> list[str]:
    """Compare the annual water with the prototype's, over realizations of 64 x 64 cells' region."""
    wide = dataclasses.replace(settings, rows=16, columns=16, spacing_km=20.0, years=12, realizations=16)
    run = wide.run(fluxes=True)
    lines = ["| mm/year | found | prototype |", "|---|---|---|"]
    for name, reference in WATER.items():
        annual = getattr(run, name).mean(dtype=np.float64) * 365.25
        lines.append(f"| {name.replace('_', ' ')} | {annual:.0f} | {reference} |")
    return lines


def anomalies_of(run: AlpsRun, realization: int) -> tuple[Climatology, ReferenceForecasts, torch.Tensor]:
    """Fit climatology and references to the first years; give the anomalies of all days, (C, T)."""
    values = torch.from_numpy(run.soil_moisture[realization].reshape(len(run.time), -1).T.copy())
    fraction = torch.from_numpy(run.year_fraction)
    trained = run.time < np.datetime64(f"{run.simulator.first_year + TRAINING_YEARS}-01-01")
    days = int(trained.sum())
    climatology = Climatology.fit(values[:, :days], fraction[:days])
    cells = torch.arange(len(values))
    anomaly = climatology.anomaly(values, cells[:, None], fraction.expand(len(values), -1)).float()
    references = ReferenceForecasts.fit([anomaly[:, :days]], fraction[:days], LEADS, LEVELS)
    return climatology, references, anomaly


def predictability(
    settings: AlpsSimulator, members: int, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Score all forecasts: CRPS, (realizations, L) each, and how much of the regime is known."""
    others = dataclasses.replace(
        settings,
        rows=12,
        columns=12,
        spacing_km=settings.spacing_km * settings.rows / 12,
        realizations=8,
        weather_seed=settings.weather_seed + 10_000,
    )
    regression = RegimeRegression.fit(others.run())
    scores: dict[str, list[np.ndarray]] = {}
    clock = {"oracle_s": 0.0, "filtered": 0.0, "regressed": 0.0}
    for number in range(settings.realizations):
        run = settings.run([number])
        climatology, references, anomaly = anomalies_of(run, 0)
        first = int(
            np.searchsorted(run.time, np.datetime64(f"{settings.first_year + FIRST_TEST_YEAR}-01-01"))
        )
        origins = np.linspace(first, len(run.time) - 1 - max(LEADS), ORIGINS).astype(int).tolist()
        fraction, cells = torch.from_numpy(run.year_fraction), torch.arange(len(anomaly))
        regimes = [None, regime_from_circulation(run), regression.estimate(run)]
        for name, regime in zip(FORECASTS, regimes):
            begun_s = time.process_time()
            ensemble = oracle(run, origins, LEADS, members, seed, regime=regime)
            clock["oracle_s"] += (time.process_time() - begun_s) / 3 / settings.realizations
            found = np.zeros(len(LEADS))
            for origin, member_LMC in zip(origins, ensemble):
                for at, lead in enumerate(LEADS):
                    day = fraction[origin + lead].expand(len(cells), members)
                    values = torch.from_numpy(member_LMC[at].T.copy())
                    forecast = climatology.anomaly(values, cells[:, None], day).float()
                    found[at] += float(crps_ensemble(forecast, anomaly[:, origin + lead], fair=True).mean())
            scores.setdefault(name, []).append(found / ORIGINS)
        for key, regime in zip(("filtered", "regressed"), regimes[1:]):
            error = np.mean((regime[0] - run.regime[0])[365:] ** 2)  # type: ignore[index]
            clock[key] += (1 - float(error)) / settings.realizations
        damped, usual = np.zeros(len(LEADS)), np.zeros(len(LEADS))
        for origin in origins:
            day = fraction[origin].expand(len(cells))
            forecast = references.damped_persistence(anomaly[:, origin], cells, day)
            for at, lead in enumerate(LEADS):
                target = anomaly[:, origin + lead]
                damped[at] += float(crps_quantile(forecast[:, at], target, LEVELS).mean())
                quantiles = references.climatology(fraction[origin + lead]).expand(len(cells), -1)
                usual[at] += float(crps_quantile(quantiles, target, LEVELS).mean())
        days = int((run.time < np.datetime64(f"{settings.first_year + TRAINING_YEARS}-01-01")).sum())
        scores.setdefault("damped persistence", []).append(pooled_persistence(anomaly, days, origins))
        scores.setdefault("damped persistence by cell and season", []).append(damped / ORIGINS)
        scores.setdefault("climatology", []).append(usual / ORIGINS)
    return {name: np.stack(values) for name, values in scores.items()}, clock


def pooled_persistence(anomaly: torch.Tensor, days: int, origins: list[int]) -> np.ndarray:
    """Score damped persistence of one coefficient and one spread a lead, of all cells and seasons, (L,)."""
    found, levels = np.zeros(len(LEADS)), torch.tensor(LEVELS)
    for at, lead in enumerate(LEADS):
        x, y = anomaly[:, : days - lead].flatten(), anomaly[:, lead:days].flatten()
        coefficient = (x @ y) / (x @ x)
        spread = (y - coefficient * x).std() * torch.special.ndtri(levels)
        for origin in origins:
            quantiles = coefficient * anomaly[:, origin, None] + spread
            found[at] += float(crps_quantile(quantiles, anomaly[:, origin + lead], LEVELS).mean())
    return found / len(origins)


def row(name: str, values: np.ndarray | list[float]) -> str:
    return f"| {name} | " + " | ".join(f"{value:.3f}" for value in values) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=48, help="and columns of the grid")
    parser.add_argument("--spacing-km", type=float, default=5.0, help="of the grid")
    parser.add_argument("--realizations", type=int, default=3, help="of the weather")
    parser.add_argument("--members", type=int, default=60, help="of the oracle")
    parser.add_argument("--weather-seed", type=int, default=1, help="of the weather")
    parser.add_argument("--name", default="alps_simulator", help="of the page of results")
    parser.add_argument("--predictability", action="store_true", help="leave out speed and water")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = AlpsSimulator(
        years=YEARS,
        realizations=options.realizations,
        rows=options.rows,
        columns=options.rows,
        spacing_km=options.spacing_km,
        weather_seed=options.weather_seed,
    )
    lines, slowest = ([], np.nan) if options.predictability else speed()
    if lines:
        lines += ["", "Processor time of one thread.", "", *water(settings), ""]
    scores, facts = predictability(settings, options.members, seed=7)
    usual = scores["climatology"]
    skill = {name: 1 - values.mean(axis=0) / usual.mean(axis=0) for name, values in scores.items()}
    single = {name: 1 - values / usual for name, values in scores.items()}
    lines += ["| CRPS skill at lead | " + " | ".join(f"{lead} d" for lead in LEADS) + " |"]
    lines += ["|---" * (len(LEADS) + 1) + "|"]
    for name in ("oracle", "damped persistence"):
        lines.append(row(name, skill[name]))
        lines.append(row(f"{name}, prototype", REFERENCE[name]))
        if options.realizations > 1:
            deviation = single[name].std(axis=0, ddof=1)
            lines.append(row(f"{name}, deviation of single realizations", deviation))
    for name in (*FORECASTS[1:], "damped persistence by cell and season"):
        lines.append(row(name, skill[name]))
        lines.append(row("share of the oracle's", skill[name] / skill["oracle"]))
    share = skill["damped persistence"] / skill["oracle"]
    lines.append(row("damped persistence, share of the oracle's", share))
    lines += [
        "",
        f"{settings.rows} x {settings.columns} cells of {settings.spacing_km:g} km, {settings.realizations} "
        f"realizations, {options.members} members. An oracle of {ORIGINS} origins takes "
        f"{facts['oracle_s']:.1f} s. Of the regime's variance, the filter knows {facts['filtered']:.2f}, the "
        f"regression {facts['regressed']:.2f}.",
        "",
        f"Damped persistence reaches {share[0]:.2f} of the oracle's at 1 d, {share[-1]:.2f} at 60 d.",
    ]
    if not options.predictability:
        told = f"Slowest run: {slowest / 1e6:.1f} M cell-days/s, {slowest / GOAL_RATE:.1f} times the goal."
        lines += ["", told]
    title = "Simulated Alps: speed and predictability"
    write_page(options.name, title, command_line(), lines, "one thread")


if __name__ == "__main__":
    main()
