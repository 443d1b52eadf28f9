from pathlib import Path

import h5py
import numpy as np
import pytest

from lightning_itwin.strain.hdf5_channels import (
    Channel,
    ChannelError,
    list_channels,
    read_attribute,
    read_channels,
    write_channels,
)

GWOSC = Path(__file__).parent / "fixtures" / "H-H1_LOSC_4_V2-1126259460-4.hdf5"


def ramp(name="V1:A", samples=64, rate_hz=32.0, start_s=1e9, first=0.0):
    values = first + np.arange(samples, dtype=float)
    return Channel(name=name, values=values, sample_rate_hz=rate_hz, gps_start_s=start_s, unit="m")


def dataset(path, name, values, **attributes):
    with h5py.File(path, "a") as h5:
        h5.create_dataset(name, data=values).attrs.update(attributes)
    return path


def test_what_is_written_is_read(tmp_path):
    file = tmp_path / "new" / "channels.h5"
    written = [ramp(), ramp("V1:B", rate_hz=96.5, start_s=1e9 + 0.5)]
    write_channels(file, written, {"note": "mine"})
    for before, after in zip(written, read_channels(file, ["V1:A", "V1:B"])):
        np.testing.assert_array_equal(after.values, before.values)
        assert (after.name, after.sample_rate_hz, after.gps_start_s, after.unit) == (
            before.name,
            before.sample_rate_hz,
            before.gps_start_s,
            "m",
        )
    assert read_attribute(file, "note") == "mine"
    assert read_attribute(file, "other") is None
    assert [path.name for path in file.parent.iterdir()] == ["channels.h5"]


def test_a_real_file_of_gwosc_is_read():
    (strain,) = read_channels(GWOSC, ["strain/Strain"])
    assert (strain.sample_rate_hz, strain.gps_start_s, len(strain.values)) == (4096.0, 1126259460.0, 16384)
    assert strain.gps_end_s == 1126259464.0
    assert 1e-20 < np.abs(strain.values).max() < 1e-17
    assert "strain/Strain" in list_channels(GWOSC)


@pytest.mark.parametrize(
    "attributes",
    [
        {"sample_rate_hz": 1000.0, "gps_start_s": 7.0},
        {"sample_rate": 1000, "t0": 7},
        {"sample_rate": "1000.0 Hz", "epoch": "7.0 s"},
        {"dx": 0.001, "x0": 7.0},  # gwpy
        {"Xspacing": np.array([0.001]), "Xstart": np.int64(7)},  # GWOSC
    ],
    ids=["plain", "t0", "quantity", "gwpy", "gwosc"],
)
def test_attributes_of_several_writers_are_understood(tmp_path, attributes):
    file = dataset(tmp_path / "x.h5", "group/x", np.arange(10), **attributes)
    (channel,) = read_channels(str(file), ["group/x"])
    assert (channel.sample_rate_hz, channel.gps_start_s) == (1000.0, 7.0)
    assert channel.values.dtype == np.float64
    assert list_channels(file) == ["group/x"]


def test_gps_start_of_the_whole_file_is_used(tmp_path):
    file = dataset(tmp_path / "x.h5", "x", np.arange(10), dx=0.5)
    dataset(file, "meta/GPSstart", 1126259446)
    assert read_channels(file, ["x"])[0].gps_start_s == 1126259446.0


def test_files_that_follow_each_other_are_joined(tmp_path):
    first, second, other = (tmp_path / f"{n}.h5" for n in "abc")
    write_channels(first, [ramp(start_s=1e9)])
    write_channels(second, [ramp(start_s=1e9 + 2, first=64.0)])
    write_channels(other, [ramp("V1:B")])
    joined, alone = read_channels([second, other, first], ["V1:A", "V1:B"])
    np.testing.assert_array_equal(joined.values, np.arange(128.0))
    assert (joined.gps_start_s, joined.gps_end_s, alone.gps_end_s) == (1e9, 1e9 + 4, 1e9 + 2)


@pytest.mark.parametrize(
    ("start_s", "rate_hz", "message"),
    [
        (1e9 + 3, 32.0, r"V1:A has a gap of 1 s between files at GPS 1000000002\.000000"),
        (1e9 + 1, 32.0, "an overlap of 1 s"),
        (1e9 + 2, 64.0, "from 32 to 64 Hz"),
    ],
)
def test_files_that_do_not_follow_each_other_are_refused(tmp_path, start_s, rate_hz, message):
    write_channels(tmp_path / "a.h5", [ramp()])
    write_channels(tmp_path / "b.h5", [ramp(start_s=start_s, rate_hz=rate_hz)])
    with pytest.raises(ChannelError, match=message):
        read_channels([tmp_path / "a.h5", tmp_path / "b.h5"], ["V1:A"])


def test_a_missing_channel_is_named_beside_those_there(tmp_path):
    write_channels(tmp_path / "a.h5", [ramp(), ramp("V1:B")])
    with pytest.raises(ChannelError, match=r"V1:C, V1:D\. Channels there: V1:A, V1:B\."):
        read_channels(tmp_path / "a.h5", ["V1:C", "V1:A", "V1:D"])


@pytest.mark.parametrize(
    ("values", "attributes", "message"),
    [
        (np.arange(4), {"x0": 1.0}, "tells no sample rate"),
        (np.arange(4), {"x0": 1.0, "dx": 0.0}, "tells no sample rate"),
        (np.arange(4), {"x0": 1.0, "sample_rate": "fast"}, "tells no sample rate"),
        (np.arange(4), {"dx": 1.0}, "tells no GPS start"),
        (np.ones((2, 2)), {"dx": 1.0, "x0": 1.0}, "not a one-dimensional dataset"),
        (np.array([b"a", b"b"]), {"dx": 1.0, "x0": 1.0}, "not a one-dimensional dataset of numbers"),
    ],
)
def test_a_dataset_that_is_no_channel_is_named(tmp_path, values, attributes, message):
    file = dataset(tmp_path / "x.h5", "x", values, **attributes)
    with pytest.raises(ChannelError, match=rf"x in .*x\.h5 .*{message}"):
        read_channels(file, ["x"])


def test_a_group_is_no_channel(tmp_path):
    file = dataset(tmp_path / "x.h5", "group/x", np.arange(4), dx=1.0, x0=1.0)
    with pytest.raises(ChannelError, match=r"group in .* is not a one-dimensional"):
        read_channels(file, ["group"])


def test_a_file_that_is_not_there_or_no_hdf5_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.h5"):
        read_channels(tmp_path / "none.h5", ["x"])
    (tmp_path / "text.h5").write_text("GPS,strain\n")
    with pytest.raises(ChannelError, match=r"text\.h5 cannot be read as HDF5"):
        read_channels(tmp_path / "text.h5", ["x"])


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    file = tmp_path / "a.h5"
    write_channels(file, [ramp()])

    def broken():
        yield ramp("V1:B")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_channels(file, broken())
    assert list_channels(file) == ["V1:A"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]
