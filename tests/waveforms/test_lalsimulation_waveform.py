from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from lightning_itwin.waveforms import make_waveform
from lightning_itwin.waveforms.lalsimulation_waveform import LALSimulationWaveform
from tests.waveforms.draws import NAMES, draw_binaries, draw_table

FREQUENCY_HZ = torch.arange(80, 8193, dtype=torch.float64) / 8
pytest.importorskip("lalsimulation")


@pytest.mark.parametrize("approximant", ["IMRPhenomPv2", "IMRPhenomXPHM"])
def test_without_multibanding_every_number_is_that_of_bilby(approximant: str) -> None:
    bilby = pytest.importorskip("bilby")
    theta = draw_table(5, seed=1)
    plus, cross = LALSimulationWaveform(approximant, 20.0, multibanding=None)(
        draw_binaries(5, 1), FREQUENCY_HZ
    )
    for row, values in enumerate(theta.tolist()):
        parameters = dict(zip(NAMES, values))
        del parameters["geocent_time"]
        parameters, _ = bilby.gw.conversion.convert_to_lal_binary_black_hole_parameters(parameters)
        names = ("mass_1", "mass_2", *NAMES[2:3], *NAMES[6:14])
        truth = bilby.gw.source.lal_binary_black_hole(
            np.arange(8193) / 8,
            **{name: parameters[name] for name in names},
            waveform_approximant=approximant,
            reference_frequency=20.0,
            minimum_frequency=10.0,
            maximum_frequency=1024.0,
        )
        for made, mode in ((plus, "plus"), (cross, "cross")):
            # The masses go through other formulas: the last digits differ, and the phase follows them.
            scale = np.abs(truth[mode]).max()
            assert np.abs(made[row].numpy() - truth[mode][80:]).max() < 1e-9 * scale


@pytest.mark.parametrize("approximant", ["IMRPhenomD", "IMRPhenomPv2", "IMRPhenomXAS", "IMRPhenomXP"])
def test_multibanding_changes_next_to_nothing(approximant: str) -> None:
    binary = draw_binaries(20, seed=2)
    if approximant in ("IMRPhenomD", "IMRPhenomXAS"):
        ones = torch.ones(20, dtype=torch.float64)
        binary = replace(binary, tilt_1_rad=0 * ones, tilt_2_rad=torch.pi * ones)
    made = LALSimulationWaveform(approximant, 20.0)(binary, FREQUENCY_HZ)
    exact = LALSimulationWaveform(approximant, 20.0, multibanding=None)(binary, FREQUENCY_HZ)
    for strain, truth in zip(made, exact):
        strain, truth = 1e23 * strain[:, :-1], 1e23 * truth[:, :-1]
        apart = (strain - truth).abs().pow(2).sum(1) / truth.abs().pow(2).sum(1)
        assert apart.max() < 1e-8  # twice the mismatch and more
        assert apart.median() < 1e-10


def test_xphm_is_nearer_to_the_full_waveform_than_lalsimulation_on_its_own_bands() -> None:
    lal, lalsimulation = pytest.importorskip("lal"), pytest.importorskip("lalsimulation")
    binary = draw_binaries(10, seed=3)
    banded, _ = LALSimulationWaveform("IMRPhenomXPHM", 20.0)(binary, FREQUENCY_HZ)
    usual, _ = LALSimulationWaveform("IMRPhenomXPHM", 20.0, multibanding=None)(binary, FREQUENCY_HZ)

    class AllFrequencies:
        def __getattr__(self, name: str) -> object:
            return getattr(lalsimulation, name)

        def SimInspiralChooseFDWaveform(self, *arguments: object) -> object:
            options = lal.CreateDict()
            lalsimulation.SimInspiralWaveformParamsInsertPhenomXPHMThresholdMband(options, 0.0)
            lalsimulation.SimInspiralWaveformParamsInsertPhenomXHMThresholdMband(options, 0.0)
            return lalsimulation.SimInspiralChooseFDWaveform(*arguments[:-2], options, arguments[-1])

    full = LALSimulationWaveform("IMRPhenomXPHM", 20.0, multibanding=None)
    full._lalsimulation = AllFrequencies()
    truth, _ = full(binary, FREQUENCY_HZ)

    def apart(strain: torch.Tensor) -> torch.Tensor:
        return (1e23 * (strain - truth)).abs().pow(2).sum(1) / (1e23 * truth).abs().pow(2).sum(1)

    assert apart(banded).max() < 1e-7
    assert apart(banded).median() < apart(usual).median() / 1000


def test_the_merger_is_the_same_whatever_the_band_begins_with() -> None:
    binary = draw_binaries(2, seed=4)
    waveform = make_waveform("lalsimulation:IMRPhenomXPHM")
    whole, _ = waveform(binary, FREQUENCY_HZ)
    part, _ = waveform(binary, FREQUENCY_HZ[400:3000])
    assert (whole[:, 400:3000] - part).abs().max() < 1e-4 * whole.abs().max()


def test_a_copy_gives_the_same() -> None:
    waveform = LALSimulationWaveform("IMRPhenomXP", 25.0)
    copied = copy.deepcopy(waveform)
    binary = draw_binaries(1, seed=5)
    assert torch.equal(copied(binary, FREQUENCY_HZ)[0], waveform(binary, FREQUENCY_HZ)[0])


def test_a_signal_that_ends_below_the_band_is_zero() -> None:
    binary = replace(
        draw_binaries(1, seed=6), mass_1_msun=torch.tensor([3e3]), mass_2_msun=torch.tensor([3e3])
    )
    plus, cross = make_waveform("lalsimulation:IMRPhenomPv2")(binary, FREQUENCY_HZ)
    assert not plus.any()
    assert not cross.any()


def test_what_lalsimulation_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="NoSuchWaveform"):
        make_waveform("lalsimulation:NoSuchWaveform")
    with pytest.raises(ValueError, match="time domain only"):
        make_waveform("lalsimulation:SpinTaylorT4")


@pytest.mark.parametrize("multibanding", [True, False])
def test_a_binary_that_lalsimulation_refuses_is_named(multibanding: bool) -> None:
    binary = replace(draw_binaries(1, seed=7), mass_1_msun=torch.tensor([-3.0], dtype=torch.float64))
    waveform = LALSimulationWaveform("IMRPhenomXP", 20.0)
    if not multibanding:
        waveform = LALSimulationWaveform("IMRPhenomXP", 20.0, multibanding=None)
    with pytest.raises(ValueError, match="mass_1_msun': -3"):
        waveform(binary, FREQUENCY_HZ)


def test_frequencies_that_are_no_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of their spacing"):
        make_waveform("lalsimulation:IMRPhenomXP")(draw_binaries(1, seed=8), FREQUENCY_HZ + 0.01)
