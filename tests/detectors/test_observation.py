from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from lightning_itwin.detectors import Observation, ObservationSettings

pytest.importorskip("bilby")
SMALL = {"duration_s": 4.0, "sample_rate_hz": 1024.0}


def test_the_default_is_the_triangle_with_its_full_band() -> None:
    observation = Observation(ObservationSettings())
    assert observation.names == ["ET1", "ET2", "ET3"]
    assert observation.samples == 65536
    assert (observation.num_detectors, observation.num_psds) == (3, 1)
    assert observation.frequency_hz[0] == 10.0
    assert observation.frequency_hz[-1] == 4096.0 - 0.125  # Nyquist's own bin is real: it is left out
    assert observation.standard_deviation.shape == (1, 3, observation.num_frequencies)


def test_the_noise_level_is_that_of_the_psd() -> None:
    detector = pytest.importorskip("bilby.gw.detector")
    settings = ObservationSettings(
        detectors=["H1", "V1"], minimum_frequency_hz=20.0, psds=["aLIGO_O4_high", ["ET_D", "AdV"]], **SMALL
    )
    observation = Observation(settings)
    assert observation.num_psds == 2
    truth = detector.PowerSpectralDensity(psd_file="AdV_psd.txt").get_power_spectral_density_array(
        observation.frequency_hz.numpy()
    )
    torch.testing.assert_close(observation.standard_deviation[1, 1], torch.from_numpy(truth).sqrt())
    assert torch.equal(observation.standard_deviation[0, 0], observation.standard_deviation[0, 1])


def test_settings_go_through_json_and_become_self_contained(tmp_path: Path) -> None:
    path = tmp_path / "my_psd.txt"
    path.write_text("1 1e-46\n2000 3e-46\n", encoding="utf-8")
    settings = ObservationSettings(
        detectors=["H1"], psds=[str(path), "aLIGO_O4_high"], **SMALL, minimum_frequency_hz=20.0
    )
    truth = Observation(settings).standard_deviation
    again = ObservationSettings.from_dict(json.loads(json.dumps(asdict(settings))))
    assert again == settings
    alone = ObservationSettings.from_dict(json.loads(json.dumps(asdict(settings.self_contained()))))
    path.unlink()
    assert torch.equal(Observation(alone).standard_deviation, truth)


def test_full_band_noise_has_unit_variance_in_every_sample() -> None:
    observation = Observation(ObservationSettings(minimum_frequency_hz=1.0, **SMALL))
    series = observation.to_series(observation.noise(20, range(20)))
    assert series.shape == (20, 3, 4096)
    assert series.dtype == torch.float32
    assert series.var().item() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_series_and_spectrum_are_inverse_in_the_band(dtype: torch.dtype) -> None:
    observation = Observation(ObservationSettings(maximum_frequency_hz=300.0, **SMALL))
    spectrum = observation.noise(3, torch.Generator().manual_seed(1)).to(dtype)
    series = observation.to_series(spectrum)
    torch.testing.assert_close(observation.to_spectrum(series), spectrum, rtol=1e-5, atol=1e-5)
    assert torch.equal(observation.to_series(spectrum[1:2])[0], series[1])
    torch.testing.assert_close(observation.to_series(spectrum[0, 0]), series[0, 0])
    # Parseval: the sum of squares of a series is that of its spectrum
    torch.testing.assert_close(
        series.pow(2).sum().double(), spectrum.abs().pow(2).sum().double(), rtol=1e-4, atol=0
    )


def test_seeded_noise_is_the_same_in_any_batch() -> None:
    observation = Observation(ObservationSettings(**SMALL))
    together = observation.noise(3, [(1, 7), (1, 8), (1, 9)])
    assert torch.equal(together[2:], observation.noise(1, [(1, 9)]))
    with pytest.raises(ValueError, match="as many seeds"):
        observation.noise(2, [1])


def test_moving_to_a_device_keeps_the_rest() -> None:
    observation = Observation(ObservationSettings(**SMALL))
    moved = observation.to("meta")
    assert moved.frequency_hz.device.type == "meta"
    assert moved.names == observation.names
    assert observation.frequency_hz.device.type == "cpu"
    assert observation.to("cpu") is observation


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"duration_s": 1.0, "sample_rate_hz": 1023.0}, "even number"),
        ({"minimum_frequency_hz": 0.0}, "minimum_frequency_hz"),
        ({"maximum_frequency_hz": 5000.0}, "maximum_frequency_hz"),
        ({"maximum_frequency_hz": 5.0}, "maximum_frequency_hz"),
        ({"after_merger_s": 9.0}, "after_merger_s"),
        ({"psds": []}, "psds"),
    ],
)
def test_settings_that_make_no_observation_are_refused(values: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ObservationSettings(**values)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="colour"):
        ObservationSettings.from_dict({"colour": 1})
    with pytest.raises(ValueError, match="one for each"):
        Observation(ObservationSettings(psds=[["ET_D", "ET_D"]]))
    with pytest.raises(ValueError, match="Narrow the band"):
        Observation(ObservationSettings(detectors=["H1"], psds=["aLIGO_O4_high"], minimum_frequency_hz=5.0))
    with pytest.raises(ValueError, match="65536 samples"):
        Observation(ObservationSettings()).to_spectrum(torch.zeros(1, 3, 100))
