import numpy as np
import pytest

from lightning_itwin.strain.channel_pieces import ChannelError
from lightning_itwin.strain.segments import read_segments
from lightning_itwin.subtraction.outputs.veto_list import VetoList, read_veto_list, write_veto_list

ROWS = np.array([[1e9 + 5, 1e9 + 6, 0.25], [1e9 + 1, 1e9 + 2, 0.75], [1e9 + 1.5, 1e9 + 3, 0.5]])


def test_what_is_written_is_read_in_the_order_of_time(tmp_path):
    write_veto_list(tmp_path / "a" / "v.txt", VetoList.of(ROWS), "Two lines\nof heading")
    found = read_veto_list(tmp_path / "a" / "v.txt")
    np.testing.assert_array_equal(found.start_s, [1e9 + 1, 1e9 + 1.5, 1e9 + 5])
    np.testing.assert_array_equal(found.probability, [0.75, 0.5, 0.25])
    np.testing.assert_array_equal(
        read_segments(tmp_path / "a" / "v.txt"), [[1e9 + 1, 1e9 + 3], [1e9 + 5, 1e9 + 6]]
    )


def test_segments_at_a_threshold():
    vetoes = VetoList.of(ROWS)
    assert (vetoes.segments(0.5) - 1e9).tolist() == [[1, 3]]
    assert (vetoes.segments(0.6) - 1e9).tolist() == [[1, 2]]
    np.testing.assert_array_equal(
        vetoes.probability_at(np.array([1e9 + 1.7, 1e9 + 2.5, 1e9 + 4])), [0.75, 0.5, 0.0]
    )


def test_an_empty_list(tmp_path):
    write_veto_list(tmp_path / "v.txt", VetoList.of(np.zeros((0, 3))))
    assert len(read_veto_list(tmp_path / "v.txt")) == 0


def test_what_is_no_veto_is_refused(tmp_path):
    with pytest.raises(ChannelError, match=r"with probability 1\.5"):
        VetoList.of([[1, 2, 1.5]])
    with pytest.raises(ChannelError, match=r"GPS 2\.000000 to 1\.000000"):
        VetoList.of([[2, 1, 0.5]])
    with pytest.raises(ChannelError, match="probability nan"):
        VetoList.of([[1, 2, np.nan]])
    (tmp_path / "v.txt").write_text("1 2 0.5\n3 4\n")
    with pytest.raises(ChannelError, match="Cannot read line 2"):
        read_veto_list(tmp_path / "v.txt")
    with pytest.raises(FileNotFoundError, match="No such veto list"):
        read_veto_list(tmp_path / "gone.txt")
