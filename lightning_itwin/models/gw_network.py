"""The network of GWFlow: strain to context, and the density of parameters given it."""

# B batch, D detectors, T samples, P parameters, N posterior samples, C context features, S sets of PSDs,
# F frequencies, A bands of the ASD

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lightning_itwin.cuda_graph import RecordedFunction
from lightning_itwin.detectors import Observation
from lightning_itwin.flows import TrainingFlow, accelerate, fast_training, neural_spline_flow
from lightning_itwin.inference import Prior
from lightning_itwin.models.gw_arrivals import ArrivalFinder, TimeFromArrival
from lightning_itwin.models.gw_conditions import GWConditions
from lightning_itwin.models.gw_coordinates import GaussianCoordinates
from lightning_itwin.models.gw_detector_frame import DetectorFrame
from lightning_itwin.models.gw_embedding import EmbeddingSettings, SVDEmbedding, make_embedding
from lightning_itwin.models.gw_projection import shifted_back, singular_vectors
from lightning_itwin.models.gw_settings import FlowSettings, ReferenceFrame
from lightning_itwin.models.gw_training_embedding import TrainingEmbedding

_SMALLEST_ASD_SPREAD = 0.05
_SIGNALS_FOR_BASIS = 2048
_SIGNALS_AT_ONCE = 256
_LOUD_SNR = 15.0


class Densities(NamedTuple):
    """Log densities of true parameters, and how far from the flow's centre they lie, (B,) each.

    Args:
        log_prob: log q in the parameters' own units.
        information: log q less the log of the prior, in nat.
        region: probability of the smallest ball of the base distribution that holds the parameters:
            uniform on [0, 1] where the flow is calibrated.
    """

    log_prob: Tensor
    information: Tensor
    region: Tensor


