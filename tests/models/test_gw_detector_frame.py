"""DetectorFrame against bilby's frames, and its volume against the derivative of its own map."""

import math

import numpy as np
import pytest
import torch

bilby = pytest.importorskip("bilby")

from scipy.stats import kstest  # noqa: E402

from lightning_itwin.detectors import Observation, ObservationSettings  # noqa: E402
from lightning_itwin.inference import Prior  # noqa: E402
from lightning_itwin.models.gw_detector_frame import DetectorFrame  # noqa: E402
from tests.no_copies import no_copies_from_the_host  # noqa: E402

GPS_TIME_S = 1126259462.4
PRIOR = """
chirp_mass = Uniform(minimum=30, maximum=60)
dec = Cosine(name='dec')
geocent_time = Uniform(minimum=-0.1, maximum=0.1)
ra = Uniform(minimum=0, maximum=2 * np.pi, boundary='periodic')
mass_ratio = 0.8
"""


def observation(*detectors: str) -> Observation:
    psds = ["ET_D"] if detectors == ("ET",) else ["aLIGO_O4_high_asd.txt"]
    return Observation(
        ObservationSettings(
            detectors=list(detectors),
            gps_time_s=GPS_TIME_S,
            duration_s=1.0,
            sample_rate_hz=256.0,
            minimum_frequency_hz=20.0,
            maximum_frequency_hz=100.0,
            psds=psds,
        )
    )


def made(*detectors: str, text: str = PRIOR) -> tuple[DetectorFrame, Prior]:
    prior = Prior(text)
    return DetectorFrame(observation(*detectors), prior, prior.names), prior


@pytest.mark.parametrize("detectors", [("H1", "L1"), ("H1", "L1", "V1"), ("ET",), ("CE",)])
def test_there_and_back_is_the_same_and_the_volumes_cancel(detectors: tuple[str, ...]) -> None:
    frame, prior = made(*detectors)
    theta = prior.sample(2000, seed=1)
    turned, log_volume = frame.to_frame(theta)
    back, log_volume_back = frame.from_frame(turned)
    torch.testing.assert_close(back, theta, rtol=0, atol=1e-9)
    torch.testing.assert_close(log_volume, -log_volume_back, rtol=0, atol=1e-8)
    assert bool(((turned >= prior.minimum) & (turned <= prior.maximum)).all())
    assert float((turned - theta)[:, prior.names.index("chirp_mass")].abs().max()) == 0


@pytest.mark.parametrize("detectors", [("H1", "L1"), ("ET",)])
def test_the_volume_is_that_of_the_map(detectors: tuple[str, ...]) -> None:
    frame, prior = made(*detectors)
    for theta in prior.sample(20, seed=2):
        jacobian = torch.func.jacrev(lambda one: frame.to_frame(one[None])[0][0])(theta)
        wanted = torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(frame.to_frame(theta[None])[1][0], wanted, rtol=0, atol=1e-8)


@pytest.mark.parametrize("detectors", [("H1", "L1"), ("ET",)])
def test_the_prior_stays_the_same(detectors: tuple[str, ...]) -> None:
    frame, prior = made(*detectors)
    turned, _ = frame.to_frame(prior.sample(20_000, seed=3))
    uniforms = prior.cdf(turned)
    for column in range(len(prior.names)):
        assert kstest(np.asarray(uniforms)[:, column], "uniform").pvalue > 1e-3


def test_time_and_pole_are_bilbys() -> None:
    frame, prior = made("H1", "L1")
    detectors = bilby.gw.detector.InterferometerList(["H1", "L1"])
    columns = [prior.names.index(name) for name in ("ra", "dec", "geocent_time")]
    for theta in prior.sample(50, seed=4):
        ra, dec, time_s = (float(theta[column]) for column in columns)
        turned = frame.to_frame(theta[None])[0][0]
        delay_s = detectors[0].time_delay_from_geocenter(ra, dec, GPS_TIME_S)
        off_s = math.remainder(float(turned[columns[2]]) - time_s - delay_s, 0.2)
        assert abs(off_s) < 1e-6
        zenith = math.pi / 2 - float(turned[columns[1]])
        # about the same pole bilby counts azimuths its own way: one of them is the source's
        separations = []
        for azimuth in np.linspace(0, 2 * np.pi, 721):
            there = bilby.gw.utils.zenith_azimuth_to_ra_dec(zenith, azimuth, GPS_TIME_S, detectors)
            separations.append(separation(ra, dec, *there))
        assert min(separations) < 0.01


def separation(ra: float, dec: float, other_ra: float, other_dec: float) -> float:
    cosine = math.sin(dec) * math.sin(other_dec) + math.cos(dec) * math.cos(other_dec) * math.cos(
        ra - other_ra
    )
    return math.acos(max(-1.0, min(1.0, cosine)))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_nothing_is_copied_from_the_host(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frame, prior = made("H1", "L1")
    frame, theta = frame.to(device), prior.sample(4, seed=5).to(device)
    with no_copies_from_the_host(monkeypatch, device):
        frame.from_frame(frame.to_frame(theta)[0])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("dec = Cosine(name='dec')", "dec = 0.3"),
        ("dec = Cosine(name='dec')", "dec = Uniform(minimum=-1, maximum=1)"),
        ("maximum=2 * np.pi, boundary='periodic'", "maximum=3"),
        ("Uniform(minimum=-0.1, maximum=0.1)", "Gaussian(mu=0, sigma=0.01)"),
    ],
)
def test_other_priors_are_refused(old: str, new: str) -> None:
    with pytest.raises(ValueError, match="reference_frame: detectors needs"):
        made("H1", "L1", text=PRIOR.replace(old, new))
