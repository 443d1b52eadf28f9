"""The preset on EURAC's sample: what a user without the sample is told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lightning_itwin.__main__ import main


def test_without_the_sample_the_error_names_the_preset_that_says_where_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["lightning_itwin", "fit", "--config", "drought_adige", "--trainer.accelerator", "cpu"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as refused:
        main()
    message = str(refused.value)
    assert "data/wflow_adige_demo.zarr" in message
    preset = Path(message.split("The head of ")[1].split(" says")[0])
    assert "https://github.com/interTwin-eu/HyDroForM" in preset.read_text(encoding="utf-8")
