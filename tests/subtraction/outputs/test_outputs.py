import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from lightning_itwin.strain.channel_pieces import Channel
from lightning_itwin.strain.hdf5_channels import read_channels, write_channels
from lightning_itwin.strain.segments import read_segments
from lightning_itwin.subtraction.outputs.outputs import OutputSettings, SubtractionOutputs
from lightning_itwin.subtraction.outputs.veto_list import read_veto_list
from tests.subtraction.small_subtraction import DURATION_S, GPS_S, RATE_HZ, datamodule

NO_FRAMES = OutputSettings(gwf="never")


def fill(outputs, noise, starts, size=8192):
    for start in starts:
        outputs.add(torch.tensor([start]), torch.from_numpy(noise[None, start : start + size]))
    outputs.close()


def starts(samples, size=8192, stride=4096):
    return [*range(0, samples - size, stride), samples - size]


def test_cleaned_strain_is_strain_less_noise_at_the_same_times(tmp_path):
    data, noise = datamodule(tmp_path)
    outputs = SubtractionOutputs.open(tmp_path / "out", data, model="a model", key="abc", settings=NO_FRAMES)
    fill(outputs, noise, starts(len(noise)))
    outputs.write()
    (strain,), (cleaned,) = (
        read_channels(path, ["V1:S"]) for path in (data.source_files[0], tmp_path / "out" / "cleaned.h5")
    )
    np.testing.assert_allclose(cleaned.values, strain.values - noise, rtol=1e-6, atol=1e-30)
    assert (cleaned.gps_start_s, cleaned.sample_rate_hz, cleaned.unit) == (GPS_S, RATE_HZ, "strain")
    with h5py.File(tmp_path / "out" / "cleaned.h5") as h5:
        assert (h5.attrs["model"], h5.attrs["model_digest"]) == ("a model", "abc")
        assert json.loads(h5.attrs["witnesses"]) == ["V1:WITNESS", "V1:OTHER"]
    assert read_segments(tmp_path / "out" / "cleaned_segments.txt").tolist() == [[GPS_S, GPS_S + DURATION_S]]


def test_outside_of_the_windows_the_strain_passes_and_the_noise_fades(tmp_path):
    data, noise = datamodule(tmp_path)
    outputs = SubtractionOutputs.open(
        tmp_path / "out", data, settings=OutputSettings(gwf="never", fade_s=2.0)
    )
    ones = np.full_like(noise, 1e-20)
    fill(outputs, ones, [10000, 14096])
    outputs.write()
    (strain,), (cleaned,) = (
        read_channels(path, ["V1:S"]) for path in (data.source_files[0], tmp_path / "out" / "cleaned.h5")
    )
    taken = (strain.values - cleaned.values) / 1e-20
    np.testing.assert_array_equal(taken[:10000], 0)
    np.testing.assert_array_equal(taken[14096 + 8192 :], 0)
    np.testing.assert_allclose(taken[10000 + 1024 : 14096 + 8192 - 1024], 1, atol=1e-9)
    assert np.abs(np.diff(taken)).max() < 2e-3
    segments = read_segments(tmp_path / "out" / "cleaned_segments.txt")
    np.testing.assert_allclose(segments, GPS_S + np.array([[10000, 22288]]) / RATE_HZ)


def test_finish_writes_everything_and_leaves_nothing_else(tmp_path):
    pytest.importorskip("matplotlib")
    data, noise = datamodule(tmp_path)
    outputs = SubtractionOutputs.open(tmp_path / "out", data, model="a model", settings=NO_FRAMES)
    fill(outputs, noise, starts(len(noise)))
    figures = outputs.finish(ranking=[("V1:WITNESS", 2.0), ("V1:OTHER", 0.1)], signal_subtracted=0.0)
    assert {"asd", "range", "coherence", "scan_1", "glitches", "veto", "signals", "ranking"} <= set(figures)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "bands.csv",
        "channels.csv",
        "cleaned.h5",
        "cleaned_segments.txt",
        "figures",
        "report.html",
        "report.json",
        "vetoes.txt",
    ]
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    assert told["recovered_fraction"] == pytest.approx(1.0, abs=0.02)
    assert told["signal_subtracted"] == 0.0
    vetoes = read_veto_list(tmp_path / "out" / "vetoes.txt")
    found = vetoes.probability_at(GPS_S + np.array([12.0, 40.0, 77.0, 25.0]))
    assert (found[:3] > 0.99).all()
    assert found[3] < 0.5
    assert vetoes.segments(0.5).sum(axis=0).size == 2