class GWNetwork(nn.Module):
    """Embedding, coordinates and flow for data of given conditions.

    Args:
        conditions: of the data.
        embedding: kind and size.
        flow: size.
        without: free parameters of the prior that the flow does not learn.
        reference_frame: in which the flow learns sky position and time: ``"sky"``, or that of the
            ``"detectors"`` (``DetectorFrame``).

    Raises:
        ValueError: a parameter to leave out is not free, the prior does not suit the detectors' frame, or the
            strain does not fit the embedding.
        MissingExtraError: nflows or bilby are not installed.
    """

    columns_P: Tensor
    asd_SA: Tensor
    asd_mean: Tensor
    asd_scale: Tensor

    def __init__(
        self,
        conditions: GWConditions,
        embedding: EmbeddingSettings,
        flow: FlowSettings,
        without: tuple[str, ...] = (),
        reference_frame: ReferenceFrame = "sky",
    ) -> None:
        super().__init__()
        observation, prior = conditions.made_observation, conditions.made_prior
        missing = set(without) - set(prior.names)
        if missing:
            raise ValueError(
                f"The prior leaves {prior.names} free, not {', '.join(missing)}, which is left out."
            )
        self.names = [name for name in prior.names if name not in without]
        columns = [prior.names.index(name) for name in self.names]
        self.register_buffer("columns_P", torch.tensor(columns), persistent=False)
        self.coordinates = _coordinates(prior, columns)
        self.frame = DetectorFrame(observation, prior, self.names) if reference_frame == "detectors" else None
        asd = conditions.banded_asds()
        asd = asd if len(asd) > 1 else asd[:, :0]  # one set is no information
        mean_A = asd.mean(dim=0)
        self.register_buffer("asd_mean", mean_A)
        spread_A = (asd - mean_A).square().mean(dim=0).sqrt()
        self.register_buffer("asd_scale", spread_A.clamp(min=_SMALLEST_ASD_SPREAD))
        self.register_buffer("asd_SA", asd, persistent=False)
        last = observation.first + observation.num_frequencies
        if embedding.svd_maximum_frequency_hz is not None:
            last = min(
                last, 1 + math.floor(embedding.svd_maximum_frequency_hz * observation.settings.duration_s)
            )
        if last <= observation.first:
            raise ValueError("svd_maximum_frequency_hz lies below the band.")
        self.arrivals = ArrivalFinder(observation, prior) if embedding.align_arrivals else None
        self._duration_s = observation.settings.duration_s
        self._time = None
        if self.arrivals is not None and "geocent_time" in self.names:
            self._time = TimeFromArrival(self.coordinates, self.names.index("geocent_time"), self.frame)
        self.embedding = make_embedding(
            embedding,
            detectors=observation.names,
            samples=observation.samples,
            bins=(observation.first, last),
            extra_features=asd.shape[1] + (0 if self.arrivals is None else self.arrivals.num_features),
        )
        self.flow = neural_spline_flow(len(self.names), embedding.context_features, **asdict(flow))
        self._embedding_settings = embedding
        self.write_gradients_in_place(False)
        # what needs no gradients; on a GPU, of training steps, as CUDA graphs
        self._tell_fast = RecordedFunction(self._tell, self._tables)
        self._to_coordinates_fast = RecordedFunction(self.to_coordinates, self._tables)
        self._accelerated: Any = None

    def write_gradients_in_place(self, in_place: bool) -> None:
        """Say whether the steps of a training write gradients where they are, as those of one process may."""
        self._in_place = in_place
        self._training_embedding = TrainingEmbedding(self.embedding, self._embedding_settings, in_place)
        self._training_flow: TrainingFlow | None = None

    def read_asds_of(self, conditions: GWConditions) -> None:
        """Let ``psd_index`` count the sets of PSDs of other data, which are near those of the training."""
        asd = conditions.banded_asds().to(self.asd_mean.device)
        self.asd_SA = asd if len(self.asd_mean) else asd[:, :0]
        if self.arrivals is not None:
            self.arrivals.read_noise_of(conditions.made_observation)

    def start_from_signals(self, signals: Callable[[int], Tensor], conditions: GWConditions) -> None:
        """Set the projection of an embedding that has one to singular vectors of signals, and the templates.

        Args:
            signals: simulates so many whitened spectra without noise, (num, D, F) complex; not asked
                where there is no projection.
            conditions: of the data, as they were given to make the network.
        """
        observation = conditions.made_observation
        if self.arrivals is not None:
            waveform = conditions.made_signal_model.waveform
            self.arrivals.start_from(waveform, conditions.made_prior, observation.frequency_hz)
        if not isinstance(self.embedding, SVDEmbedding):
            return
        projection = self.embedding.projection
        spectra = signals(_SIGNALS_FOR_BASIS)
        if self.arrivals is not None:
            spectra = self._aligned(spectra, observation)
        in_band = spectra[..., : projection.bins[1] - projection.bins[0]]
        projection.start_from(singular_vectors(projection.channels(in_band), projection.components))

    def _aligned(self, spectra: Tensor, observation: Observation) -> Tensor:
        # signals that are all as loud, shifted as they are found in noise
        assert self.arrivals is not None
        generator = torch.Generator().manual_seed(0)
        aligned = []
        for some in spectra.split(_SIGNALS_AT_ONCE):
            signal = _LOUD_SNR * some / some.abs().square().sum(dim=(1, 2), keepdim=True).sqrt()
            noisy = observation.to_series(signal + observation.noise(len(some), generator))
            late = self.arrivals(noisy).time_s / self._duration_s
            aligned.append(shifted_back(signal, late, observation.first))
        return torch.cat(aligned)

    def forward(self, strain: Tensor, psd_index: Tensor | None = None) -> Tensor:
        """Embed whitened strain.

        Args:
            strain: (B, D, T).
            psd_index: set of PSDs of each event, (B,); the first if None.

        Returns:
            Context of the flow, (B, C) float32.
        """
        return self._embedded(strain, psd_index)[0]

    def _embedded(self, strain: Tensor, psd_index: Tensor | None) -> tuple[Tensor, Tensor | None]:
        # the flow's context, and the time's coordinate at the arrivals that were found, (B,)
        extra = late = arrival = None
        if psd_index is None:
            psd_index = torch.zeros(len(strain), dtype=torch.int64, device=strain.device)
        fast = self._is_fast(strain)
        if self.arrivals is not None:
            tell = self._tell_fast if fast else self._tell
            extra, late, arrival = (each.clone() for each in tell(strain, psd_index))
        elif len(self.asd_mean):
            extra = self._scaled_asd(psd_index)
        embed = self._training_embedding if fast else self.embedding.forward
        return embed(strain, extra, late).float(), arrival

    def _is_fast(self, tensor: Tensor) -> bool:
        return self._embedding_settings.compile and self.training and tensor.device.type == "cuda"

    def _tell(self, strain: Tensor, psd_index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # features beside the strain, by which share of its length it is late, and the arrival's coordinate
        assert self.arrivals is not None
        arrivals = self.arrivals(strain, psd_index)
        first = arrivals.time_s[:, 0]
        if self._time is not None:
            first = self._time.coordinate(first)
        told = torch.cat([self._scaled_asd(psd_index), self.arrivals.features(arrivals, first)], dim=1)
        return told, arrivals.time_s / self._duration_s, first

    def _tables(self) -> Iterator[Tensor]:
        # all that is read before embedding and flow
        yield from (self.columns_P, self.asd_SA, self.asd_mean, self.asd_scale)
        for module in (self.coordinates, self.frame, self.arrivals):
            if module is not None:
                yield from module.buffers()

    def _scaled_asd(self, psd_index: Tensor) -> Tensor:
        return ((self.asd_SA - self.asd_mean) / self.asd_scale)[psd_index]

    def log_prob(self, strain: Tensor, theta: Tensor, psd_index: Tensor | None = None) -> Tensor:
        """Give the log density of parameters, one row an event.

        Args:
            strain: (B, D, T).
            theta: all free parameters of the prior, of which the flow takes its own, (B, free).
            psd_index: as in ``forward``.

        Returns:
            log q in the parameters' own units, (B,).
        """
        to_coordinates = self._to_coordinates_fast if self._is_fast(strain) else self.to_coordinates
        z, log_slope = to_coordinates(theta)
        context, arrival = self._embedded(strain, psd_index)
        x, log_scale = self._from_arrival(z, arrival)
        # Splines in bfloat16 are no splines any more.
        with torch.autocast(strain.device.type, enabled=False):
            return self._fast.log_prob(x.float(), context) + log_scale + log_slope

    def to_coordinates(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Map parameters to those of the flow, before a time is seen from its arrival.

        Args:
            theta: all free parameters of the prior, of which the flow takes its own, (B, free) float64.

        Returns:
            z, (B, P) float64, and ``log |dz / dtheta|``, (B,).
        """
        own = theta[:, self.columns_P]
        if self.frame is None:
            return self.coordinates.to_coordinates(own)
        turned, log_volume = self.frame.to_frame(own.double())
        z, log_slope = self.coordinates.to_coordinates(turned)
        return z, log_slope + log_volume

    def _from_arrival(self, z: Tensor, arrival: Tensor | None) -> tuple[Tensor, Tensor]:
        if self._time is None or arrival is None:
            return z, z.new_zeros(len(z))
        return self._time.to_flow(z, arrival)

    def densities(self, strain: Tensor, theta: Tensor, psd_index: Tensor | None = None) -> Densities:
        """Say where true parameters lie in the flow's distribution; arguments as ``log_prob``."""
        z, log_slope = self.to_coordinates(theta)
        context, arrival = self._embedded(strain, psd_index)
        x, log_scale = self._from_arrival(z, arrival)
        with torch.autocast(strain.device.type, enabled=False):
            log_prob = self._fast.log_prob(x.float(), context).double() + log_scale
            noise = self.flow.transform_to_noise(x.float(), context)
        features = z.shape[-1]
        log_prior = -0.5 * z.square().sum(dim=-1) - 0.5 * features * math.log(2 * math.pi)
        half_square = noise.double().square().sum(dim=-1) / 2
        return Densities(
            log_prob=log_prob + log_slope,
            information=log_prob - log_prior,
            region=torch.special.gammainc(torch.full_like(half_square, features / 2), half_square),
        )

    @property
    def _fast(self) -> TrainingFlow:
        # No part of the module: it reads the flow's own parameters.
        if self._training_flow is None:
            self._training_flow = fast_training(self.flow, gradients_in_place=self._in_place)
        return self._training_flow

    @torch.no_grad()
    def draw(
        self,
        strain: Tensor,
        num_samples: int,
        psd_index: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw posterior samples, in evaluation mode.

        Args:
            strain: (B, D, T), on the network's device.
            num_samples: samples an event, N.
            psd_index: as in ``forward``.
            generator: of the base distribution's noise; torch's own if None.

        Returns:
            The parameters ``names``, (B, N, P) float64, and their log q, (B, N) float64.
        """
        training = self.training
        self.eval()
        try:
            context, arrival = self._embedded(strain, psd_index)
            if self._accelerated is None:
                self._accelerated = accelerate(self.flow)
            with torch.autocast(strain.device.type, enabled=False):
                z, log_prob = self._accelerated.sample_and_log_prob(num_samples, context, generator=generator)
        finally:
            self.train(training)
        log_prob = log_prob.double()
        if self._time is not None and arrival is not None:
            z, log_scale = self._time.from_flow(z.double(), arrival[:, None])
            log_prob = log_prob - log_scale
        theta, log_slope = self.coordinates.to_parameters(z)
        if self.frame is not None:
            theta, log_volume = self.frame.from_frame(theta)
            log_slope = log_slope + log_volume
        return theta, log_prob - log_slope


def _coordinates(prior: Prior, columns: list[int]) -> GaussianCoordinates:
    probabilities = GaussianCoordinates.probabilities()[:, None].expand(-1, len(prior.names))
    periods = torch.tensor([prior.periodic.get(name, 0.0) for name in prior.names], dtype=torch.float64)
    return GaussianCoordinates(
        prior.rescale(probabilities)[:, columns], prior.minimum[columns], periods[columns]
    )
