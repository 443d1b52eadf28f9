import warnings

import pytest
import torch

from tests.models.drought_toy import ToyHydro
from tests.models.test_drought_forecaster import FORECASTS, trainer
from tests.models.two_ranks import run_two_ranks


@pytest.mark.world
def test_two_processes_share_a_calibration_a_page_and_a_file(tmp_path):
    xarray = pytest.importorskip("xarray")
    from lightning_itwin.models import DroughtForecaster

    first, second = run_two_ranks("drought_world.py", tmp_path)
    assert torch.equal(first["weights"], second["weights"])
    assert torch.equal(first["corrections"], second["corrections"])
    assert first["corrections"].any()
    assert first["val/crps"] == second["val/crps"]
    assert first["test"] == second["test"]
    assert (tmp_path / "verification" / "verification.html").is_file()
    assert first["predicted"] + second["predicted"] == 12
    with xarray.open_dataset(tmp_path / "forecasts.nc", decode_timedelta=False) as file:
        assert bool(file["probability_below_p20"].notnull().all())
    # One process that sees all windows comes to the same calibration.
    model = DroughtForecaster.load_from_checkpoint(
        first["checkpoint"], weights_only=True, forecasts=FORECASTS
    )
    torch.testing.assert_close(model.calibration.corrections, first["corrections"])
    model.calibration.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer(tmp_path / "alone").predict(model, datamodule=ToyHydro())
    torch.testing.assert_close(model.calibration.corrections, first["corrections"], rtol=1e-3, atol=1e-3)
