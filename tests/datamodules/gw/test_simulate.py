import dataclasses
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from lightning_itwin.datamodules.gw import simulate as simulate_module
from lightning_itwin.datamodules.gw.shard_format import (
    ShardError,
    ShardManifest,
    journal_path,
    missing_shards,
    partial_path,
    records_path,
    table_path,
)
from lightning_itwin.datamodules.gw.shard_reader import ShardReader
from lightning_itwin.datamodules.gw.simulate import simulate
from tests.datamodules.gw.small import OBSERVATION, RECORD_BYTES, SIGNAL, WAVEFORM, data_set

SETTINGS = data_set()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    simulate(SETTINGS, folder, workers=0)
    return folder


@pytest.fixture
def copied(made, tmp_path):
    return shutil.copytree(made, tmp_path / "copy")


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("events-*.bin"))}


def all_records(folder):
    reader = ShardReader(folder)
    records = np.empty((len(reader), *reader.manifest.record.shape), dtype=reader.manifest.record.dtype)
    reader.read_into(np.arange(len(reader)), records.reshape(-1).view(np.uint8).data)
    return reader, records


def test_shards_hold_the_events_and_nothing_else_is_left(made):
    manifest = ShardManifest.read(made)
    assert (manifest.shards, manifest.events_per_shard) == (3, 128)
    assert [path.stat().st_size for path in sorted(made.glob("*.bin"))] == [
        128 * RECORD_BYTES,
        128 * RECORD_BYTES,
        44 * RECORD_BYTES,
    ]
    assert {path.suffix for path in made.iterdir()} == {".bin", ".npz", ".json", ""}
    assert missing_shards(made, manifest) == []


def test_an_event_is_its_signal_and_unit_noise(made):
    reader, strain = all_records(made)
    simulator = SETTINGS.simulator()
    signals = simulator.signals(np.arange(64, 96))
    np.testing.assert_array_equal(reader.theta[64:96], simulator.parameters(np.arange(64, 96)).numpy())
    np.testing.assert_allclose(
        reader.optimal_snr[64:96],
        np.sqrt((np.abs(signals.numpy()).astype(float) ** 2).sum((1, 2))),
        rtol=1e-5,
    )
    noise = strain[64:96] - simulator.observation.to_series(signals).numpy()
    in_band = simulator.observation.num_frequencies / 1024
    assert noise.var() == pytest.approx(in_band, rel=0.02)
    assert np.bincount(reader.psd_index, minlength=2).min() > 100


def test_workers_make_the_same_bits_as_this_process(made, tmp_path):
    simulate(SETTINGS, tmp_path, workers=2)
    assert content(tmp_path) == content(made)
    assert ShardManifest.read(tmp_path) == ShardManifest.read(made)


def test_an_event_does_not_depend_on_the_number_of_events_or_the_size_of_a_shard(made, tmp_path):
    simulate(data_set(events=70, blocks_per_shard=1), tmp_path, workers=0)
    assert b"".join(content(tmp_path).values()) == b"".join(content(made).values())[: 70 * RECORD_BYTES]


def test_signals_are_stored_without_noise_up_to_a_frequency(made, tmp_path):
    simulate(data_set(events=64, content="signal", signal_below_hz=200.0), tmp_path, workers=0)
    reader, records = all_records(tmp_path)
    simulator = SETTINGS.simulator()
    assert reader.manifest.record.dtype == "complex64"
    np.testing.assert_array_equal(
        records[:8], simulator.signals(np.arange(8)).numpy()[..., : records.shape[-1]]
    )
    assert float(simulator.observation.frequency_hz[records.shape[-1] - 1]) == 200.0


def test_goes_on_after_a_stop_in_the_middle(made, tmp_path):
    class Stop(Exception):
        pass

    def stop(done, events):
        if done >= 192:
            raise Stop

    for _ in range(2):  # the second start stops before it has done anything
        with pytest.raises(Stop):
            simulate(SETTINGS, tmp_path, workers=0, progress=stop)
    assert partial_path(tmp_path, 1).exists()
    with pytest.raises(ShardError, match=r"2 of 3 shards are missing, 1 of them partial.*events-00001\.bin"):
        ShardReader(tmp_path)
    simulated = []
    simulate(SETTINGS, tmp_path, workers=0, progress=lambda done, events: simulated.append(done))
    assert simulated[0] == 192
    assert content(tmp_path) == content(made)


