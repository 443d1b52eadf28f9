from __future__ import annotations

import numpy as np
import pytest
import torch

from lightning_itwin.waveforms.precession import precession_parameters, source_frame
from tests.waveforms.draws import draw_binaries


def test_the_source_frame_is_that_of_lalsimulation() -> None:
    lalsimulation, lal = pytest.importorskip("lalsimulation"), pytest.importorskip("lal")
    binary = draw_binaries(50, seed=1)
    inclination, spin_1, spin_2 = source_frame(binary, 20.0)
    angles = ("theta_jn_rad", "phi_jl_rad", "tilt_1_rad", "tilt_2_rad", "phi_12_rad", "a_1", "a_2")
    for row, made in enumerate(torch.stack([inclination, *spin_1, *spin_2], dim=1).numpy()):
        one = binary[row : row + 1]
        truth = lalsimulation.SimInspiralTransformPrecessingNewInitialConditions(
            *(getattr(one, name).item() for name in angles),
            one.mass_1_msun.item() * lal.MSUN_SI,
            one.mass_2_msun.item() * lal.MSUN_SI,
            20.0,
            one.phase_rad.item(),
        )
        np.testing.assert_allclose(made, truth, atol=1e-12)


def test_the_parameters_of_the_model_are_those_of_lalsimulation() -> None:
    lalsimulation, lal = pytest.importorskip("lalsimulation"), pytest.importorskip("lal")
    binary = draw_binaries(50, seed=2)
    inclination, spin_1, spin_2 = source_frame(binary, 20.0)
    model = precession_parameters(binary, 20.0)
    order = ("chi_1", "chi_2", "chi_p", "theta_jn_rad", "alpha_rad", "phase_rad", "zeta_rad")
    made = torch.stack([getattr(model, name) for name in order], dim=1).numpy()
    for row in range(len(binary)):
        truth = lalsimulation.SimIMRPhenomPCalculateModelParametersFromSourceFrame(
            binary.mass_1_msun[row].item() * lal.MSUN_SI,
            binary.mass_2_msun[row].item() * lal.MSUN_SI,
            20.0,
            binary.phase_rad[row].item(),
            inclination[row].item(),
            *(part[row].item() for part in (*spin_1, *spin_2)),
            lalsimulation.IMRPhenomPv2_V,
        )
        np.testing.assert_allclose(made[row, :3], truth[:3], atol=1e-10)
        angles = (made[row, 3:] - truth[3:] + np.pi) % (2 * np.pi) - np.pi
        np.testing.assert_allclose(angles, 0.0, atol=1e-7)
