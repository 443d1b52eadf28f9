"""When a signal arrives, found by matched filters, so that a network need not learn every shift of it."""

# B batch, D detectors, G sites, T samples, S sets of PSDs, K templates, F searched frequencies, N binaries,
# L lags, P parameters

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_itwin.detectors import Observation
from lightning_itwin.detectors.projection import SPEED_OF_LIGHT_M_PER_S, time_shift
from lightning_itwin.inference import Prior
from lightning_itwin.models.gw_coordinates import GaussianCoordinates
from lightning_itwin.models.gw_detector_frame import ONE_SITE_M, DetectorFrame, with_columns
from lightning_itwin.waveforms import Binary, Waveform

_TEMPLATES = 4
_BINARIES = 256  # of the prior, among which the templates are chosen
_SEARCHED_TO_HZ = 256.0  # above it lies little that tells the time of a binary black hole
_FEWEST_FREQUENCIES = 64
_EARTH_S = 0.0213  # light, from the centre of the Earth to its surface
_SCALE = 1e23  # brings strain of 1e-23 to 1
_USUAL_SNR = 8.0
_ARRIVAL_WIDTH_S = 1.6e-3  # how well data tell a time of arrival
_GEOCENTRIC_WIDTH_S = 10e-3  # and the geocentric one, without the sky position
_FURTHEST = 3.0  # sigma: an arrival at the rim of the prior, or behind it


class Arrivals(NamedTuple):
    """Where signals were found.

    Args:
        time_s: of arrival after the reference time, the same for detectors of one site, (B, D) float64.
        snr: matched filter there, (B, D) complex64.
    """

    time_s: Tensor
    snr: Tensor


