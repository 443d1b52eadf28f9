"""Windows for a model of glitches, from a small detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_itwin.datamodules.virgo.glitches import GlitchDataModule
from lightning_itwin.datamodules.virgo.settings import SplitSettings
from lightning_itwin.strain.channel_pieces import ChannelError
from lightning_itwin.strain.glitch_batch import GlitchBatch
from tests.models.glitch_instrument import write

ALL = SplitSettings(train=1.0, val=0.0, test=0.0)


def module(
    folder: Path, split: SplitSettings = ALL, truth: bool = True, **options: float
) -> GlitchDataModule:
    path = write(folder / f"data_{truth}.h5", 160.0, seed=1, truth=truth)
    return GlitchDataModule(
        data_dir=str(folder),
        path=str(path),
        split=split,
        sample_rate_hz=512.0,
        band_hz=(15.0, 220.0),
        **options,
    )


def test_noise_is_white_of_unit_density_and_witnesses_keep_their_waveform(tmp_path: Path) -> None:
    data = module(tmp_path)
    data.setup()
    (stretch,) = data.series("train")
    strain, dummy, _, witnessed, alone = stretch.values.astype(np.float64)
    noise = strain - witnessed - alone
    # 15 to 220 Hz of the 256 Hz below the Nyquist frequency.
    assert np.var(noise) == pytest.approx(205 / 256, rel=0.08)
    assert np.std(dummy) == pytest.approx(1.0, rel=0.03)
    assert data.num_witnesses == 2
    assert len(data.whitening_taps) % 2 == 1


def test_batches_hold_windows_with_their_truth(tmp_path: Path) -> None:
    data = module(tmp_path, quiet_share=0.0)
    data.setup()
    batch = next(iter(data.train_dataloader()))
    assert isinstance(batch, GlitchBatch)
    assert batch.witnesses.shape == (len(batch.strain), 2, 1024)
    assert batch.glitch.shape == batch.other_glitch.shape == batch.strain.shape
    loud = (batch.glitch.norm(dim=1) > 8) | (batch.other_glitch.norm(dim=1) > 8)
    assert loud.double().mean() > 0.6
    gps_s = data.aligned.clock.gps_s(batch.start.numpy())
    np.testing.assert_allclose(batch.gps_s.numpy(), gps_s)


def test_quiet_windows_come_by_their_share(tmp_path: Path) -> None:
    counts = []
    for share in (0.0, 0.5, 1.0):
        data = module(tmp_path, quiet_share=share)
        data.setup()
        counts.append(len(data.windows("train", data.stride)))
    assert counts[0] < counts[1] < counts[2] == 157


def test_evaluation_covers_everything(tmp_path: Path) -> None:
    data = module(tmp_path)
    data.setup()
    starts = torch.cat([batch.start for batch in data.predict_dataloader()])
    assert starts[0] < 513
    assert int(starts.diff().max()) <= 512


def test_without_truth_it_is_not_a_number(tmp_path: Path) -> None:
    data = module(tmp_path, truth=False)
    data.setup()
    batch = next(iter(data.train_dataloader()))
    assert torch.isnan(batch.glitch).all()
    assert torch.isfinite(batch.witnesses).all()


def test_filters_travel_with_a_checkpoint(tmp_path: Path) -> None:
    data = module(tmp_path)
    data.setup()
    data.train_dataloader()
    test_only = SplitSettings(train=0.0, val=0.0, test=1.0)
    other = module(tmp_path, split=test_only)
    other.load_state_dict(data.state_dict())
    other.setup()
    np.testing.assert_array_equal(other.whitening_taps, data.whitening_taps)
    alone = module(tmp_path, split=test_only)
    alone.setup()
    with pytest.raises(ChannelError, match="no training part to set the filters"):
        alone.test_dataloader()


def test_refuses_a_share() -> None:
    with pytest.raises(ValueError, match="quiet_share"):
        GlitchDataModule(quiet_share=1.5)