def test_vetoes_of_the_model_are_kept(tmp_path):
    data, noise = datamodule(tmp_path)
    settings = OutputSettings(gwf="never", report=False)
    outputs = SubtractionOutputs.open(tmp_path / "out", data, settings=settings)
    at_s = torch.tensor([GPS_S + 1.0], dtype=torch.float64)
    outputs.add_vetoes(at_s, at_s + 1.0, torch.ones(1))
    with pytest.raises(ValueError, match=r"GPS times in float64, not torch\.float32"):
        outputs.add_vetoes(at_s.float(), at_s + 1.0, torch.ones(1))
    fill(outputs, noise, starts(len(noise)))
    assert outputs.finish() == {}
    assert not (tmp_path / "out" / "report.html").exists()
    assert (read_veto_list(tmp_path / "out" / "vetoes.txt").start_s == GPS_S + 1.0).all()


def test_strain_of_a_higher_rate_is_cleaned_at_its_own(tmp_path):
    data, noise = datamodule(tmp_path)
    rng = np.random.default_rng(0)
    strain = Channel(
        name="V1:S",
        values=1e-22 * rng.standard_normal(round(DURATION_S * 2048)),
        sample_rate_hz=2048.0,
        gps_start_s=GPS_S,
        unit="strain",
    )
    write_channels(data.source_files[0], [strain])
    outputs = SubtractionOutputs.open(tmp_path / "out", data, settings=NO_FRAMES)
    time_s = np.arange(len(noise)) / RATE_HZ
    fill(outputs, 1e-22 * np.sin(2 * np.pi * 30 * time_s), starts(len(noise)))
    outputs.write()
    (cleaned,) = read_channels(tmp_path / "out" / "cleaned.h5", ["V1:S"])
    expected = strain.values - 1e-22 * np.sin(2 * np.pi * 30 * np.arange(len(strain.values)) / 2048)
    np.testing.assert_allclose(cleaned.values[2048:-2048], expected[2048:-2048], atol=1e-26)


def test_frames_come_beside_it(tmp_path):
    pytest.importorskip("lalframe")
    data, noise = datamodule(tmp_path)
    outputs = SubtractionOutputs.open(tmp_path / "out", data)
    fill(outputs, noise, starts(len(noise)))
    outputs.write()
    assert (tmp_path / "out" / "V-V1_CLEANED-1262304018-100.gwf").is_file()


def test_no_prediction_and_wrong_settings_are_refused(tmp_path):
    data, _ = datamodule(tmp_path)
    outputs = SubtractionOutputs.open(tmp_path / "out", data)
    outputs.close()
    with pytest.raises(ValueError, match="no noise was predicted"):
        outputs.finish()
    with pytest.raises(ValueError, match="gwf must be auto, always or never"):
        OutputSettings(gwf="maybe")


_WORLD = """
import sys
from pathlib import Path
import torch
import torch.distributed as distributed
from lightning_itwin.subtraction.outputs.outputs import OutputSettings, SubtractionOutputs
from tests.subtraction.small_subtraction import GPS_S, datamodule
from tests.subtraction.outputs.test_outputs import starts

rank, folder = int(sys.argv[1]), Path(sys.argv[2])
distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
(folder / str(rank)).mkdir()
data, noise = datamodule(folder / str(rank))
outputs = SubtractionOutputs.open(
    folder / "out", data, rank=rank, world_size=2, settings=OutputSettings(gwf="never", report=False)
)
for start in starts(len(noise))[rank::2]:
    outputs.add(torch.tensor([start]), torch.from_numpy(noise[None, start : start + 8192]))
at_s = torch.tensor([GPS_S + 50.0 - rank], dtype=torch.float64)
outputs.add_vetoes(at_s, at_s + 0.5, torch.full((1,), 0.5))
outputs.close()
distributed.barrier()
if rank == 0:
    outputs.finish()
"""


@pytest.mark.world
def test_two_processes_write_one_file(tmp_path):
    command = [sys.executable, "-c", _WORLD]
    running = [
        subprocess.Popen([*command, str(rank), str(tmp_path)], cwd=Path(__file__).parents[3])
        for rank in range(2)
    ]
    assert [process.wait(timeout=180) for process in running] == [0, 0]
    (strain,), (cleaned,) = (
        read_channels(path, ["V1:S"])
        for path in (tmp_path / "0" / "source.h5", tmp_path / "out" / "cleaned.h5")
    )
    _, noise = datamodule(tmp_path)
    np.testing.assert_allclose(cleaned.values, strain.values - noise, rtol=1e-6, atol=1e-30)
    assert read_veto_list(tmp_path / "out" / "vetoes.txt").start_s.tolist() == [GPS_S + 49, GPS_S + 50]
