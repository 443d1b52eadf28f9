import numpy as np
import pytest

from lightning_itwin.strain.channel_pieces import ChannelError
from lightning_itwin.strain.hdf5_channels import write_channels
from lightning_itwin.strain.sources import find_channels, find_files, names_in
from tests.strain.small_channels import GPS_S, noise


def test_files_folders_and_patterns_are_found(tmp_path):
    for name in ("b.h5", "a.hdf5", "c.txt"):
        (tmp_path / name).touch()
    a, b = tmp_path / "a.hdf5", tmp_path / "b.h5"
    assert find_files(tmp_path) == [a, b]
    assert find_files(str(tmp_path / "*.h5")) == [b]
    assert find_files([b, str(tmp_path / "*")]) == [b, a, tmp_path / "c.txt"]
    with pytest.raises(FileNotFoundError, match=r"No file matches .*gwf"):
        find_files(str(tmp_path / "*.gwf"))
    with pytest.raises(FileNotFoundError, match=r"No such file: .*gone\.h5"):
        find_files(tmp_path / "gone.h5")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="No file ending in"):
        find_files(tmp_path / "empty")


def test_channels_in_files_of_their_own_and_over_several(tmp_path):
    write_channels(tmp_path / "strain.h5", [noise("V1:S")])
    write_channels(tmp_path / "w_2.h5", [noise("V1:W", start_s=GPS_S + 20)])
    write_channels(tmp_path / "w_1.h5", [noise("V1:W")])
    found, faults = find_channels(tmp_path, ["V1:S", "V1:W"])
    assert faults == []
    assert list(found) == ["V1:S", "V1:W"]
    assert [len(run) for run in found["V1:W"].runs()] == [1, 1]
    assert (found["V1:W"].gps_start_s, found["V1:W"].gps_end_s) == (GPS_S, GPS_S + 36)
    assert names_in(tmp_path / "w_1.h5") == ["V1:W"]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"start_s": GPS_S + 15}, "V1:W has an overlap of 1 s between files at GPS 1200000016"),
        ({"start_s": GPS_S + 16, "rate_hz": 128.0}, "V1:W changes its sample rate between files, from 256"),
        ({"start_s": GPS_S + 16, "unit": "m"}, "V1:W changes its unit between files, from '' to 'm'"),
    ],
)
def test_pieces_that_do_not_fit_are_named(tmp_path, second, message):
    write_channels(tmp_path / "1.h5", [noise("V1:W")])
    write_channels(tmp_path / "2.h5", [noise("V1:W", **second)])
    found, (fault,) = find_channels(tmp_path, ["V1:W"])
    assert found == {}
    assert message in fault


def test_a_missing_channel_is_named_with_what_may_be_meant(tmp_path):
    write_channels(tmp_path / "1.h5", [noise("V1:ENV_MAG_N"), noise("V1:OTHER")])
    _, faults = find_channels(tmp_path, ["V1:ENV_MAG_W", "qqq"])
    assert faults[0].endswith("1.h5. Did you mean V1:ENV_MAG_N?")
    assert faults[1].endswith("1.h5. Channels there: V1:ENV_MAG_N, V1:OTHER.")


def test_blocks_are_the_samples_of_the_file(tmp_path):
    channel = noise("V1:W")
    write_channels(tmp_path / "1.h5", [channel])
    (piece,) = find_channels(tmp_path, ["V1:W"])[0]["V1:W"].pieces
    blocks = list(piece.blocks(100))
    assert [len(block) for block in blocks[:2]] == [100, 100]
    np.testing.assert_array_equal(np.concatenate(blocks), channel.values)


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "x.h5").write_text("no")
    with pytest.raises(ChannelError, match="cannot be read as HDF5"):
        find_channels(tmp_path / "x.h5", ["V1:W"])