class ArrivalFinder(nn.Module):
    """Matched filters that tell when, and how loudly, a signal arrives at each site.

    A few waveforms of the prior, those that resemble most of it, are slid over the whitened strain. The
    template and the time at which the squared SNRs of all sites together are largest are taken, where other
    sites may hear it as much later or earlier as light takes to them; each site has its own time, a parabola
    through the neighbours of its largest SNR. In pure noise that is some time or other.

    Args:
        observation: detectors, band and PSDs.
        prior: says when a signal may arrive.

    Raises:
        ValueError: geocent_time has no bounds.

    Reference:
        Allen et al. 2012, FINDCHIRP, arXiv:gr-qc/0509116, section IV: the filter, for any phase; Dax et al.
        2021, arXiv:2111.13139: inference that need not learn every shift (GNPE), there by iteration.
    """

    template_KF: Tensor
    inverse_deviation_SDF: Tensor
    lags_L: Tensor
    apart_s: Tensor
    first_of_G: Tensor

    def __init__(self, observation: Observation, prior: Prior) -> None:
        super().__init__()
        settings = observation.settings
        low_s, high_s = _time_bounds_s(prior)
        self._first, self._step_hz = observation.first, observation.step_hz
        searched = math.floor(_SEARCHED_TO_HZ / self._step_hz) - self._first
        count = min(max(searched, _FEWEST_FREQUENCIES), observation.num_frequencies)
        self._points = 2 ** math.ceil(math.log2(2 * (self._first + count)))
        self._spacing_s = settings.duration_s / self._points
        self._merger_s = settings.duration_s - settings.after_merger_s
        low = math.floor((low_s - _EARTH_S) / self._spacing_s)
        high = math.ceil((high_s + _EARTH_S) / self._spacing_s)
        if high - low >= self._points:  # as long as the strain, which is a circle
            low, high = -self._points // 2, self._points // 2 - 1
        self.register_buffer("lags_L", torch.arange(low, high + 1), persistent=False)
        vertex_DM = observation.vertex_m.cpu()
        self._sites = _sites(torch.cdist(vertex_DM, vertex_DM))
        first_of_G = torch.tensor([site[0] for site in self._sites])
        apart_s = (vertex_DM[first_of_G] - vertex_DM[0]).norm(dim=-1) / SPEED_OF_LIGHT_M_PER_S
        self._apart = [math.ceil(seconds / self._spacing_s) + (seconds > 0) for seconds in apart_s.tolist()]
        self.register_buffer("first_of_G", first_of_G, persistent=False)
        self.register_buffer("apart_s", apart_s[1:], persistent=False)
        self.register_buffer("template_KF", torch.zeros(_TEMPLATES, count, dtype=torch.complex64))
        self.read_noise_of(observation)

    @property
    def num_features(self) -> int:
        """Features that ``features`` gives of an event."""
        return len(self._sites) + 3 * sum(map(len, self._sites)) - 2

    def read_noise_of(self, observation: Observation) -> None:
        """Let ``psd_index`` count the sets of PSDs of other data, which are near those of the training."""
        deviation_SDF = observation.standard_deviation[..., : self.template_KF.shape[-1]]
        inverse = (1 / (_SCALE * deviation_SDF)).float().to(self.template_KF.device)
        self.register_buffer("inverse_deviation_SDF", inverse, persistent=False)

    def start_from(self, waveform: Waveform, prior: Prior, frequency_hz: Tensor) -> None:
        """Choose the templates: those of the prior's binaries that resemble most of the others.

        Args:
            waveform: gives the polarisations, on the CPU.
            prior: of the binaries.
            frequency_hz: of the whole band.
        """
        count = self.template_KF.shape[-1]
        binary = Binary.from_table(*prior.with_fixed(prior.sample(_BINARIES, seed=0)))
        plus_NF, _ = waveform(binary, frequency_hz[:count])
        merger_s = torch.tensor(self._merger_s, dtype=torch.float64)
        shift_F = time_shift(merger_s, self._first, count, self._step_hz, torch.complex64)
        plus_NF = (plus_NF * _SCALE).to(torch.complex64) * shift_F
        white_NF = _normalised(plus_NF * self.inverse_deviation_SDF[0, 0].cpu())
        match_NN = torch.stack(
            [torch.fft.ifft(white_NF * one.conj(), n=self._points).abs().amax(-1) for one in white_NF]
        )
        chosen: list[int] = []
        best_N = torch.zeros(len(white_NF))
        for _ in range(len(self.template_KF)):
            chosen.append(int(torch.maximum(match_NN, best_N).mean(dim=1).argmax()))
            best_N = torch.maximum(best_N, match_NN[chosen[-1]])
        self.template_KF.copy_(plus_NF[chosen])

    @torch.no_grad()
    def forward(self, strain: Tensor, psd_index: Tensor | None = None) -> Arrivals:
        """Find the arrivals.

        Args:
            strain: whitened, (B, D, T).
            psd_index: set of PSDs of each event, (B,); the first if None.
        """
        bins = slice(self._first, self._first + self.template_KF.shape[-1])
        spectrum_BDF = torch.fft.rfft(strain.float())[..., bins] * math.sqrt(2 / strain.shape[-1])
        template_SDKF = _normalised(self.template_KF * self.inverse_deviation_SDF[:, :, None]).conj()
        template = template_SDKF[:1] if psd_index is None else template_SDKF[psd_index]
        snr_BDKL = torch.fft.ifft(spectrum_BDF[:, :, None] * template, n=self._points, norm="forward")
        # the transform counts frequencies from the first of the band
        earlier_L = -self.lags_L.double() * self._spacing_s
        turned_L = time_shift(earlier_L, self._first, 1, self._step_hz, snr_BDKL.dtype)[:, 0]
        snr_BDKL = snr_BDKL[..., self.lags_L % self._points] * turned_L
        power_BDKL = torch.view_as_real(snr_BDKL).square().sum(-1)
        power_GBKL = [torch.stack([power_BDKL[:, one] for one in site]).sum(0) for site in self._sites]
        widened = [_widened(power, apart) for power, apart in zip(power_GBKL, self._apart)]
        at_B = torch.stack(widened).sum(0).flatten(1).argmax(1)
        template_B, lag_B = at_B // len(self.lags_L), at_B % len(self.lags_L)
        events_B = torch.arange(len(strain), device=strain.device)
        place_L = torch.arange(len(self.lags_L), device=strain.device)
        times, snrs = {}, {}
        for site, power, apart in zip(self._sites, power_GBKL, self._apart):
            power_BL = power[events_B, template_B]
            near = (place_L - lag_B[:, None]).abs() <= apart
            peak_B = torch.where(near, power_BL, -1.0).argmax(1)
            time_B = (self.lags_L[peak_B] + _vertex(power_BL, peak_B)) * self._spacing_s
            for detector in site:
                times[detector] = time_B
                snrs[detector] = snr_BDKL[events_B, detector, template_B, peak_B]
        detectors = range(strain.shape[1])
        return Arrivals(
            time_s=torch.stack([times[detector] for detector in detectors], dim=1),
            snr=torch.stack([snrs[detector] for detector in detectors], dim=1),
        )

    def features(self, arrivals: Arrivals, first: Tensor) -> Tensor:
        """Give what a network is told of arrivals, in numbers of the order of 1.

        Args:
            arrivals: of B events.
            first: the first detector's time in units of the network's choice, (B,).

        Returns:
            That time, those of other sites after it over the time of light, the logarithms of the SNRs, and
            their phases after the first one's, (B, features) float32.
        """
        later = (arrivals.time_s[:, self.first_of_G[1:]] - arrivals.time_s[:, :1]) / self.apart_s
        amplitude = arrivals.snr.abs()
        turned = arrivals.snr[:, 1:] * arrivals.snr[:, :1].conj()
        turned = torch.view_as_real(turned / turned.abs().clamp(min=1e-6)).flatten(1)
        loudness = (amplitude / _USUAL_SNR).clamp(min=0.1).log()
        return torch.cat([first[:, None].float(), later.float(), loudness, turned], dim=1)


