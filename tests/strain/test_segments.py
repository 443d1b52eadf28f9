import numpy as np
import pytest

from lightning_itwin.strain.channel_pieces import ChannelError
from lightning_itwin.strain.segments import (
    difference,
    duration,
    intersection,
    read_segments,
    runs_of,
    union,
    write_segments,
)


def flags(segments, size=60):
    found = np.zeros(size, dtype=bool)
    for begin, end in np.asarray(segments, dtype=int):
        found[begin:end] = True
    return found


@pytest.mark.parametrize("seed", range(20))
def test_as_flags_over_samples(seed):
    rng = np.random.default_rng(seed)
    one, other = (np.sort(rng.integers(0, 60, (rng.integers(0, 7), 2)), axis=1) for _ in range(2))
    assert runs_of(flags(one) | flags(other)).tolist() == union(one, other).tolist()
    assert runs_of(flags(one) & flags(other)).tolist() == intersection(one, other).tolist()
    assert runs_of(flags(one) & ~flags(other)).tolist() == difference(one, other).tolist()
    assert duration(union(one)) == flags(one).sum()


def test_what_is_written_is_read(tmp_path):
    segments = np.array([[1262304018.25, 1262304020.0], [1262304030.0, 1262304031.000000238]])
    write_segments(tmp_path / "a" / "segments.txt", segments, "Two\nsegments")
    np.testing.assert_array_equal(read_segments(tmp_path / "a" / "segments.txt"), segments)
    gwpy = pytest.importorskip("gwpy.segments")
    told = gwpy.SegmentList.read(str(tmp_path / "a" / "segments.txt"), format="segwizard")
    found = [[float(edge) for edge in one] for one in told]
    np.testing.assert_allclose(found, segments, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "text",
    [
        "10 20\n30 35\n",
        "# start, end\n10,20\n30, 35\n",
        "0\t30\t35\t5\n1\t10\t20\t10\n",
        "start end\n10 20 0.7\n30 35 0.1\n",
        "10 15\n15 20 % joined\n30 35\n",
    ],
)
def test_forms_of_segment_files(tmp_path, text):
    (tmp_path / "s.txt").write_text(text)
    assert read_segments(tmp_path / "s.txt").tolist() == [[10, 20], [30, 35]]


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="No such segment file"):
        read_segments(tmp_path / "gone.txt")
    for text, message in (("10 20\nx 5\n", "Cannot read line 2"), ("20 10\n", "Line 1 .* is no segment")):
        (tmp_path / "s.txt").write_text(text)
        with pytest.raises(ChannelError, match=message):
            read_segments(tmp_path / "s.txt")
