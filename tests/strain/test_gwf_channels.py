import os
from pathlib import Path

import numpy as np
import pytest

from lightning_itwin.strain.channel_pieces import ChannelError
from lightning_itwin.strain.gwf_channels import list_gwf_channels, read_gwf_pieces, write_gwf
from lightning_itwin.strain.sources import find_channels
from tests.strain.small_channels import GPS_S, noise

lalframe = pytest.importorskip("lalframe")


def samples(piece, size=1000):
    return np.concatenate(list(piece.blocks(size)))


def test_what_is_written_is_read(tmp_path):
    strain, other = noise("V1:STRAIN", unit="strain"), noise("V1:OTHER", rate_hz=64.0, unit="m")
    write_gwf(tmp_path / "a" / "V-TEST-1200000000-16.gwf", [strain, other])
    (file,) = (tmp_path / "a").iterdir()
    assert list_gwf_channels(file) == ["V1:OTHER", "V1:STRAIN"]
    found = read_gwf_pieces(file, ["V1:STRAIN", "V1:GONE", "V1:OTHER"])
    assert [(piece.name, piece.sample_rate_hz, piece.unit) for piece in found] == [
        ("V1:STRAIN", 256.0, "strain"),
        ("V1:OTHER", 64.0, "m"),
    ]
    for piece, channel in zip(found, (strain, other)):
        assert (piece.gps_start_s, piece.gps_end_s) == (channel.gps_start_s, channel.gps_end_s)
        np.testing.assert_array_equal(samples(piece), channel.values)


def test_frames_that_follow_each_other_are_one_channel(tmp_path):
    first, second = noise("V1:STRAIN"), noise("V1:STRAIN", start_s=GPS_S + 16, seed=1)
    write_gwf(tmp_path / "1.gwf", [first])
    write_gwf(tmp_path / "2.gwf", [second])
    (series,) = find_channels(str(tmp_path / "*.gwf"), ["V1:STRAIN"])[0].values()
    assert (series.gps_start_s, series.gps_end_s, len(series.runs())) == (GPS_S, GPS_S + 32, 1)


@pytest.mark.parametrize("kind", ["REAL4", "INT4", "INT2", "UINT4", "REAL8"])
def test_samples_of_other_types_are_read(tmp_path, kind):
    import lal

    dtype = {"REAL4": np.float32, "INT4": np.int32, "INT2": np.int16, "UINT4": np.uint32}.get(kind, float)
    values = np.arange(64).astype(dtype)
    start = lal.LIGOTimeGPS(1200000000)
    frame = lalframe.FrameNew(start, 1.0, "test", 0, 0, 0)
    series = getattr(lal, f"Create{kind}TimeSeries")("V1:X", start, 0.0, 1 / 64, lal.DimensionlessUnit, 64)
    series.data.data = values
    getattr(lalframe, f"FrameAdd{kind}TimeSeriesProcData")(frame, series)
    lalframe.FrameWrite(frame, str(tmp_path / "x.gwf"))
    (piece,) = read_gwf_pieces(tmp_path / "x.gwf", ["V1:X"])
    np.testing.assert_array_equal(samples(piece), values)


def test_gwpy_reads_what_is_written(tmp_path):
    timeseries = pytest.importorskip("gwpy.timeseries")
    strain = noise("V1:STRAIN", rate_hz=4096.0, duration_s=4.0, unit="strain")
    write_gwf(tmp_path / "V-T-1200000000-4.gwf", [strain])
    told = timeseries.TimeSeries.read(str(tmp_path / "V-T-1200000000-4.gwf"), "V1:STRAIN")
    np.testing.assert_array_equal(told.value, strain.values)
    assert (told.t0.value, told.sample_rate.value, str(told.unit)) == (GPS_S, 4096.0, "strain")


def test_a_real_frame_of_three_detectors_is_read():
    """GWpy brings it: a second of the hardware injection of September 2010."""
    data = pytest.importorskip("gwpy.testing")
    file = Path(data.__file__).parent / "data" / "HLV-HW100916-968654552-1.gwf"
    if not file.is_file():
        pytest.skip("this gwpy comes without its test data")
    series = find_channels(file, ["V1:h_16384Hz"])[0]["V1:h_16384Hz"]
    assert (series.sample_rate_hz, series.gps_start_s, series.unit) == (16384.0, 968654552.0, "strain")
    assert samples(series.pieces[0]).std() == pytest.approx(1.1e-19, rel=0.9)


def test_what_frames_cannot_hold_is_refused(tmp_path):
    with pytest.raises(ChannelError, match=r"V1:A covers GPS .* V1:B 1200000000"):
        write_gwf(tmp_path / "x.gwf", [noise("V1:A"), noise("V1:B", duration_s=8.0)])
    with pytest.raises(ChannelError, match="V1:A: GWF knows no unit 'furlong'"):
        write_gwf(tmp_path / "x.gwf", [noise("V1:A", unit="furlong")])
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_or_no_frame_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="No such file"):
        list_gwf_channels(tmp_path / "gone.gwf")
    (tmp_path / "bad.gwf").write_bytes(os.urandom(256))
    with pytest.raises(ChannelError, match=r"bad\.gwf cannot be read as GWF"):
        read_gwf_pieces(tmp_path / "bad.gwf", ["V1:A"])
