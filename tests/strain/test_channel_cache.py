import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lightning_itwin.strain.aligned_channels import align_channels
from lightning_itwin.strain.channel_cache import ChannelCache
from lightning_itwin.strain.channel_list import ListedChannel
from lightning_itwin.strain.channel_pieces import ChannelError
from lightning_itwin.strain.hdf5_channels import write_channels
from tests.strain.small_channels import GPS_S, noise

LISTED = [ListedChannel(name=name) for name in ("V1:S", "V1:W", "V1:SLOW")]


def channels():
    return [noise("V1:S"), noise("V1:W", rate_hz=1024.0), noise("V1:SLOW", rate_hz=32.0, scale=1.0)]


@pytest.fixture
def source(tmp_path):
    write_channels(tmp_path / "source.h5", channels())
    return tmp_path / "source.h5"


def made(folder):
    return [one for one in folder.iterdir() if not one.name.startswith(".")]


def test_the_map_holds_what_aligning_gives(source, tmp_path):
    found = ChannelCache(tmp_path / "made").open(source, LISTED, 256.0)
    expected = align_channels(channels(), 256.0)
    np.testing.assert_array_equal(found.values, expected.values.astype(np.float32))
    assert isinstance(found.values, np.memmap)
    assert (found.names, found.bandwidth_hz, found.own_rate_hz) == (
        expected.names,
        expected.bandwidth_hz,
        (256.0, 1024.0, 32.0),
    )
    assert found.segments.tolist() == [[0, 16 * 256]]
    assert found.notes == ("Resampled to 256 Hz: V1:W (1024 Hz), V1:SLOW (32 Hz).",)


def test_it_is_made_once_and_anew_when_a_file_changes(source, tmp_path):
    cache = ChannelCache(tmp_path / "made")
    first = cache.open(source, LISTED, 256.0)
    (folder,) = made(tmp_path / "made")
    before = (folder / "channels.f32").stat().st_mtime_ns
    cache.open(source, LISTED, 256.0)
    assert (folder / "channels.f32").stat().st_mtime_ns == before
    changed = channels()
    changed[0].values[:] *= 2
    write_channels(source, changed)
    second = cache.open(source, LISTED, 256.0)
    np.testing.assert_array_equal(second.values[0], 2 * first.values[0])
    cache.open(source, LISTED, 128.0)
    assert len(made(tmp_path / "made")) == 3


_MAKE = """
import sys, time
from lightning_itwin.strain import channel_cache
from lightning_itwin.strain.channel_list import ListedChannel
reading = channel_cache._Reading.write
def slowly(self, files, path):
    open(f"{sys.argv[2]}-{__import__('os').getpid()}", "w").close()
    time.sleep(1.0)
    return reading(self, files, path)
channel_cache._Reading.write = slowly
listed = [ListedChannel(name=name) for name in ("V1:S", "V1:W", "V1:SLOW")]
print(channel_cache.ChannelCache(sys.argv[2]).open(sys.argv[1], listed, 256.0).values.sum())
"""


def test_processes_that_ask_at_the_same_time_share_one(source, tmp_path):
    command = [sys.executable, "-c", _MAKE, str(source), str(tmp_path / "made")]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) for _ in range(2)
    ]
    told = [process.communicate(timeout=120)[0] for process in running]
    assert told[0] == told[1] != b""
    assert len(made(tmp_path / "made")) == 1
    assert len(list(tmp_path.glob("made-*"))) == 1  # one alone has read the files


def test_what_a_killed_process_leaves_is_removed(source, tmp_path):
    kill = _MAKE.replace(
        "    return reading",
        "    open(path, 'w').write('half'); __import__('os')._exit(9)\n    return reading",
    )
    command = [sys.executable, "-c", kill, str(source), str(tmp_path / "made")]
    assert subprocess.run(command, timeout=120, cwd=Path(__file__).parents[2], check=False).returncode == 9
    assert made(tmp_path / "made") == []
    assert list((tmp_path / "made").glob(".*.partial"))
    ChannelCache(tmp_path / "made").open(source, LISTED, 256.0)
    assert not list((tmp_path / "made").glob(".*.partial"))


def test_a_refused_set_of_channels_leaves_nothing(source, tmp_path):
    cache = ChannelCache(tmp_path / "made")
    with pytest.raises(ChannelError, match="V1:X: not in"):
        cache.open(source, [*LISTED, ListedChannel(name="V1:X")], 256.0)
    still = channels()
    still[1].values[:] = 1.0
    write_channels(source, still)
    with pytest.raises(ChannelError, match="V1:W: constant"):
        cache.open(source, LISTED, 256.0)
    assert [one.name for one in (tmp_path / "made").iterdir()] == [".lock"]
    found = cache.open(source, LISTED, 256.0, leave_out=True)
    assert found.names == ("V1:S", "V1:SLOW")
    assert found.values.shape == (2, 16 * 256)
    assert "V1:W: constant (1) over all its 16384 samples. The channel is left out." in found.warnings


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        (
            ListedChannel(name="V1:W", sample_rate_hz=512.0),
            "V1:W: the list says its rate is 512 Hz, the file",
        ),
        (ListedChannel(name="V1:W", unit="V"), "V1:W: the list says its unit is 'V', the file ''"),
    ],
)
def test_a_list_that_says_otherwise_is_believed(source, tmp_path, listed, message):
    with pytest.raises(ChannelError, match=message):
        ChannelCache(tmp_path / "made").open(source, [LISTED[0], listed], 256.0)


def test_gaps_between_files_are_left_out_with_a_word(tmp_path):
    for number, start_s in enumerate((GPS_S, GPS_S + 20.0)):
        parts = [noise(name, start_s=start_s, seed=number) for name in ("V1:S", "V1:W")]
        write_channels(tmp_path / f"{number}.h5", parts)
    found = ChannelCache(tmp_path / "made").open(str(tmp_path / "*.h5"), LISTED[:2], 256.0)
    assert (found.segments / 256).tolist() == [[0, 16], [20, 36]]
    assert found.warnings[0].startswith(
        "V1:S: no data from GPS 1200000016.000 to 1200000020.000, a gap of 4 s"
    )
    assert np.isnan(found.values[:, 16 * 256 : 20 * 256]).all()


def test_a_damaged_map_is_named(source, tmp_path):
    cache = ChannelCache(tmp_path / "made")
    cache.open(source, LISTED, 256.0)
    (folder,) = made(tmp_path / "made")
    os.truncate(folder / "channels.f32", 100)
    with pytest.raises(ChannelError, match=r"is damaged: 100 bytes .* Remove the folder"):
        cache.open(source, LISTED, 256.0)
    about = json.loads((folder / "about.json").read_text())
    assert about["files"] == [str(source)]
