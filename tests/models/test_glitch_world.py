"""Two processes find the response that one finds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning.pytorch import seed_everything

from lightning_itwin.datamodules.virgo.settings import SplitSettings
from lightning_itwin.models.glitch_flow import GlitchFlow
from tests.models.glitch_instrument import RATE_HZ, write
from tests.models.test_glitch_flow import RESPONSE, SMALL, data, trainer
from tests.models.two_ranks import run_two_ranks


@pytest.mark.world
def test_two_processes_come_to_the_response_of_one(tmp_path: Path) -> None:
    write(tmp_path / "data_True_1.h5", 320.0, seed=1)
    first, second = run_two_ranks("glitch_world.py", tmp_path)
    assert torch.equal(first["weights"], second["weights"])
    assert torch.equal(first["kernel"], second["kernel"])
    assert first["glitches"] == second["glitches"] > 0
    assert (tmp_path / "out" / "cleaned.h5").is_file()
    seed_everything(0, verbose=False)
    alone = GlitchFlow(num_witnesses=2, sample_rate_hz=RATE_HZ, response=RESPONSE, generator=SMALL)
    (tmp_path / "alone").mkdir()
    module = data(tmp_path / "alone", split=SplitSettings(train=0.6, val=0.2, test=0.2))
    trainer(tmp_path, limit_val_batches=0).fit(alone, module)
    # Sums of float64 agree to 1e-6 and better; a solution of them is kept in float32.
    torch.testing.assert_close(first["kernel"], alone.response.kernel, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(first["explained"], alone.explained, rtol=1e-4, atol=1e-2)
