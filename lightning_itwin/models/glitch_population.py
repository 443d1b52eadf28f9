"""Glitches without witnesses: new ones between those that were seen."""

# B events, N samples of an event, K components, P coordinates

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from lightning_itwin.models.glitch_chirplets import Chirplets, from_chirplets, to_chirplets

_PHASE = 4  # place of the phase among the coordinates
_PARAMETERS = 5
# How much coordinates count in the distance of two glitches, beside the envelope's own: the logarithms of
# SNR and frequency, and the change of the frequency in units of its spread.
_SNR, _FREQUENCY, _RATE = 0.3, 1.5, 1.0
_ROUNDS = 100
_AT_ONCE = 1024
_WIDTHS = (0.02, 1.0)
_HALVINGS = 8
_LOOKED_AT = 512


class GlitchPopulation(nn.Module):
    """Distribution of glitches as a mixture of Gaussians, one around each that was seen.

    Each Gaussian is as wide, and in those directions, as the glitch's nearest neighbours lie around it: a new
    glitch is ``x_i + (width / sqrt(k)) sum_j z_j (x_j - x_i)`` over the k neighbours j of i, z normal. The
    coordinates x are those of :class:`Chirplets`, the envelope in the span of leading singular vectors:
    between two glitches of a family lies another one. Where the phases of neighbours agree, so does the new
    one's; where they do not, it is free.

    Args:
        samples: samples N of an event, even.
        components: complex singular vectors K that span the envelopes.
        neighbours: k.
        width: of the Gaussians, in units of the neighbours' spread; None: so wide, up to 1, that new glitches
            match the nearest one that was seen as well as these match each other, in the median.

    Reference:
        Vincent and Bengio 2002, Manifold Parzen Windows, NIPS 15.
    """

    basis: Tensor
    seen: Tensor
    near: Tensor
    width: Tensor

    def __init__(self, samples: int, components: int, neighbours: int, width: float | None = None) -> None:
        super().__init__()
        self.samples, self.neighbours, self._wanted = samples, neighbours, width
        self.components = min(components, samples)
        self.register_buffer("basis", torch.zeros(2 * self.components, samples))
        self.register_buffer("seen", torch.zeros(0, _PARAMETERS + 2 * self.components))
        self.register_buffer("near", torch.zeros(0, neighbours, dtype=torch.long))
        self.register_buffer("width", torch.tensor(1.0 if width is None else width))

    @torch.no_grad()
    def prepare(self, events: Tensor) -> None:
        """Take the glitches that were seen.

        Args:
            events: whitened, (B, N), at least one more than neighbours.

        Raises:
            ValueError: there are fewer.
        """
        if len(events) <= self.neighbours:
            raise ValueError(
                f"{len(events)} glitches do not make a distribution over {self.neighbours} neighbours: train "
                f"on more data, or set generator.neighbours to at most {len(events) - 1}."
            )
        found = to_chirplets(events)
        vectors = torch.linalg.svd(found.envelope, full_matrices=False).Vh[: self.components]
        basis = vectors.new_zeros(self.components, self.samples)
        basis[: len(vectors)] = vectors
        place = found.envelope @ basis.mH
        self.basis = torch.cat([basis.real, basis.imag]).to(self.basis)
        rows = torch.cat([*found[:_PARAMETERS], place.real, place.imag], dim=1)
        spread = found.rate.std().clamp(min=1e-12)
        distance = torch.cat(
            [
                _SNR * found.log_snr,
                _FREQUENCY * found.log_frequency,
                _RATE * found.rate / spread,
                rows[:, _PARAMETERS:],
            ],
            dim=1,
        )
        # The nearest is the glitch itself, or one that is the same.
        apart = (torch.cdist(some, distance) for some in distance.split(_AT_ONCE))
        near = [one.topk(self.neighbours + 1, largest=False).indices[:, 1:] for one in apart]
        self.near = torch.cat(near)
        self.seen = rows.to(self.basis)
        if self._wanted is None:
            self._set_width()

    @torch.no_grad()
    def sample(self, count: int, lowest_snr: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """Draw glitches.

        Args:
            count: how many.
            lowest_snr: quieter ones are drawn anew.
            generator: of the random numbers.

        Returns:
            Whitened, float32 (count, N).

        Raises:
            RuntimeError: no glitch was seen yet.
            ValueError: hardly any glitch is that loud.
        """
        if not len(self.seen):
            raise RuntimeError("GlitchPopulation has seen no glitches yet: train it, or load a checkpoint.")
        drawn, enough = [self.basis.new_zeros(0, self.samples)], 0
        for _ in range(_ROUNDS):
            if enough >= count:
                return torch.cat(drawn)[:count]
            events = self._drawn(count, generator)
            drawn.append(events[events.norm(dim=1) >= lowest_snr])
            enough += len(drawn[-1])
        if enough < count:
            raise ValueError(
                f"Only {enough} of {_ROUNDS * count} glitches have an SNR of at least {lowest_snr:g}: lower "
                "lowest_snr."
            )
        return torch.cat(drawn)[:count]

    @torch.no_grad()
    def best_match(self, events: Tensor) -> Tensor:
        """Give the largest match of each event with any glitch that was seen, either sign: 1 repeats it.

        Args:
            events: whitened, (B, N).

        Returns:
            (B,).
        """
        return _matches(events, self._events(self.seen)).amax(dim=1)

    def _set_width(self) -> None:
        seen = self._events(self.seen)
        some = torch.arange(min(len(seen), _LOOKED_AT), device=seen.device)
        matches = _matches(seen[some], seen)
        matches[some, some] = 0
        wanted = float(matches.amax(dim=1).median())
        low, high = _WIDTHS
        self.width.fill_(high)
        for _ in range(_HALVINGS):
            generator = torch.Generator(device=seen.device).manual_seed(0)
            if float(_matches(self._drawn(len(some), generator), seen).amax(dim=1).median()) < wanted:
                high = float(self.width)
            else:
                low = float(self.width)
            self.width.fill_(math.sqrt(low * high))

    def _drawn(self, count: int, generator: torch.Generator | None) -> Tensor:
        device = self.seen.device
        # Each that was seen has its turn before one comes again: two beside one would be too much alike.
        turns = range(math.ceil(count / len(self.seen)))
        orders = [torch.randperm(len(self.seen), generator=generator, device=device) for _ in turns]
        rows = torch.cat(orders)[:count]
        normal = torch.randn(count, self.neighbours, 1, generator=generator, device=device)
        first = self.seen[rows]
        away = self.seen[self.near[rows]] - first[:, None]
        away[..., _PHASE] = torch.remainder(away[..., _PHASE] + torch.pi, 2 * torch.pi) - torch.pi
        return self._events(first + self.width / math.sqrt(self.neighbours) * (normal * away).sum(dim=1))

    def _events(self, rows: Tensor) -> Tensor:
        rows = rows.double()
        real, imaginary = rows[:, _PARAMETERS:].chunk(2, dim=1)
        basis = torch.complex(*self.basis.double().chunk(2))
        log_snr, centre, log_frequency, rate, phase = rows[:, :_PARAMETERS].split(1, dim=1)
        envelope = torch.complex(real, imaginary) @ basis
        events = from_chirplets(Chirplets(log_snr, centre, log_frequency, rate, phase, envelope))
        return events.to(self.basis)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # How many glitches were seen is the data's.
        for name in ("seen", "near"):
            given = state_dict.get(prefix + name)
            if given is not None:
                setattr(self, name, given.new_empty(given.shape).to(self.basis.device))
        super()._load_from_state_dict(state_dict, prefix, *args)


def _matches(some: Tensor, others: Tensor) -> Tensor:
    """Give the match of each event with each other one, either sign."""
    one, other = (given / given.norm(dim=1, keepdim=True) for given in (some.to(others), others))
    return (one @ other.T).abs()
