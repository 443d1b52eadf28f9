from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from lightning_itwin.detectors import PowerSpectralDensity, estimate_psd, read_psd

FREQUENCY_HZ = np.arange(80, 8000) / 8


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("ET_D", {"psd_file": "ET_D_psd.txt"}),
        ("aLIGO_O4_high", {"asd_file": "aLIGO_O4_high_asd.txt"}),
        ("AdV_asd", {"asd_file": "AdV_asd.txt"}),
        ("CE_psd.txt", {"psd_file": "CE_psd.txt"}),
    ],
)
def test_bilbys_noise_curves_are_read_by_name(name: str, file: dict[str, str]) -> None:
    detector = pytest.importorskip("bilby.gw.detector")
    frequency_hz = FREQUENCY_HZ[FREQUENCY_HZ > 15]
    truth = detector.PowerSpectralDensity(**file).get_power_spectral_density_array(frequency_hz)
    np.testing.assert_allclose(read_psd(name).at(frequency_hz), truth, rtol=1e-12)


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("mine_psd.txt", (1e-46, 4e-46)),
        ("mine_asd.txt", (1e-23, 2e-23)),
        ("curve.txt", (1e-46, 4e-46)),
        ("curve.dat", (1e-23, 2e-23)),
    ],
)
def test_a_text_file_may_hold_psd_or_asd(tmp_path: Path, file: str, values: tuple[float, float]) -> None:
    path = tmp_path / file
    path.write_text(f"# f and noise\n10 {values[0]}\n1000 {values[1]}\n", encoding="utf-8")
    assert read_psd(str(path)).psd_per_hz == pytest.approx((1e-46, 4e-46))


def test_a_mapping_of_its_fields_gives_it_back() -> None:
    psd = PowerSpectralDensity(name="mine", frequency_hz=(1.0, 2.0), psd_per_hz=(3.0, 4.0))
    assert read_psd(asdict(psd)) == psd
    assert read_psd(psd) is psd
    assert psd.at(np.array([1.5])).tolist() == [3.5]


def test_what_is_no_psd_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("bilby")
    with pytest.raises(ValueError, match=r"noise curves: .*ET_D"):
        read_psd("ET_Z")
    path = tmp_path / "one_psd.txt"
    path.write_text("10\n20\n", encoding="utf-8")
    with pytest.raises(ValueError, match="two columns"):
        read_psd(str(path))
    with pytest.raises(ValueError, match="as many values"):
        PowerSpectralDensity(name="x", frequency_hz=(1.0, 2.0), psd_per_hz=(1.0,))
    with pytest.raises(ValueError, match="ascend"):
        PowerSpectralDensity(name="x", frequency_hz=(2.0, 1.0), psd_per_hz=(1.0, 1.0))
    with pytest.raises(ValueError, match="above 0"):
        PowerSpectralDensity(name="x", frequency_hz=(1.0, 2.0), psd_per_hz=(0.0, 1.0))


def test_a_band_beyond_the_curve_is_refused() -> None:
    psd = PowerSpectralDensity(name="short", frequency_hz=(20.0, 100.0), psd_per_hz=(1.0, 1.0))
    with pytest.raises(ValueError, match="'short' is known from 20 to 100 Hz, the band is 10"):
        psd.at(np.array([10.0, 50.0]))


def test_welchs_median_finds_the_psd_and_leaves_the_event_out() -> None:
    signal = pytest.importorskip("scipy.signal")
    rate_hz, level = 1024.0, 1e-44
    strain = np.random.default_rng(1).normal(size=256 * 1024) * np.sqrt(level * rate_hz / 2)
    strain[100 * 1024 : 101 * 1024] += 1e-18  # the event
    strain[200 * 1024] = np.nan  # a gap
    psd = estimate_psd(strain, rate_hz, segment_s=4.0, start_s=1000.0, exclude_s=(1099.0, 1102.0))
    made = psd.at(np.arange(20, 500, 0.25))
    assert made.mean() == pytest.approx(level, rel=0.01)
    assert made.std() < 0.2 * level
    clean = np.nan_to_num(strain[: 96 * 1024])
    frequency_hz, truth = signal.welch(
        clean, rate_hz, window="hann", nperseg=4096, average="median", detrend="constant"
    )
    made = np.array(estimate_psd(clean, rate_hz, segment_s=4.0).psd_per_hz)
    np.testing.assert_allclose(made, truth[1:-1], rtol=1e-9)
    assert frequency_hz[1] == 0.25


def test_too_little_data_is_refused() -> None:
    pytest.importorskip("scipy")
    with pytest.raises(ValueError, match="only 3 segments"):
        estimate_psd(np.ones(2048), 128.0, segment_s=8.0)