def test_what_was_not_written_to_the_end_is_made_again(made, copied):
    # a line cut off, a block whose bytes never reached the disk, a shard named but without its table
    os.replace(records_path(copied, 0), partial_path(copied, 0))
    table_path(copied, 0).unlink()
    table_path(copied, 1).unlink()
    table = np.load(table_path(made, 0))
    lines = [
        json.dumps({"block": block, "crc32": int(table["crc32"][block]), "optimal_snr": [1.0] * 64})
        for block in range(2)
    ]
    journal_path(copied, 0).write_text("\n" + lines[0] + "\n" + lines[1][:40])
    simulated = []
    simulate(SETTINGS, copied, workers=0, progress=lambda done, events: simulated.append(done))
    assert simulated[0] == 300 - 128 - 64
    assert content(copied) == content(made)
    with partial_path(copied, 0).open("wb") as file:
        file.write(b"\0" * 64 * RECORD_BYTES)
    records_path(copied, 0).unlink()
    table_path(copied, 0).unlink()
    journal_path(copied, 0).write_text("\n" + lines[0])
    simulate(SETTINGS, copied, workers=0)
    assert content(copied) == content(made)


def test_goes_on_after_kill_9(made, tmp_path):
    command = [sys.executable, "-m", "lightning_itwin.datamodules.gw", "simulate", "--workers", "1"]
    command += ["--out", str(tmp_path), "--events", "300", "--seed", "7", "--prior", "ligo_bbh"]
    command += ["--waveform", WAVEFORM, "--shard_gb", str(SETTINGS.shard_gb)]
    for name, value in dataclasses.asdict(OBSERVATION).items():
        command += [f"--observation.{name}", json.dumps(value) if isinstance(value, list) else str(value)]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*.journal")) and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    running.send_signal(signal.SIGKILL)
    running.wait()
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert told.returncode == 0, told.stderr
    assert content(tmp_path) == content(made)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"events": 301}, "events: there 300, wanted 301"),
        ({"content": "signal"}, "content: there 'strain', wanted 'signal'"),
        ({"signal": dataclasses.replace(SIGNAL, seed=8)}, "seed: there 7, wanted 8"),
        ({"signal": dataclasses.replace(SIGNAL, waveform="lalsimulation:IMRPhenomXAS")}, "waveform: there"),
        (
            {
                "signal": dataclasses.replace(
                    SIGNAL, observation=dataclasses.replace(OBSERVATION, psds=["aplus"])
                )
            },
            "psd_hash: there",
        ),
    ],
)
def test_other_settings_are_refused_by_name(made, changes, says):
    with pytest.raises(ShardError, match=says):
        simulate(data_set(**changes), made, workers=0)


def test_other_versions_are_told(copied):
    manifest = ShardManifest.read(copied)
    dataclasses.replace(manifest, versions={**manifest.versions, "torch": "1.0"}).write(copied)
    with pytest.warns(UserWarning, match=r"torch 1\.0"):
        simulate(SETTINGS, copied, workers=0)


def test_a_second_process_is_refused(made):
    with (made / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ShardError, match="Another process"):
            simulate(SETTINGS, made, workers=0)


def test_too_little_space_is_told_in_gb_before_any_work(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10**9)
    monkeypatch.setattr(simulate_module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ShardError, match=r"need 1\.6 GB more .*1\.0 GB are free"):
        simulate(data_set(events=100_000), tmp_path / "new", workers=0)
    assert not (tmp_path / "new" / "manifest.json").exists()


def test_a_cut_shard_is_refused(copied):
    with records_path(copied, 1).open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(ShardError, match=r"events-00001\.bin holds 1000 bytes instead of"):
        ShardReader(copied)


def test_a_flipped_bit_is_found_by_its_block(copied):
    with records_path(copied, 1).open("r+b") as file:
        file.seek(70 * RECORD_BYTES)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    ShardReader(copied)
    with pytest.raises(ShardError, match=r"events-00001\.bin is damaged.*1 blocks is wrong \(first: 1\)"):
        ShardReader(copied, verify=True)


@pytest.mark.parametrize("name", ["events", "shard_gb"])
def test_sizes_must_be_positive(name, tmp_path):
    with pytest.raises(ValueError, match="at least 1"):
        simulate(data_set(**{name: 0}), tmp_path, workers=0)


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(ShardError, match=r"no manifest\.json"):
        ShardReader(tmp_path)
