from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from lightning_itwin.models.glitch_chirplets import to_chirplets
from lightning_itwin.models.glitch_population import GlitchPopulation

N = 256


def family(count: int, seed: int, phases: Sequence[float]) -> torch.Tensor:
    """Sine-Gaussians of 0.1 to 0.2 cycles a sample and SNRs of 8 to 30."""
    generator = torch.Generator().manual_seed(seed)
    frequency, width, loud, phase = torch.rand(4, count, 1, generator=generator)
    phase = phases[0] + (phases[1] - phases[0]) * phase
    time = torch.arange(N) - N // 2
    turns = (0.1 + 0.1 * frequency) * time
    shape = torch.exp(-((time / (10 + 15 * width)) ** 2)) * torch.cos(2 * torch.pi * turns + phase)
    return shape / shape.norm(dim=1, keepdim=True) * 8 * (30 / 8) ** loud


def population(events: torch.Tensor, spread: float | None = 0.5) -> GlitchPopulation:
    made = GlitchPopulation(N, components=12, neighbours=5, width=spread)
    made.prepare(events)
    return made


def test_new_glitches_lie_between_those_that_were_seen_and_repeat_none() -> None:
    seen = family(200, 0, (0.0, 0.0))
    model = population(seen)
    drawn = model.sample(300, generator=torch.Generator().manual_seed(1))
    assert drawn.shape == (300, N)
    found, truth = to_chirplets(drawn), to_chirplets(seen)
    for name in ("log_snr", "log_frequency"):
        ours, theirs = getattr(found, name), getattr(truth, name)
        torch.testing.assert_close(ours.mean(), theirs.mean(), rtol=0, atol=0.25 * float(theirs.std()))
        torch.testing.assert_close(ours.std(), theirs.std(), rtol=0.2, atol=0)
    assert float(model.best_match(-seen).min()) > 0.999
    # As near to those that were seen as another draw of the family, which mixtures of their shapes are not
    ours, theirs = model.best_match(drawn), model.best_match(family(300, 2, (0.0, 0.0)))
    assert float(ours.median()) > float(theirs.quantile(0.2))
    assert float((ours > 0.99999).double().mean()) < 0.05


def test_new_glitches_are_as_new_as_those_that_were_seen() -> None:
    seen = family(300, 0, (0.0, 0.5))
    model = population(seen, None)
    assert 0.02 < float(model.width) < 1.0
    others = model.best_match(family(300, 2, (0.0, 0.5))).median()
    drawn = model.best_match(model.sample(300, generator=torch.Generator().manual_seed(1))).median()
    assert float(1 - drawn) == pytest.approx(float(1 - others), rel=0.5)
    assert not torch.equal(population(seen, 0.3).width, model.width)


@pytest.mark.parametrize(("phases", "spread"), [((0.4, 0.6), 0.15), ((0.0, 6.2832), 1.5)])
def test_the_phase_is_as_free_as_that_of_neighbours(phases: tuple[float, float], spread: float) -> None:
    drawn = population(family(200, 0, phases)).sample(400, generator=torch.Generator().manual_seed(1))
    phase = to_chirplets(drawn).phase
    resultant = torch.exp(1j * phase).mean().abs()
    if spread < 1:
        assert float(resultant) > 0.98
        assert float(torch.exp(1j * phase).mean().angle()) == pytest.approx(0.5, abs=0.1)
    else:
        assert float(resultant) < 0.15


def test_only_loud_ones_on_demand() -> None:
    model = population(family(100, 0, (0.0, 1.0)))
    loud = model.sample(50, lowest_snr=20.0, generator=torch.Generator().manual_seed(1))
    assert loud.shape == (50, N)
    assert float(loud.norm(dim=1).min()) >= 20.0
    with pytest.raises(ValueError, match="0 of 400 glitches have an SNR of at least 1000"):
        model.sample(4, lowest_snr=1000.0)


def test_a_state_of_other_glitches_is_taken_over() -> None:
    model = population(family(40, 0, (0.0, 1.0)))
    other = GlitchPopulation(N, components=12, neighbours=5)
    with pytest.raises(RuntimeError, match="seen no glitches yet"):
        other.sample(1)
    other.load_state_dict(model.state_dict())
    seed = torch.Generator().manual_seed
    assert torch.equal(other.sample(9, generator=seed(3)), model.sample(9, generator=seed(3)))


def test_too_few_glitches_are_refused() -> None:
    with pytest.raises(ValueError, match="5 glitches do not make a distribution over 5 neighbours"):
        population(family(5, 0, (0.0, 1.0)))
