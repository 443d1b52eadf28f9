import json
import subprocess
import sys

import numpy as np
import pytest
from scipy import signal

from lightning_itwin.strain.hdf5_channels import list_channels, read_attribute, read_channels
from lightning_itwin.strain.simulator import Scene
from lightning_itwin.strain.simulator.__main__ import main
from lightning_itwin.strain.simulator.virgo_instrument import virgo_asd
from lightning_itwin.strain.simulator.virgo_simulator import VirgoSimulator

RATE_HZ = 512.0


@pytest.fixture(scope="module")
def data():
    return VirgoSimulator(duration_s=256.0).simulate()


def part(data, name):
    return next(channel.values for channel in data.truth if channel.name == f"truth/{name}")


def witness(data, name):
    return next(channel for channel in data.witnesses if channel.name == f"V1:SIM_{name}")


def coherence(a, b):
    frequency_hz, value = signal.coherence(a, b, RATE_HZ, nperseg=2048)
    return frequency_hz, value


def test_the_strain_is_the_sum_of_the_truth(data):
    np.testing.assert_allclose(data.strain.values, sum(channel.values for channel in data.truth), rtol=1e-12)
    assert [channel.name.split("/")[1] for channel in data.truth].count("linear") == 3
    assert [channel.name.split("/")[1] for channel in data.truth].count("bilinear") == 3


def test_the_background_has_the_published_asd(data):
    frequency_hz, psd = signal.welch(part(data, "background"), RATE_HZ, nperseg=1024)
    inside = (frequency_hz > 12) & (frequency_hz < 250)
    ratio = np.sqrt(psd[inside]) / virgo_asd(frequency_hz[inside])
    assert np.mean(ratio) == pytest.approx(1.0, abs=0.01)
    assert np.abs(ratio - 1).max() < 0.25


def test_a_linear_coupling_has_its_strength_at_its_resonance_and_is_seen_by_its_witness(data):
    for number, path in enumerate(VirgoSimulator(duration_s=256.0).instrument.linear, start=1):
        coupled = part(data, f"linear/SEISMOMETER_{number}")
        frequency_hz, psd = signal.welch(coupled, RATE_HZ, nperseg=2048)
        near = np.abs(frequency_hz - path.frequency_hz) < 1
        strength = np.sqrt(np.mean(psd[near])) / virgo_asd(np.array([path.frequency_hz]))[0]
        assert strength == pytest.approx(abs(path.strength), rel=0.15)
        frequency_hz, seen = coherence(coupled, witness(data, f"SEISMOMETER_{number}").values)
        assert np.mean(seen[near]) > 0.98
        _, elsewhere = coherence(coupled, witness(data, "DUMMY").values)
        assert np.mean(elsewhere[near]) < 0.1


def test_a_bilinear_coupling_is_hidden_from_each_witness_and_plain_to_their_product(data):
    instrument = VirgoSimulator(duration_s=256.0).instrument
    coupled = part(data, "bilinear/MICROPHONE")
    sound = witness(data, "MICROPHONE").values
    pitch, yaw = (
        signal.resample_poly(witness(data, name).values, 8, 1) for name in ("ANGLE_PITCH", "ANGLE_YAW")
    )
    angle = np.cos(instrument.acoustic_mix_rad) * pitch + np.sin(instrument.acoustic_mix_rad) * yaw
    frequency_hz, alone = coherence(coupled, sound)
    near = np.abs(frequency_hz - instrument.acoustic.frequency_hz) < 3
    assert np.mean(alone[near]) < 0.2
    assert np.mean(coherence(coupled, sound * angle)[1][near]) > 0.9


@pytest.mark.parametrize("harmonic", [1, 3])
def test_the_mains_line_times_an_angle_lies_around_its_harmonic(data, harmonic):
    frequency_hz, psd = signal.welch(part(data, f"bilinear/MAINS_{harmonic}"), RATE_HZ, nperseg=4096)
    near = np.abs(frequency_hz - 50.0 * harmonic) < 2
    assert psd[near].sum() > 0.95 * psd.sum()


def test_angles_are_sampled_eight_times_more_slowly(data):
    assert {c.name: c.sample_rate_hz for c in data.witnesses if c.sample_rate_hz != RATE_HZ} == {
        "V1:SIM_ANGLE_PITCH": 64.0,
        "V1:SIM_ANGLE_YAW": 64.0,
    }
    assert len(witness(data, "ANGLE_YAW").values) == 256 * 64
    assert witness(data, "ANGLE_YAW").gps_end_s == data.strain.gps_end_s


def test_seeds_of_noise_and_instrument_are_separate():
    short = {"duration_s": 16.0}
    one = VirgoSimulator(**short).simulate()
    same = VirgoSimulator(**short).simulate()
    other_noise = VirgoSimulator(**short, noise_seed=2).simulate()
    other_instrument = VirgoSimulator(**short, instrument_seed=2).simulate()
    np.testing.assert_array_equal(one.strain.values, same.strain.values)
    assert not np.array_equal(part(one, "background"), part(other_noise, "background"))
    np.testing.assert_array_equal(part(one, "background"), part(other_instrument, "background"))
    np.testing.assert_array_equal(
        witness(one, "SEISMOMETER_1").values, witness(other_instrument, "SEISMOMETER_1").values
    )
    assert not np.array_equal(
        part(one, "linear/SEISMOMETER_1"), part(other_instrument, "linear/SEISMOMETER_1")
    )
    assert VirgoSimulator(noise_seed=2).instrument == VirgoSimulator().instrument


