"""Forecast files, warning levels and verification: files, scores, figures and a page of numbers. No Trainer.

A model predicts quantiles of the standardised anomaly, and this room does the rest::

    # predict, on every rank
    file = ForecastFile("forecasts.nc", layout, scale, key=digest_of_model_and_data, part=rank)
    todo = file.missing(series, origin)                          # (B,) bool; an interrupted run goes on
    file.add(series, origin, quantiles, probability_below)       # (B,), (B,), (B, L, Q), (B, L, P)
    file.close()                                                 # on every rank; then a barrier
    file.finish()                                                # on rank zero alone

    # test, on every rank
    verification = Verification(levels=levels, leads=leads, cells=grid.series).to(device)
    verification.update(quantiles=..., target=..., ...)          # per batch
    scores = verification.compute()                              # a collective call, on every rank
    figures = write_verification(folder, scores, about, grid=grid, examples=fans)   # on rank zero alone
"""

from lightning_itwin.forecasts.fan import FanExample
from lightning_itwin.forecasts.forecast_file import ForecastFile
from lightning_itwin.forecasts.layout import ForecastGrid, ForecastLayout, ForecastTarget
from lightning_itwin.forecasts.scores import VerificationScores
from lightning_itwin.forecasts.target_scale import ClimatologyScale, LinearScale, TargetScale
from lightning_itwin.forecasts.verification import Verification
from lightning_itwin.forecasts.verification_page import About, write_verification
from lightning_itwin.forecasts.verify_files import verify_files
from lightning_itwin.forecasts.warning_levels import WarningRule

__all__ = [
    "About",
    "ClimatologyScale",
    "FanExample",
    "ForecastFile",
    "ForecastGrid",
    "ForecastLayout",
    "ForecastTarget",
    "LinearScale",
    "TargetScale",
    "Verification",
    "VerificationScores",
    "WarningRule",
    "verify_files",
    "write_verification",
]
