import dataclasses

import numpy as np
import pytest

from lightning_itwin.strain.simulator.virgo_instrument import Resonance, VirgoInstrument, virgo_asd


def test_the_asd_is_the_published_fit():
    # arXiv:1202.4031, eq. 6, at x = 0: 0.07 e^-0.142 + 3.1 e^-0.466 + 0.4 e^-0.304 + 0.09 e^1.466
    by_hand = 1.259e-24 * (0.0607346 + 1.9452616 + 0.2951444 + 0.3898762)
    assert virgo_asd(np.array([300.0]))[0] == pytest.approx(by_hand, rel=1e-4)


def test_below_10_hz_the_asd_stays():
    assert len(set(virgo_asd(np.array([0.0, 3.0, 10.0])))) == 1


def test_a_resonance_has_its_strength_at_its_frequency_and_its_width():
    path = Resonance(frequency_hz=100.0, quality=10.0, delay_s=0.01, strength=-3.0)
    # Where quality * abs(1 - r^2) = r, the two parts of the denominator are equal.
    below, above = np.sqrt(1 + 1 / 20**2) - 1 / 20, np.sqrt(1 + 1 / 20**2) + 1 / 20
    at, low, high = np.abs(path.response(100.0 * np.array([1.0, below, above])))
    assert at == pytest.approx(3.0)
    assert low == pytest.approx(3.0 / below / np.sqrt(2))
    assert high == pytest.approx(3.0 / above / np.sqrt(2))


def test_a_path_is_causal():
    rate_hz, samples = 512.0, 4096
    path = Resonance(frequency_hz=60.0, quality=8.0, delay_s=0.1, strength=2.0)
    impulse = np.fft.irfft(path.response(np.fft.rfftfreq(samples, 1 / rate_hz)))
    before = np.r_[impulse[: round(0.08 * rate_hz)], impulse[samples // 2 :]]
    assert np.sum(before**2) < 1e-3 * np.sum(impulse**2)


def test_the_seed_is_the_instrument_and_the_strength_scales_it():
    one, same, other = (VirgoInstrument.draw(seed) for seed in (3, 3, 4))
    assert one == same
    assert one != other
    weak = VirgoInstrument.draw(3, coupling_strength=0.1)
    assert weak.acoustic == dataclasses.replace(
        one.acoustic, strength=pytest.approx(0.1 * one.acoustic.strength)
    )
    assert weak.mains_strengths == pytest.approx([0.1 * s for s in one.mains_strengths])