def test_parts_do_not_depend_on_each_other(data):
    series = np.array([channel.values / channel.values.std() for channel in data.truth])
    correlation = series @ series.T / series.shape[1] - np.eye(len(series))
    assert np.abs(correlation).max() < 0.05


def test_no_coupling_leaves_the_background():
    data = VirgoSimulator(duration_s=16.0, coupling_strength=0.0).simulate()
    np.testing.assert_array_equal(data.strain.values, part(data, "background"))


def test_the_end_is_not_joined_to_the_beginning():
    values = part(VirgoSimulator(duration_s=64.0).simulate(), "background")
    steps = np.abs(np.diff(values))
    assert abs(values[0] - values[-1]) > 5 * steps.mean()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"duration_s": 0.0}, "duration_s must be > 0"),
        ({"coupling_strength": -1.0}, "coupling_strength >= 0"),
        ({"sample_rate_hz": 256.0}, "above 380 Hz"),
        ({"sample_rate_hz": 500.0}, "multiple of 8"),
    ],
)
def test_impossible_parameters_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        VirgoSimulator(**changes)


def test_the_file_holds_channels_truth_and_parameters(tmp_path):
    simulator = VirgoSimulator(duration_s=16.0)
    file = tmp_path / "virgo.h5"
    simulator.write(file)
    data = simulator.simulate()
    names = json.loads(read_attribute(file, "channels"))
    assert names == [data.strain.name, *(channel.name for channel in data.witnesses)]
    assert set(list_channels(file)) == {*names, *(channel.name for channel in data.truth)}
    assert VirgoSimulator(**json.loads(read_attribute(file, "simulator"))) == simulator
    strain, background = read_channels(file, [names[0], "truth/background"])
    np.testing.assert_array_equal(strain.values, data.strain.values)
    np.testing.assert_array_equal(background.values, part(data, "background"))


def test_the_command_writes_a_file(tmp_path, capsys):
    main(["--out", str(tmp_path / "v.h5"), "--duration_s", "16", "--instrument_seed", "5"])
    assert VirgoSimulator(**json.loads(read_attribute(tmp_path / "v.h5", "simulator"))).instrument_seed == 5
    assert "V1:SIM_STRAIN" in capsys.readouterr().out


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path / "v.h5"), "--sample_rate_hz", "100"])
    assert "multiple of 8 above 380 Hz" in capsys.readouterr().err


def test_the_module_runs_as_a_command_without_a_warning():
    command = [sys.executable, "-m", "lightning_itwin.strain.simulator", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "--instrument_seed" in done.stdout
    assert done.stderr == ""


def test_processes_that_write_one_file_at_once_do_not_collide(tmp_path):
    file = tmp_path / "new" / "virgo.h5"
    command = [sys.executable, "-m", "lightning_itwin.strain.simulator", "--duration_s", "16"]
    running = [subprocess.Popen([*command, "--out", str(file)], stdout=subprocess.PIPE) for _ in range(2)]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    assert [path.name for path in file.parent.iterdir()] == ["virgo.h5"]
    (strain,) = read_channels(file, ["V1:SIM_STRAIN"])
    np.testing.assert_array_equal(strain.values, VirgoSimulator(duration_s=16.0).simulate().strain.values)


def test_a_process_killed_while_it_writes_leaves_no_file_of_that_name(tmp_path):
    script = (
        "import os\n"
        "from lightning_itwin.datamodules import VirgoSimulator\n"
        "from lightning_itwin.strain import hdf5_channels\n"
        "hdf5_channels.os.replace = lambda *_: os._exit(9)\n"
        f"VirgoSimulator(duration_s=16.0).write({str(tmp_path / 'virgo.h5')!r})\n"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=120, check=False).returncode == 9
    assert not (tmp_path / "virgo.h5").exists()


def test_the_default_detector_keeps_its_samples_and_its_parameters():
    short = VirgoSimulator(duration_s=16.0)
    values = short.simulate().strain.values[[0, 1000, 5000]]
    np.testing.assert_allclose(values, [3.628550586e-21, -1.272485988e-21, -3.915049082e-21], rtol=1e-8)
    # the name of a simulated file is their hash
    assert short.parameters() == {
        "duration_s": 16.0,
        "sample_rate_hz": 512.0,
        "gps_start_s": 1262304018.0,
        "noise_seed": 1,
        "instrument_seed": 0,
        "coupling_strength": 1.0,
    }


def test_a_detector_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no detector 'weak'; there are strong, virgo_like"):
        VirgoSimulator.preset("weak")


def test_channels_that_are_not_there_are_named():
    with pytest.raises(ValueError, match=r"that there are not: ANGLE_ROLL, MONITOR\. There are SEIS"):
        VirgoSimulator(recording={"rates_hz": {"ANGLE_ROLL": 50.0}, "lost_s": {"MONITOR": [[1.0, 2.0]]}})


def test_a_detector_is_changed_by_parts():
    whole = VirgoSimulator.strong(scene=Scene(scattering=True))
    assert whole.scene == Scene(scattering=True)
    changed = VirgoSimulator.strong(noise_seed=7, scene={"scattering": False}, recording={"dummies": 3})
    assert (changed.noise_seed, changed.recording.dummies) == (7, 3)
    assert (changed.scene.scattering, changed.scene.nonstationary) == (False, True)
