"""ArrivalFinder against times that are known, and the time's coordinate against its own derivative."""

import copy

import pytest
import torch

pytest.importorskip("bilby")

from lightning_itwin.cuda_graph import RecordedFunction
from lightning_itwin.detectors import Observation, ObservationSettings, SignalModel
from lightning_itwin.inference import Prior
from lightning_itwin.models.gw_arrivals import ArrivalFinder, TimeFromArrival
from lightning_itwin.models.gw_coordinates import GaussianCoordinates
from lightning_itwin.models.gw_detector_frame import DetectorFrame
from lightning_itwin.waveforms import Binary, make_waveform

PRIOR = """
chirp_mass = Uniform(minimum=20, maximum=40)
mass_ratio = Uniform(minimum=0.5, maximum=1)
luminosity_distance = Uniform(minimum=100, maximum=1500)
ra = Uniform(minimum=0, maximum=2 * np.pi, boundary='periodic')
dec = Cosine(name='dec')
geocent_time = Uniform(minimum=-0.1, maximum=0.1)
psi = Uniform(minimum=0, maximum=np.pi, boundary='periodic')
phase = Uniform(minimum=0, maximum=2 * np.pi, boundary='periodic')
theta_jn = 0.4
"""
LIGO_VIRGO = ("H1", "L1", "V1")


def observation(*detectors: str) -> Observation:
    settings = {"duration_s": 4.0, "sample_rate_hz": 1024.0, "maximum_frequency_hz": 400.0}
    psds = ["ET_D"] if detectors == ("ET",) else ["aLIGO_O4_high_asd.txt", "aplus"]
    return Observation(
        ObservationSettings(
            detectors=list(detectors), minimum_frequency_hz=20.0, after_merger_s=1.0, psds=psds, **settings
        )
    )


class Signals:
    """Signals of known arrival, all of one SNR, in noise or not."""

    def __init__(self, *detectors: str, num: int = 60) -> None:
        self.observation, self.prior = observation(*detectors), Prior(PRIOR)
        self.model = SignalModel(make_waveform("IMRPhenomPv2"), self.observation)
        binary = Binary.from_table(*self.prior.with_fixed(self.prior.sample(num, seed=3)))
        self.psd_index = torch.arange(num) % self.observation.num_psds
        self.arrival_BD = self.model.projection(binary)[2]
        spectra = self.model(binary, self.psd_index)
        self.share_BD = spectra.abs().square().sum(-1) / spectra.abs().square().sum((1, 2))[:, None]
        self.spectra = spectra / spectra.abs().square().sum((1, 2), keepdim=True).sqrt()
        self.finder = ArrivalFinder(self.observation, self.prior)
        self.finder.start_from(self.model.waveform, self.prior, self.observation.frequency_hz)

    def strain(self, snr: float, noise: float = 1.0) -> torch.Tensor:
        drawn = self.observation.noise(len(self.spectra), torch.Generator().manual_seed(1))
        return self.observation.to_series(snr * self.spectra + noise * drawn)


@pytest.mark.parametrize("detectors", [LIGO_VIRGO, ("ET",), ("ET", "H1")])
def test_times_and_snrs_are_those_of_the_signals(detectors: tuple[str, ...]) -> None:
    signals = Signals(*detectors)
    arrivals = signals.finder(signals.strain(30.0, noise=0.0), signals.psd_index)
    late = (arrivals.time_s - signals.arrival_BD)[signals.share_BD > 0.05]
    assert late.std() < 2.5e-3  # masses that are not a template's move it by some
    snr = arrivals.snr.abs().square().sum(dim=1).sqrt()
    assert float(snr.mean()) > 0.7 * 30
    assert float(snr.max()) < 30.01  # no filter hears more than there is


def test_in_noise_loud_signals_are_found() -> None:
    signals = Signals("H1", "L1")
    found = signals.finder(signals.strain(15.0), signals.psd_index)
    wrong = (found.time_s - signals.arrival_BD).abs()[signals.share_BD > 0.2] > 5e-3
    assert wrong.double().mean() < 0.05


def test_a_signal_that_comes_later_is_found_as_much_later() -> None:
    signals = Signals("H1", "L1", num=20)
    strain = signals.strain(20.0)
    there = (signals.arrival_BD.abs() < 0.05).all(dim=1)
    found = signals.finder(strain, signals.psd_index)
    shifted = signals.finder(strain.roll(20, dims=-1), signals.psd_index)
    later = (shifted.time_s - found.time_s)[there] * 1024
    torch.testing.assert_close(later, torch.full_like(later, 20.0), rtol=0, atol=0.01)
    torch.testing.assert_close(shifted.snr[there], found.snr[there], rtol=1e-3, atol=1e-3)


