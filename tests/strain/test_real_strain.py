"""Real strain of the Gravitational Wave Open Science Center: read, cleaned, whitened, injected into.

Set GWOSC_FOLDER to a folder with files of 32 s at 4096 Hz, such as that of GW150914,
H-H1_LOSC_4_V2-1126259446-32.hdf5.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from lightning_itwin.strain.aligned_channels import align_channels
from lightning_itwin.strain.alignment import Clock, fill_row
from lightning_itwin.strain.channel_pieces import Channel
from lightning_itwin.strain.cleaned_strain import NoiseRun, write_cleaned
from lightning_itwin.strain.data_quality import list_flags, read_flags
from lightning_itwin.strain.hdf5_channels import read_channels
from lightning_itwin.strain.sources import find_channels
from lightning_itwin.strain.spectra import median_asd
from lightning_itwin.strain.whitening import whitening_filter

NAME = "strain/Strain"
FOLDER = Path(os.environ.get("GWOSC_FOLDER", "gwosc"))
FILES = sorted(FOLDER.glob("?-??_LOSC_4_V*-32.hdf5"))
SMALL = Path(__file__).parent / "fixtures" / "H-H1_LOSC_4_V2-1126259460-4.hdf5"
GW150914_S = 1126259462.42

needs_files = pytest.mark.skipif(not FILES, reason="no files of GWOSC; GWOSC_FOLDER names their folder")


def chirp(time_s, merger_s):
    """A binary's inspiral by the quadrupole formula, chirp mass 30 solar masses, from 30 to 250 Hz."""
    mass_s = 30 * 4.925e-6
    before_s = np.maximum(merger_s - time_s, 1e-4)
    phase = -2 * (before_s / (5 * mass_s)) ** (5 / 8)
    hz = (5 / 256 / before_s) ** (3 / 8) * mass_s ** (-5 / 8) / np.pi
    inside = (time_s < merger_s) & (hz > 30) & (hz < 250)
    return 1e-21 * (hz / 100) ** (2 / 3) * np.cos(phase) * inside


def white(channel):
    flatten = whitening_filter(channel.values, channel.sample_rate_hz, (35.0, 350.0), 1.0)
    return flatten(channel.values), len(flatten.taps) // 2, flatten


@needs_files
@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_a_file_is_read_with_rate_time_and_flags(file):
    (strain,) = read_channels(file, [NAME])
    start_s, seconds = (int(word) for word in file.stem.split("-")[2:])
    assert (strain.sample_rate_hz, strain.gps_start_s, strain.gps_end_s) == (4096, start_s, start_s + seconds)
    frequency_hz, asd = median_asd(strain.values, 4096.0, 4.0)
    quiet = (frequency_hz > 100) & (frequency_hz < 200)
    assert 3e-24 < np.median(asd[quiet]) < 3e-23
    assert {"DATA", "CBC_CAT1"} <= set(list_flags(file))
    assert read_flags([file], ["DATA"]).tolist() == [[start_s, start_s + seconds]]


@needs_files
@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_whitened_strain_is_white_and_an_injection_is_found_in_it(file):
    (strain,) = read_channels(file, [NAME])
    time_s = np.arange(len(strain.values)) / 4096.0
    quiet, lost, flatten = white(strain)
    assert lost == 2047
    assert quiet[4096:-4096].std() == pytest.approx(1.0, abs=0.1)
    for at_s in (6.0, 25.0):
        signal = chirp(time_s, at_s)
        signal *= 20 / np.linalg.norm(flatten(signal + flatten.offset))
        template = flatten(signal + flatten.offset) / 20
        loud = flatten(strain.values + signal)
        np.testing.assert_allclose(loud - quiet, 20 * template, atol=1e-6)
        # white noise in 315 of 2048 Hz: the filter's output has the deviation sqrt(2048 / 315)
        assert np.dot(quiet, template) < 4 * np.sqrt(2048 / 315)
        assert np.dot(loud, template) == pytest.approx(20 + np.dot(quiet, template))


@needs_files
def test_gw150914_stands_out_of_the_whitened_strain():
    file = next(path for path in FILES if path.name.startswith("H-H1") and "1126259446" in path.name)
    (strain,) = read_channels(file, [NAME])
    whitened, lost, _ = white(strain)
    loudest_s = strain.gps_start_s + (lost + np.abs(whitened).argmax()) / 4096
    assert loudest_s == pytest.approx(GW150914_S, abs=0.02)


def test_four_seconds_of_it_are_resampled_and_cleaned(tmp_path):
    strain = find_channels(SMALL, [NAME])[0][NAME]
    row = np.empty(4 * 1024)
    fill_row(strain, Clock(gps_start_s=1126259460.0, sample_rate_hz=1024.0, samples=4096), row)
    assert np.isfinite(row).all()
    time_s = np.arange(4096) / 1024
    sine = 1e-21 * np.sin(2 * np.pi * 60 * time_s)
    run = NoiseRun(gps_start_s=strain.gps_start_s, blocks=[sine])
    write_cleaned(tmp_path / "cleaned.hdf5", strain, [run], 1024.0)
    (before,), (after,) = (read_channels(path, [NAME]) for path in (SMALL, tmp_path / "cleaned.hdf5"))
    expected = 1e-21 * np.sin(2 * np.pi * 60 * np.arange(4 * 4096) / 4096)
    inner = slice(4096, -4096)
    np.testing.assert_allclose((before.values - after.values)[inner], expected[inner], atol=1e-25)


def test_it_goes_through_the_audit_beside_a_made_up_witness():
    (strain,) = read_channels(SMALL, [NAME])
    witness = Channel(
        name="V1:MADE_UP",
        values=np.random.default_rng(0).standard_normal(4 * 50),
        sample_rate_hz=50.0,
        gps_start_s=strain.gps_start_s,
    )
    aligned = align_channels([strain, witness], 1024.0)
    assert aligned.values.shape == (2, 4096)
    assert aligned.segments.tolist() == [[0, 4096]]
    assert aligned.warnings == ()
