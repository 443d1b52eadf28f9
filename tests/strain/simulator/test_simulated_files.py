from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from lightning_itwin.strain.channel_list import read_channel_list
from lightning_itwin.strain.data_quality import read_flags
from lightning_itwin.strain.hdf5_channels import list_channels, read_attribute, read_channels
from lightning_itwin.strain.segments import read_segments
from lightning_itwin.strain.simulator import VirgoSimulator
from lightning_itwin.strain.simulator.__main__ import main
from lightning_itwin.strain.sources import find_channels


@pytest.fixture(scope="module")
def simulator() -> VirgoSimulator:
    return VirgoSimulator.strong(
        duration_s=32.0,
        scene={"injections_per_hour": 500.0, "glitches_per_hour": 2000.0},
        recording={"gaps_s": [[4.5, 6.0]], "flagged_s": [[10.0, 12.0]], "rates_hz": {"MICROPHONE": 4096.0}},
    )


def test_one_file_holds_channels_truth_events_and_flags(tmp_path, simulator: VirgoSimulator) -> None:
    file = tmp_path / "virgo.h5"
    simulator.write(file)
    data = simulator.simulate()
    assert VirgoSimulator(**json.loads(read_attribute(file, "simulator"))) == simulator
    assert {one.name for one in data.truth} < set(list_channels(file))
    with h5py.File(file) as h5:
        glitches, signals = h5["events/glitches"], h5["events/injections"]
        assert len(glitches["gps_s"]) + len(signals["gps_s"]) == len(data.events)
        assert set(glitches) == {
            *("gps_s", "kind", "snr", "witnessed", "frequency_hz", "width_s", "amplitude"),
        }
        assert {kind.decode() for kind in glitches["kind"]} <= {"blip", "tomte", "whistle"}
        assert signals["snr"][:].tolist() == [one.snr for one in data.events if one.kind == "binary"]
    start_s = data.strain.gps_start_s
    flagged = read_flags([file], ["DATA"]) - start_s
    assert flagged.tolist() == [[0.0, 4.0], [6.0, 32.0]]
    flagged = read_flags([file], ["DATA", "CBC_CAT1"]) - start_s
    assert flagged.tolist() == [[0.0, 4.0], [6.0, 10.0], [12.0, 32.0]]


def test_a_file_without_faults_has_no_flags_and_one_without_events_no_tables(tmp_path) -> None:
    VirgoSimulator(duration_s=16.0).write(tmp_path / "virgo.h5")
    with h5py.File(tmp_path / "virgo.h5") as h5:
        assert "quality" not in h5
        assert "events" not in h5


def test_a_folder_holds_a_file_a_channel(tmp_path, simulator: VirgoSimulator) -> None:
    folder = tmp_path / "channels"
    simulator.write(folder)
    data = simulator.simulate()
    listed = [one.name for one in read_channel_list(folder / "channels.txt")]
    assert listed == [data.strain.name, *(one.name for one in data.witnesses)]
    found, faults = find_channels(folder, listed)
    assert faults == []
    assert list_channels(folder / "V1-SIM_MAINS.h5") == ["V1:SIM_MAINS"]
    assert found["V1:SIM_MICROPHONE"].sample_rate_hz == 4096.0
    (background,) = read_channels(folder / "truth.h5", ["truth/background"])
    np.testing.assert_array_equal(background.values, data.part("background"))
    np.testing.assert_allclose(read_segments(folder / "segments.txt"), data.good_s)
    assert read_flags([folder / "V1-SIM_STRAIN.h5"], ["DATA"]) is not None


def test_a_frame_holds_the_channels_and_a_file_beside_it_the_truth(
    tmp_path, simulator: VirgoSimulator
) -> None:
    pytest.importorskip("lalframe")
    simulator.write(tmp_path / "V-SIM-1262304018-32.gwf")
    data = simulator.simulate()
    listed = read_channel_list(tmp_path / "V-SIM-1262304018-32_channels.txt")
    found, faults = find_channels(tmp_path / "V-SIM-1262304018-32.gwf", [one.name for one in listed])
    assert faults == []
    for one in (data.strain, *data.witnesses):
        there = np.concatenate([block for piece in found[one.name].pieces for block in piece.blocks()])
        np.testing.assert_array_equal(there, one.values)
        assert found[one.name].sample_rate_hz == one.sample_rate_hz
    assert "truth/background" in list_channels(tmp_path / "V-SIM-1262304018-32_truth.h5")


def test_gwpy_reads_the_strain_with_its_times(tmp_path) -> None:
    timeseries = pytest.importorskip("gwpy.timeseries")
    simulator = VirgoSimulator.strong(duration_s=16.0, gps_start_s=1262304018.0)
    simulator.write(tmp_path / "virgo.h5")
    read = timeseries.TimeSeries.read(tmp_path / "virgo.h5", path="V1:SIM_STRAIN", format="hdf5")
    assert (read.t0.value, read.sample_rate.value) == (1262304018.0, 1024.0)
    np.testing.assert_array_equal(read.value, simulator.simulate().strain.values)


def test_another_ending_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"must end in \.h5"):
        VirgoSimulator(duration_s=16.0).write(tmp_path / "virgo.csv")


def test_the_command_knows_the_detectors(tmp_path, capsys) -> None:
    file = tmp_path / "strong.h5"
    given = ["--detector", "strong", "--duration_s", "16", "--recording.dummies", "2"]
    main(["--out", str(file), *given, "--recording.rates_hz", "{ANGLE_YAW: 50}"])
    written = VirgoSimulator(**json.loads(read_attribute(file, "simulator")))
    recording = {"dummies": 2, "rates_hz": {"ANGLE_YAW": 50.0}}
    assert written == VirgoSimulator.strong(duration_s=16.0, recording=recording)
    told = capsys.readouterr()
    assert "V1:SIM_DUMMY_2" in told.out
    assert told.err == ""