def test_detectors_of_one_site_share_a_time() -> None:
    signals = Signals("ET", num=5)
    arrivals = signals.finder(signals.strain(20.0))
    times = arrivals.time_s
    assert times.shape == arrivals.snr.shape == (5, 3)
    assert torch.equal(times[:, 0], times[:, 2])
    assert signals.finder.features(arrivals, times[:, 0]).shape == (5, signals.finder.num_features)


def test_templates_are_chosen_alike_and_travel_in_a_state_dict() -> None:
    signals = Signals("H1", "L1", num=4)
    again = ArrivalFinder(signals.observation, signals.prior)
    strain = signals.strain(10.0)
    again.load_state_dict(signals.finder.state_dict())
    for found, wanted in zip(again(strain, signals.psd_index), signals.finder(strain, signals.psd_index)):
        assert torch.equal(found, wanted)
    assert len(torch.unique(signals.finder.template_KF.abs().sum(dim=1))) == 4


def test_a_time_without_bounds_is_refused() -> None:
    prior = Prior(PRIOR.replace("Uniform(minimum=-0.1, maximum=0.1)", "Gaussian(mu=0, sigma=0.1)"))
    with pytest.raises(ValueError, match="needs a prior of geocent_time with bounds"):
        ArrivalFinder(observation("H1", "L1"), prior)


def test_a_window_as_long_as_the_strain_is_the_strain() -> None:
    prior = Prior(PRIOR.replace("minimum=-0.1, maximum=0.1", "minimum=-5, maximum=5"))
    finder = ArrivalFinder(observation("H1", "L1"), prior)
    assert len(finder.lags_L) == finder._points == 2048


@pytest.mark.gpu
def test_on_a_gpu_arrivals_come_from_a_graph_and_are_those_of_the_cpu() -> None:
    signals = Signals("H1", "L1", num=40)
    strain, on_gpu = signals.strain(15.0), copy.deepcopy(signals.finder).cuda()
    recorded = RecordedFunction(on_gpu.forward, on_gpu.buffers)
    for count in (40, 7):
        inputs = strain[:count], signals.psd_index[:count]
        time_s, snr = (each.cpu() for each in recorded(*(each.cuda() for each in inputs)))
        wanted = signals.finder(*inputs)
        assert ((time_s - wanted.time_s).abs() < 1e-5).double().mean() > 0.95
        assert ((snr - wanted.snr).abs() < 1e-2).double().mean() > 0.95


def coordinates(prior: Prior) -> GaussianCoordinates:
    probabilities = GaussianCoordinates.probabilities()[:, None].expand(-1, len(prior.names))
    return GaussianCoordinates(
        prior.rescale(probabilities), prior.minimum, torch.zeros(len(prior.names), dtype=torch.float64)
    )


@pytest.mark.parametrize("in_frame", [False, True])
def test_the_time_is_turned_there_and_back(in_frame: bool) -> None:
    prior = Prior(PRIOR)
    column = prior.names.index("geocent_time")
    frame = DetectorFrame(observation("H1", "L1"), prior, prior.names) if in_frame else None
    time = TimeFromArrival(coordinates(prior), column, frame)
    arrival = time.coordinate(torch.tensor([-0.12, -0.02, 0.0, 0.03, 0.119], dtype=torch.float64))
    assert bool((arrival.abs() <= 3).all())
    assert arrival[2].item() == pytest.approx(0, abs=1e-9)
    z = torch.randn(5, len(prior.names), dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    x, log_slope = time.to_flow(z, arrival)
    back, log_slope_back = time.from_flow(x, arrival)
    torch.testing.assert_close(back, z)
    torch.testing.assert_close(log_slope_back, -log_slope)
    for event in range(5):
        one = arrival[event : event + 1]
        jacobian = torch.func.jacrev(lambda row: time.to_flow(row[None], one)[0][0])(z[event])  # noqa: B023
        wanted = torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(log_slope[event], wanted)


def test_a_time_in_the_frame_comes_in_at_the_other_end() -> None:
    prior = Prior(PRIOR)
    frame = DetectorFrame(observation("H1", "L1"), prior, prior.names)
    time = TimeFromArrival(coordinates(prior), prior.names.index("geocent_time"), frame)
    early, late = time.coordinate(torch.tensor([-0.11, 0.09], dtype=torch.float64))
    assert early.item() == pytest.approx(late.item())
