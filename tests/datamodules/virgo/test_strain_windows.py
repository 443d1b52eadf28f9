import pytest
import torch

from lightning_itwin.datamodules.virgo.strain_windows import StrainWindows


def windows(samples=20, window=8, stride=3):
    series = torch.arange(float(samples))
    return StrainWindows(
        torch.stack([series, -series]),
        series + 100,
        window=window,
        stride=stride,
        gps_start_s=50.0,
        sample_rate_hz=2.0,
    )


def test_windows_cover_the_series_at_their_stride():
    data = windows()
    assert len(data) == 5
    witnesses, strain = data[4]
    assert witnesses.tolist() == [list(range(12, 20)), [-float(t) for t in range(12, 20)]]
    assert strain.tolist() == [float(t) for t in range(112, 120)]
    assert data.gps_start_s(4) == 56.0


def test_the_last_window_ends_within_the_series():
    assert [len(windows(samples)) for samples in (7, 8, 10, 11)] == [0, 1, 1, 2]


@pytest.mark.parametrize("index", [-1, 5])
def test_there_are_no_other_windows(index):
    with pytest.raises(IndexError, match="of 5"):
        windows()[index]
