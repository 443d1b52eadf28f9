from __future__ import annotations

import numpy as np
import pytest

from lightning_itwin.strain.simulator import SimulatedData, VirgoSimulator


def test_the_strain_is_the_sum_of_the_truth(strong_data: SimulatedData) -> None:
    assert len(strong_data.truth) == 11
    together = sum(one.values for one in strong_data.truth)
    np.testing.assert_allclose(strong_data.strain.values, together, rtol=1e-12)
    np.testing.assert_allclose(strong_data.whole.values, together, rtol=1e-12)


def test_the_oracle_is_what_no_witness_knows(strong_data: SimulatedData) -> None:
    kept = [strong_data.part(name) for name in ("background", "glitches/unwitnessed", "injections")]
    np.testing.assert_allclose(strong_data.oracle.values, sum(kept), rtol=1e-12)
    assert strong_data.oracle.gps_start_s == strong_data.strain.gps_start_s


@pytest.mark.parametrize("seed", [0, 5])
def test_the_strong_detector_has_42_of_65_mpc(seed: int) -> None:
    simulator = VirgoSimulator.strong(duration_s=256.0, instrument_seed=seed, noise_seed=seed + 20)
    raw, oracle = simulator.simulate().ranges_mpc()
    assert raw == pytest.approx(42.0, abs=3.0)
    assert oracle == pytest.approx(65.0, abs=1.0)


def test_the_virgo_like_detector_has_a_fortieth_to_win() -> None:
    raw, oracle = VirgoSimulator.virgo_like(duration_s=256.0).simulate().ranges_mpc()
    assert oracle / raw == pytest.approx(1.025, abs=0.005)


def test_gaps_and_flags_leave_the_good_time() -> None:
    recording = {"gaps_s": [[2.0, 3.0]], "flagged_s": [[2.5, 6.0]]}
    data = VirgoSimulator.strong(duration_s=16.0, gps_start_s=100.0, recording=recording).simulate()
    assert data.data_s.tolist() == [[100.0, 102.0], [103.0, 116.0]]
    assert data.good_s.tolist() == [[100.0, 102.0], [106.0, 116.0]]
    assert np.isfinite(data.whole.values).all()
    assert np.isfinite(data.ranges_mpc()).all()


def test_a_part_that_is_not_there_is_named(strong_data: SimulatedData) -> None:
    with pytest.raises(KeyError, match="no part 'linear'; the parts are background, linear/SEISMOMETER_1"):
        strong_data.part("linear")
