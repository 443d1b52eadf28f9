from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from lightning_itwin.waveforms import make_waveform
from lightning_itwin.waveforms.lalsimulation_waveform import LALSimulationWaveform
from lightning_itwin.waveforms.phenom_pv2 import IMRPhenomPv2
from tests.waveforms.draws import draw_binaries

FREQUENCY_HZ = torch.arange(80, 8192, dtype=torch.float64) / 8
# a stand-in for a noise curve: falls from 10 Hz, is flat, and rises with the frequency
WEIGHT = 1 / ((FREQUENCY_HZ / 20) ** -6 + 1 + (FREQUENCY_HZ / 300) ** 2)
WEIGHT[-1] = 0.0  # lalsimulation leaves the highest frequency that it is asked for empty


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a * b.conj() * WEIGHT).sum(-1)


def mismatches(made: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    made, truth = 1e23 * made.to(torch.complex128), 1e23 * truth
    norm = (product(made, made).real * product(truth, truth).real).sqrt()
    raw = 1 - product(made, truth).real / norm
    every_time = torch.fft.fft(made * truth.conj() * WEIGHT, n=2**16)
    return raw, 1 - every_time.abs().amax(-1) / norm


@pytest.fixture(scope="module")
def oracle() -> LALSimulationWaveform:
    pytest.importorskip("lalsimulation")
    return LALSimulationWaveform("IMRPhenomPv2", 20.0, multibanding=None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("chirp_mass", [(20.0, 60.0), (10.0, 100.0)])
def test_the_waveform_is_that_of_lalsimulation(
    oracle: LALSimulationWaveform, chirp_mass: tuple[float, float], dtype: torch.dtype
) -> None:
    binary = draw_binaries(100, seed=3, chirp_mass=chirp_mass)
    made = IMRPhenomPv2(20.0, dtype)(binary, FREQUENCY_HZ)
    for strain, truth in zip(made, oracle(binary, FREQUENCY_HZ)):
        raw, maximised = mismatches(strain, truth)
        assert raw.max() < 1e-12
        assert maximised.max() < 1e-12
        apart = 1e23 * (strain.to(torch.complex128) - truth)
        relative = (product(apart, apart).real / product(1e23 * truth, 1e23 * truth).real).sqrt()
        assert relative.max() < (1e-10 if dtype == torch.float64 else 1e-6)


EDGES = {
    "aligned": {"tilt_1_rad": 0.0, "tilt_2_rad": 0.0},
    "opposed": {"tilt_1_rad": torch.pi, "tilt_2_rad": torch.pi},
    "no spin": {"a_1": 0.0, "a_2": 0.0},
    "one spin": {"a_2": 0.0},
    "face on": {"theta_jn_rad": 0.0},
    "edge on": {"theta_jn_rad": torch.pi / 2},
    "equal masses": {"mass_2_msun": 35.0, "mass_1_msun": 35.0},
    "the heavier one second": {"mass_2_msun": 50.0, "mass_1_msun": 20.0},
    "spins in the plane": {"tilt_1_rad": torch.pi / 2, "tilt_2_rad": torch.pi / 2, "a_1": 0.99},
}


@pytest.mark.parametrize("edge", EDGES)
def test_the_edges_of_the_prior_agree_too(oracle: LALSimulationWaveform, edge: str) -> None:
    binary = draw_binaries(6, seed=4)
    ones = torch.ones(6, dtype=torch.float64)
    binary = replace(binary, **{name: value * ones for name, value in EDGES[edge].items()})
    for strain, truth in zip(IMRPhenomPv2(20.0)(binary, FREQUENCY_HZ), oracle(binary, FREQUENCY_HZ)):
        raw, _ = mismatches(strain, truth)
        assert raw.max() < 1e-10


def test_another_reference_frequency_agrees() -> None:
    pytest.importorskip("lalsimulation")
    binary = draw_binaries(6, seed=5)
    oracle = LALSimulationWaveform("IMRPhenomPv2", 50.0, multibanding=None)
    for strain, truth in zip(IMRPhenomPv2(50.0)(binary, FREQUENCY_HZ), oracle(binary, FREQUENCY_HZ)):
        raw, _ = mismatches(strain, truth)
        assert raw.max() < 1e-12


def test_the_signal_ends_where_lalsimulation_ends(oracle: LALSimulationWaveform) -> None:
    binary = draw_binaries(4, seed=6, chirp_mass=(50.0, 60.0))
    plus, _ = IMRPhenomPv2(20.0)(binary, FREQUENCY_HZ)
    truth, _ = oracle(binary, FREQUENCY_HZ)
    assert torch.equal((plus == 0)[:, :-1], (truth == 0)[:, :-1])
    highest_hz = IMRPhenomPv2(20.0).highest_frequency_hz(binary)
    assert 0 <= highest_hz - FREQUENCY_HZ[(truth != 0).any(0)].max() <= 0.25


def test_a_binary_alone_is_the_same_as_in_a_batch() -> None:
    waveform, binary = make_waveform("IMRPhenomPv2"), draw_binaries(5, seed=7)
    together, _ = waveform(binary, FREQUENCY_HZ)
    alone, _ = waveform(binary[2:3], FREQUENCY_HZ)
    # a product of matrices may add in another order
    assert torch.allclose(alone[0], together[2], rtol=1e-5, atol=1e-30)


def test_one_graph_holds_all_of_it() -> None:
    torch._dynamo.reset()
    waveform, binary = IMRPhenomPv2(20.0), draw_binaries(2, seed=8)
    frequency_hz = FREQUENCY_HZ[:512]
    captured = torch.compile(waveform.real_parts, fullgraph=True, backend="eager")(binary, frequency_hz)
    for made, truth in zip(captured, waveform.real_parts(binary, frequency_hz)):
        assert not made.is_complex()
        assert torch.equal(made, truth)


def test_a_compiled_waveform_travels_without_its_compiled_code() -> None:
    waveform = IMRPhenomPv2(30.0)
    assert waveform.compile() is waveform
    copied = copy.deepcopy(waveform)
    binary = draw_binaries(1, seed=10)
    plus, _ = copied(binary, FREQUENCY_HZ[:50])
    assert torch.equal(plus, IMRPhenomPv2(30.0)(binary, FREQUENCY_HZ[:50])[0])


def test_a_binary_without_a_number_spoils_no_other() -> None:
    binary = draw_binaries(3, seed=9)
    spoiled = replace(binary, a_1=torch.tensor([0.1, float("nan"), 0.2], dtype=torch.float64))
    plus, _ = IMRPhenomPv2(20.0)(spoiled, FREQUENCY_HZ)
    assert plus[[0, 2]].isfinite().all()
    assert not plus[1].isfinite().all()


def test_unknown_names_and_values_are_refused() -> None:
    with pytest.raises(ValueError, match="IMRPhenomPv7"):
        make_waveform("IMRPhenomPv7")
    with pytest.raises(ValueError, match="reference_frequency_hz"):
        make_waveform("IMRPhenomPv2", reference_frequency_hz=0.0)
    with pytest.raises(ValueError, match="dtype"):
        IMRPhenomPv2(20.0, torch.float16)
