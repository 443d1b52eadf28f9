import os
import signal
import subprocess
import sys
import time

import pytest

from lightning_itwin.datamodules.gw.__main__ import main
from lightning_itwin.datamodules.gw.shard_format import ShardManifest, records_path
from tests.datamodules.gw.small import BLOCK_GB, WAVEFORM

SMALL = ["--prior", "ligo_bbh", "--waveform", WAVEFORM, "--workers", "0", "--shard_gb", str(2 * BLOCK_GB)]
SMALL += [
    "--observation.detectors",
    "[H1,L1]",
    "--observation.duration_s",
    "2",
    "--observation.psds",
    "[aplus]",
]
SMALL += ["--observation.sample_rate_hz", "1024", "--observation.minimum_frequency_hz", "30"]


@pytest.fixture(autouse=True)
def keep_signals():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_simulate_inspect_export(tmp_path, capsys):
    folder = tmp_path / "events"
    command = ["simulate", "--events", "150", "--out", str(folder), *SMALL]
    assert main([*command, "--dry-run"]) == 0
    assert "150 events of 16384 bytes: 0.00 GB in 2 shards; about 0:00:0" in capsys.readouterr().out
    assert not folder.exists()
    assert main(command) == 0
    told = capsys.readouterr()
    assert f"{folder}: 150 events" in told.out
    assert told.err.startswith("0 of 150 events\n")
    assert told.err.endswith("150 of 150 events\n")
    assert main(["inspect", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "detectors: H1, L1; 2 s at 1024 Hz from 30 Hz; 1 PSD sets" in told
    assert "checksums of 2 shards are right" in told
    assert main(["export", str(folder), str(tmp_path / "events.h5")]) == 0
    assert (tmp_path / "events.h5").stat().st_size > 150 * 16384


def test_a_config_file_says_the_same_as_arguments(tmp_path):
    config = tmp_path / "simulate.yaml"
    config.write_text(
        f"events: 10\nworkers: 0\nprior: ligo_bbh\nwaveform: {WAVEFORM}\nseed: 3\n"
        "observation:\n  detectors: [H1]\n  duration_s: 2.0\n  sample_rate_hz: 1024.0\n"
        "  minimum_frequency_hz: 30.0\n  psds: [aplus]\n"
    )
    assert main(["simulate", "--config", str(config), "--out", str(tmp_path / "a"), "--seed", "4"]) == 0
    manifest = ShardManifest.read(tmp_path / "a")
    assert manifest.settings["seed"] == 4
    assert manifest.settings["observation"]["detectors"] == ["H1"]


def test_inspect_tells_damage_and_what_is_missing(tmp_path, capsys):
    folder = tmp_path / "events"
    main(["simulate", "--events", "150", "--out", str(folder), *SMALL])
    with records_path(folder, 1).open("r+b") as file:
        file.write(b"x")
    assert main(["inspect", str(folder), "--quick"]) == 0
    assert main(["inspect", str(folder)]) == 2
    assert "Wrong checksums: shard 1, blocks [0]" in capsys.readouterr().err
    records_path(folder, 1).unlink()
    assert main(["inspect", str(folder)]) == 1
    assert "not finished: 1 of 2 shards are missing or partial: [1]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--events", "0"], "events must be at least 1"),
        (["--observation.detectors", "[X9]"], "X9"),
        (["--prior", "no_such_prior"], "no_such_prior"),
        (["--waveform", "nothing"], "Unknown waveform 'nothing'"),
        (["--workers", "-1"], "workers must be at least 0"),
        (["--content", "signal", "--signal_below_hz", "5"], "signal_below_hz must be above"),
        (["--events", "100000000"], "GB more in"),
    ],
)
def test_mistakes_are_told_before_any_work(tmp_path, capsys, arguments, says):
    status = main(["simulate", "--events", "10", "--out", str(tmp_path / "a"), *SMALL, *arguments])
    assert status == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.bin*"))


@pytest.mark.parametrize("arguments", [["--evnts", "3"], ["--events", "many"], ["--content", "both"]])
def test_wrong_flags_are_refused(tmp_path, capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        main(["simulate", "--events", "10", "--out", str(tmp_path), *arguments])
    assert stopped.value.code == 2


def test_a_folder_that_cannot_be_written_is_told(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["simulate", "--events", "10", "--out", str(tmp_path / "file" / "a"), *SMALL]) == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_workers_and_says_how_to_go_on(tmp_path, stop):
    command = [sys.executable, "-m", "lightning_itwin.datamodules.gw", "simulate", "--events", "200000"]
    command += ["--out", str(tmp_path), *SMALL, "--workers", "1"]
    running = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Tests that a shell runs in the background inherit that SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*.journal")) and time.monotonic() < deadline:
        time.sleep(0.01)
    if stop == signal.SIGINT:
        os.killpg(running.pid, stop)  # as a terminal does
    else:
        running.send_signal(stop)
    told = running.communicate(timeout=30)[1]
    assert running.returncode == 130
    assert told.endswith("Stopped. The same command goes on where it was.\n")
    assert "Traceback" not in told
    deadline = time.monotonic() + 20
    while group_is_alive(running.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not group_is_alive(running.pid)


def group_is_alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
