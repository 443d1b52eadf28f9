from __future__ import annotations

import numpy as np
import pytest
import torch

from lightning_itwin.waveforms.quasinormal_mode import QuasinormalMode, natural_spline_bends
from lightning_itwin.waveforms.quasinormal_table import DAMPING_FREQUENCY, FINAL_SPIN, RING_FREQUENCY


def test_the_splines_go_through_the_table_and_between_it_like_scipys() -> None:
    interpolate = pytest.importorskip("scipy.interpolate")
    spin = np.concatenate([FINAL_SPIN, np.linspace(-1, 1, 777)])
    tables = (np.array(RING_FREQUENCY) / 1e7, np.array(DAMPING_FREQUENCY) / 1e8)
    for made, table in zip(QuasinormalMode()(torch.from_numpy(spin)), tables, strict=True):
        truth = interpolate.CubicSpline(FINAL_SPIN, table, bc_type="natural")(spin)
        np.testing.assert_allclose(made.numpy(), truth, rtol=1e-12)


def test_without_spin_the_mode_is_that_of_schwarzschild() -> None:
    # M omega = 0.37367 - 0.08896 i, Berti, Cardoso and Starinets 2009, table VIII
    ring, damping = QuasinormalMode()(torch.zeros(1, dtype=torch.float64))
    assert 2 * np.pi * ring.item() == pytest.approx(0.37367, abs=1e-5)
    assert 2 * np.pi * damping.item() == pytest.approx(0.08896, abs=1e-5)


def test_a_straight_line_has_no_bends() -> None:
    knots = np.array([0.0, 1.0, 3.0, 4.5, 5.0])
    np.testing.assert_allclose(natural_spline_bends(knots) @ (2 * knots + 1), 0.0, atol=1e-12)
