"""Distribution of glitches: around the mean that the witnesses predict, and without witnesses."""

# B events, N samples of an event

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_itwin.models.glitch_latent_flow import LatentFlow
from lightning_itwin.models.glitch_population import GlitchPopulation
from lightning_itwin.models.glitch_settings import GeneratorSettings

# Of the mean's shape, what the rest depends on; with more, a thousand events are learned by heart.
_SHAPE_CONDITIONS = 2


class GlitchGenerator(nn.Module):
    """Two distributions: of what the witnesses leave open of an event, and of events themselves.

    The first is a flow in the span of leading singular vectors of what the predicted mean leaves of events,
    given that mean's SNR and rough shape. Singular vectors of the series span the same space as those of
    its short-time Fourier transform, an isometry, with fewer coordinates; and white noise stays white. The
    second is a :class:`GlitchPopulation`.

    Args:
        samples: samples N of an event.
        settings: see :class:`GeneratorSettings`.
    """

    basis: Tensor
    residual_basis: Tensor
    size_law: Tensor

    def __init__(self, samples: int, settings: GeneratorSettings) -> None:
        super().__init__()
        self.samples = samples
        left = min(settings.residual_components, samples)
        self.register_buffer("basis", torch.zeros(_SHAPE_CONDITIONS, samples))
        self.register_buffer("residual_basis", torch.zeros(left, samples))
        self.register_buffer("size_law", torch.ones(2))
        self.residual = LatentFlow(left, _SHAPE_CONDITIONS + 1, settings.width, settings.blocks)
        self.population = GlitchPopulation(
            samples, settings.components, settings.neighbours, settings.neighbour_spread
        )

    @torch.no_grad()
    def prepare(self, mean: Tensor, event: Tensor, noisy: bool) -> None:
        """Set the vectors and the scales, and take the events.

        Args:
            mean: predicted whitened events, (B, N).
            event: the events, (B, N).
            noisy: whether these lie in noise; the population is then that of their means.
        """
        _leading(event / event.norm(dim=1, keepdim=True).clamp(min=1e-12), self.basis)
        self.size_law.copy_(_size_law(mean.norm(dim=1), (event - mean).norm(dim=1)))
        _leading((event - mean) / self._scale(mean), self.residual_basis)
        self.residual.standardise(self._residual_values(mean, event), self.conditions(mean))
        self.population.prepare(mean if noisy else event)

    def conditions(self, mean: Tensor) -> Tensor:
        """Give what the residual depends on: rough shape and logarithm of the SNR of the mean, (B, 3)."""
        norm = mean.norm(dim=1, keepdim=True).clamp(min=1e-6)
        return torch.cat([mean @ self.basis.T / norm, norm.log()], dim=1)

    def loss(self, mean: Tensor, event: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Give the loss of the flow.

        Args:
            mean: predicted whitened events, (B, N).
            event: the events, (B, N).
            generator: of noise and times.
        """
        return self.residual.loss(self._residual_values(mean, event), self.conditions(mean), generator)

    def sample_residual(self, mean: Tensor, steps: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw coordinates of what the prediction leaves in ``residual_basis``, one a row."""
        return self.residual.sample(self.conditions(mean), steps, generator) * self._scale(mean)

    def _residual_values(self, mean: Tensor, event: Tensor) -> Tensor:
        return (event - mean) @ self.residual_basis.T / self._scale(mean)

    def _scale(self, mean: Tensor) -> Tensor:
        absolute, relative = self.size_law
        return (absolute**2 + relative**2 * mean.square().sum(dim=1, keepdim=True)).sqrt()


def _size_law(snr: Tensor, left: Tensor) -> Tensor:
    """Give the norm of what the mean leaves of quiet events, and its share of loud ones, (2,)."""
    third = max(1, len(snr) // 3)
    order = snr.argsort()
    quiet, loud = order[:third], order[-third:]
    absolute = left[quiet].median().clamp(min=1e-6)
    more = (left[loud].median().square() - absolute.square()).clamp(min=0)
    return torch.stack([absolute, more.sqrt() / snr[loud].median().clamp(min=1e-6)])


def _leading(rows: Tensor, basis: Tensor) -> None:
    vectors = torch.linalg.svd(rows.double(), full_matrices=False).Vh[: len(basis)]
    basis.zero_()
    basis[: len(vectors)] = vectors.to(basis)
