from pathlib import Path

import h5py
import numpy as np
import pytest

from lightning_itwin.strain.channel_pieces import ChannelError
from lightning_itwin.strain.data_quality import list_flags, read_flags
from lightning_itwin.strain.hdf5_channels import write_channels
from tests.strain.small_channels import GPS_S, noise

GWOSC = Path(__file__).parent / "fixtures" / "H-H1_LOSC_4_V2-1126259460-4.hdf5"


def with_masks(path, quality, injections, attributes=True):
    write_channels(path, [noise("strain/Strain")])
    with h5py.File(path, "a") as h5:
        h5["meta/GPSstart"] = int(GPS_S)
        masks = (
            ("quality/simple", "DQmask", "DQShortnames", [b"DATA", b"CBC_CAT1"], quality),
            ("quality/injections", "Injmask", "InjShortnames", [b"NO_CBC_HW_INJ"], injections),
        )
        for group, name, names, listed, values in masks:
            h5[f"{group}/{name}"] = np.array(values, dtype=np.int32)
            h5[f"{group}/{names}"] = listed
            if attributes:
                h5[f"{group}/{name}"].attrs.update(Xstart=int(GPS_S), Xspacing=1.0)


@pytest.mark.parametrize("attributes", [True, False])
def test_time_in_which_all_flags_are_set(tmp_path, attributes):
    with_masks(tmp_path / "x.h5", [3, 3, 1, 3, 0, 3], [1, 0, 1, 1, 1, 1], attributes)
    assert list_flags(tmp_path / "x.h5") == ["DATA", "CBC_CAT1", "NO_CBC_HW_INJ"]

    def told(*names):
        return (read_flags([tmp_path / "x.h5"], names) - GPS_S).tolist()

    assert told("DATA") == [[0, 4], [5, 6]]
    assert told("CBC_CAT1") == [[0, 2], [3, 4], [5, 6]]
    assert told("DATA", "CBC_CAT1", "NO_CBC_HW_INJ") == [[0, 1], [3, 4], [5, 6]]
    assert (read_flags([tmp_path / "x.h5"]) - GPS_S).tolist() == told("CBC_CAT1")


def test_files_without_flags_say_nothing(tmp_path):
    write_channels(tmp_path / "x.h5", [noise("V1:A")])
    assert read_flags([tmp_path / "x.h5", Path("x.gwf")], ["DATA"]) is None


def test_a_flag_that_is_not_there_is_named(tmp_path):
    with_masks(tmp_path / "x.h5", [3], [1])
    with pytest.raises(ChannelError, match="has no flag CBC_CAT9; its flags are DATA, CBC_CAT1, NO_CBC"):
        read_flags([tmp_path / "x.h5"], ["DATA", "CBC_CAT9"])


def test_the_flags_of_a_real_file():
    assert read_flags([GWOSC], ["DATA", "CBC_CAT3"]).tolist() == [[1126259460, 1126259464]]