class TimeFromArrival:
    """The time's coordinate seen from the arrival that was found: finely near it, coarsely far away.

    ``x = asinh((z - z of the arrival) / width)`` of the coordinate z in which the prior is N(0, 1): the data
    fix the time to a millisecond, a hundredth of the prior, wherever in it that may be.

    Args:
        coordinates: of all parameters, P of them.
        column: of the time.
        frame: in which the time is that of arrival at the first detector, or None.
    """

    def __init__(self, coordinates: GaussianCoordinates, column: int, frame: DetectorFrame | None) -> None:
        self._coordinates, self._column, self._frame = coordinates, column, frame
        around = torch.zeros(2, len(coordinates.minimum), dtype=torch.float64)
        around[:, column] = torch.tensor([-0.1, 0.1])
        early_s, late_s = coordinates.to_parameters(around)[0][:, column].tolist()
        width_s = _GEOCENTRIC_WIDTH_S if frame is None else _ARRIVAL_WIDTH_S
        self._width = min(width_s * 0.2 / (late_s - early_s), 1.0)

    def coordinate(self, time_s: Tensor) -> Tensor:
        """Give the coordinate z of arrivals, (B,) float64 each."""
        theta, _ = self._coordinates.to_parameters(
            time_s.new_zeros(len(time_s), len(self._coordinates.minimum))
        )
        if self._frame is not None:
            time_s = self._frame.inside(time_s)
        z, _ = self._coordinates.to_coordinates(with_columns(theta, {self._column: time_s}))
        return z[:, self._column].clamp(-_FURTHEST, _FURTHEST)

    def to_flow(self, z: Tensor, arrival: Tensor) -> tuple[Tensor, Tensor]:
        """Turn the column of the time.

        Args:
            z: (..., P) float64.
            arrival: z of the arrivals, (...).

        Returns:
            The same with the time seen from the arrival, (..., P), and the logarithm of the slope, (...).
        """
        far = (z[..., self._column] - arrival) / self._width
        log_slope = -0.5 * torch.log1p(far.square()) - math.log(self._width)
        return with_columns(z, {self._column: torch.asinh(far)}), log_slope

    def from_flow(self, x: Tensor, arrival: Tensor) -> tuple[Tensor, Tensor]:
        """Turn it back; as ``to_flow``."""
        near = x[..., self._column]
        log_slope = math.log(self._width) + near.cosh().log()
        return with_columns(x, {self._column: arrival + self._width * near.sinh()}), log_slope


def _time_bounds_s(prior: Prior) -> tuple[float, float]:
    if "geocent_time" not in prior.names:
        fixed_s = prior.fixed.get("geocent_time", 0.0)
        return fixed_s, fixed_s
    column = prior.names.index("geocent_time")
    bounds = float(prior.minimum[column]), float(prior.maximum[column])
    if not all(map(math.isfinite, bounds)):
        raise ValueError(
            "align_arrivals needs a prior of geocent_time with bounds: Uniform or TruncatedGaussian."
        )
    return bounds


def _sites(distance_DD: Tensor) -> list[list[int]]:
    sites: list[list[int]] = []
    for detector, distances in enumerate(distance_DD.tolist()):
        site = next((site for site in sites if distances[site[0]] < ONE_SITE_M), None)
        if site is None:
            sites.append([detector])
        else:
            site.append(detector)
    return sites


def _normalised(spectra: Tensor) -> Tensor:
    return spectra / spectra.abs().square().sum(-1, keepdim=True).sqrt().clamp(min=1e-30)


def _widened(power_BKL: Tensor, lags: int) -> Tensor:
    return functional.max_pool1d(power_BKL, 2 * lags + 1, 1, lags) if lags else power_BKL


def _vertex(power_BL: Tensor, peak_B: Tensor) -> Tensor:
    # of the parabola through a peak and its neighbours, in lags from the peak
    events_B, last = torch.arange(len(peak_B), device=peak_B.device), power_BL.shape[1] - 1
    before, at, after = (power_BL[events_B, (peak_B + step).clamp(0, last)].double() for step in (-1, 0, 1))
    bend = 2 * at - before - after
    return torch.where(bend > 0, (after - before) / (2 * bend.clamp(min=1e-30)), 0.0).clamp(-0.5, 0.5)
