import numpy as np
import pytest

from lightning_itwin.datamodules.virgo.strain_windows import StrainWindows, Stretch
from lightning_itwin.strain.alignment import Clock

CLOCK = Clock(gps_start_s=100.0, sample_rate_hz=4.0, samples=100)


def stretch(begin, end):
    values = np.arange(begin, end, dtype=np.float32) + 1000 * np.arange(3, dtype=np.float32)[:, None]
    return Stretch(values=values, start=begin)


def test_windows_slide_inside_each_stretch():
    windows = StrainWindows.sliding([stretch(0, 10), stretch(20, 27)], CLOCK, window=4, stride=3)
    assert windows.starts.tolist() == [0, 3, 6, 20, 23]
    batch = windows.gather(np.array([4, 0, 2]))
    np.testing.assert_array_equal(batch.strain, np.array([23, 0, 6])[:, None] + np.arange(4))
    np.testing.assert_array_equal(batch.witnesses[:, 1], batch.strain + 2000)
    assert batch.gps_s.tolist() == [105.75, 100.0, 101.5]
    assert batch.start.tolist() == [23, 0, 6]


def test_covering_windows_end_with_their_stretch():
    stretches = [stretch(0, 22), stretch(30, 36), stretch(40, 43)]
    windows = StrainWindows.covering(stretches, CLOCK, window=8, overlap=2, shortest=4)
    assert windows.starts.tolist() == [0, 6, 12, 14, 30, 32]
    assert windows.lengths.tolist() == [8, 8, 8, 8, 4, 4]
    assert windows[4].strain.tolist() == [[30, 31, 32, 33]]


def test_a_window_that_is_not_there_is_an_index_error():
    windows = StrainWindows.sliding([stretch(0, 3)], CLOCK, window=4, stride=1)
    assert len(windows) == 0
    with pytest.raises(IndexError, match="Window 0 of 0"):
        windows[0]
