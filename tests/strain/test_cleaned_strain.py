from pathlib import Path

import h5py
import numpy as np
import pytest

from lightning_itwin.strain.channel_pieces import Channel, ChannelSeries, MemoryPiece
from lightning_itwin.strain.cleaned_strain import NoiseRun, write_cleaned, write_frames
from lightning_itwin.strain.hdf5_channels import read_channels
from lightning_itwin.strain.sources import find_channels
from tests.strain.small_channels import GPS_S, noise

GWOSC = Path(__file__).parent / "fixtures" / "H-H1_LOSC_4_V2-1126259460-4.hdf5"


def series(*channels):
    return ChannelSeries.of(MemoryPiece.of(channel) for channel in channels)


def tone(rate_hz, start_s, duration_s, hz=20.0):
    return 1e-21 * np.sin(2 * np.pi * hz * (start_s + np.arange(round(rate_hz * duration_s)) / rate_hz))


def test_at_one_rate_the_difference_is_exact(tmp_path):
    strain = noise("V1:S", unit="strain")
    taken = noise("V1:N", duration_s=4.0, start_s=GPS_S + 8)
    runs = [NoiseRun(gps_start_s=taken.gps_start_s, blocks=np.split(taken.values, 4))]
    write_cleaned(tmp_path / "a" / "c.h5", series(strain), runs, 256.0, {"model": "a model"})
    (found,) = read_channels(tmp_path / "a" / "c.h5", ["V1:S"])
    expected = strain.values.copy()
    expected[8 * 256 : 12 * 256] -= taken.values
    np.testing.assert_array_equal(found.values, expected)
    assert (found.sample_rate_hz, found.gps_start_s, found.unit) == (256.0, GPS_S, "strain")
    with h5py.File(tmp_path / "a" / "c.h5") as h5:
        assert h5.attrs["model"] == "a model"


def test_noise_of_a_lower_rate_is_subtracted_at_the_strains_own(tmp_path):
    quiet = noise("V1:S", rate_hz=4096.0)
    strain = Channel(
        name="V1:S",
        values=quiet.values + tone(4096.0, 0.0, 16.0),
        sample_rate_hz=4096.0,
        gps_start_s=GPS_S,
    )
    runs = [NoiseRun(gps_start_s=GPS_S + 1.5, blocks=[tone(256.0, 1.5, 12.0)])]
    write_cleaned(tmp_path / "c.h5", series(strain), runs, 256.0)
    (found,) = read_channels(tmp_path / "c.h5", ["V1:S"])
    left = (found.values - quiet.values) / 1e-21
    rate = 4096
    assert np.abs(left[2 * rate : 13 * rate]).max() < 1e-4
    np.testing.assert_array_equal(found.values[: int(1.5 * rate)], strain.values[: int(1.5 * rate)])
    np.testing.assert_array_equal(found.values[int(13.5 * rate) :], strain.values[int(13.5 * rate) :])


def test_gaps_of_the_strain_are_nan(tmp_path):
    parts = [noise("V1:S", duration_s=4.0), noise("V1:S", duration_s=4.0, start_s=GPS_S + 6)]
    write_cleaned(tmp_path / "c.h5", series(*parts), [], 256.0)
    (found,) = read_channels(tmp_path / "c.h5", ["V1:S"])
    assert np.isnan(found.values).sum() == 2 * 256
    np.testing.assert_array_equal(found.values[6 * 256 :], parts[1].values)


def test_gwpy_opens_the_file_with_the_right_times(tmp_path):
    timeseries = pytest.importorskip("gwpy.timeseries")
    strain = noise("V1:S", rate_hz=4096.0, start_s=GPS_S + 0.5, unit="strain")
    write_cleaned(tmp_path / "c.h5", series(strain), [], 256.0, {"model": "m"})
    told = timeseries.TimeSeries.read(str(tmp_path / "c.h5"))
    np.testing.assert_array_equal(told.value, strain.values)
    assert (told.t0.value, told.sample_rate.value, str(told.unit)) == (GPS_S + 0.5, 4096.0, "strain")


def test_a_file_of_gwosc_gives_one_of_its_layout(tmp_path):
    strain = find_channels(GWOSC, ["strain/Strain"])[0]["strain/Strain"]
    write_cleaned(tmp_path / "c.hdf5", strain, [], 1024.0)
    (before,), (after,) = (read_channels(path, ["strain/Strain"]) for path in (GWOSC, tmp_path / "c.hdf5"))
    np.testing.assert_array_equal(before.values, after.values)
    assert (before.gps_start_s, before.sample_rate_hz) == (after.gps_start_s, after.sample_rate_hz)
    timeseries = pytest.importorskip("gwpy.timeseries")
    told = timeseries.TimeSeries.read(str(tmp_path / "c.hdf5"), format="hdf5.gwosc")
    assert (told.t0.value, told.sample_rate.value) == (1126259460.0, 4096.0)


def test_frames_hold_the_same(tmp_path, monkeypatch):
    pytest.importorskip("lalframe")
    monkeypatch.setattr("lightning_itwin.strain.cleaned_strain.GWF_S", 6)
    strain = noise("V1:S", unit="strain")
    write_cleaned(tmp_path / "c.h5", series(strain), [], 256.0)
    files = write_frames(tmp_path, tmp_path / "c.h5", "V1:S", "V1_CLEANED")
    assert [file.name for file in files] == [
        "V-V1_CLEANED-1200000000-6.gwf",
        "V-V1_CLEANED-1200000006-6.gwf",
        "V-V1_CLEANED-1200000012-4.gwf",
    ]
    found = find_channels(files, ["V1:S"])[0]["V1:S"]
    assert len(found.runs()) == 1
    values = np.concatenate([block for piece in found.pieces for block in piece.blocks()])
    np.testing.assert_array_equal(values, strain.values)
