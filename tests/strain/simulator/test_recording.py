from __future__ import annotations

import numpy as np
import pytest

from lightning_itwin.strain.simulator import Recording, Scene, SimulatedData, VirgoSimulator
from lightning_itwin.strain.simulator.recording import witness_names
from tests.strain.simulator.channels_of import channel, coherence, witness

SHORT = {"duration_s": 32.0}


def test_the_strong_detector_has_ten_witnesses(strong_data: SimulatedData, strong: VirgoSimulator) -> None:
    names = witness_names(strong.scene, strong.recording)
    assert [one.name for one in strong_data.witnesses] == [f"V1:SIM_{name}" for name in names]
    assert len(names) == 10


def test_a_channel_more_leaves_the_others_as_they_are() -> None:
    bare = VirgoSimulator.strong(**SHORT).simulate()
    more = {"dummies": 4, "neighbours": 11, "unsafe_noise": 1.0}
    rich = VirgoSimulator.strong(**SHORT, recording=more).simulate()
    assert len(rich.witnesses) == 10 + 3 + 11 + 1
    found = {one.name: one.values for one in (*rich.witnesses, *rich.truth, rich.strain)}
    for one in (*bare.witnesses, *bare.truth, bare.strain):
        np.testing.assert_array_equal(one.values, found[one.name])


def test_a_scene_leaves_what_was_there_as_it_is() -> None:
    bare = VirgoSimulator(**SHORT, sample_rate_hz=1024.0).simulate()
    scene = Scene(scattering=True, glitches_per_hour=240.0, injections_per_hour=240.0)
    rich = VirgoSimulator(**SHORT, sample_rate_hz=1024.0, scene=scene).simulate()
    found = {one.name: one.values for one in (*rich.witnesses, *rich.truth)}
    for one in (*bare.witnesses, *bare.truth):
        np.testing.assert_array_equal(one.values, found[one.name])


def test_dummies_couple_to_nothing_and_differ() -> None:
    data = VirgoSimulator(duration_s=64.0, recording=Recording(dummies=4)).simulate()
    dummies = np.stack([one.values for one in data.witnesses if "DUMMY" in one.name])
    assert len(dummies) == 4
    seen = np.corrcoef(np.concatenate([dummies, data.strain.values[None]]))
    assert np.abs(seen - np.eye(5)).max() < 0.1


def test_a_neighbour_senses_the_same_with_a_noise_of_its_own(strong: VirgoSimulator) -> None:
    data = VirgoSimulator.strong(duration_s=64.0, recording={"neighbours": 10}).simulate()
    names = [one.name.removeprefix("V1:SIM_") for one in data.witnesses]
    assert [name for name in names if name.endswith(("_B", "_C"))] == [
        *(f"{name}_B" for name in names[:9]),
        "SEISMOMETER_1_C",
    ]
    first, second = witness(data, "SEISMOMETER_1"), witness(data, "SEISMOMETER_1_B")
    assert not np.array_equal(first, second)
    assert coherence(first, second, 1024.0, 60.0, 400.0) == pytest.approx((1 + 1 / 900) ** -2, abs=2e-3)


@pytest.mark.parametrize("noise", [0.3, 3.0])
def test_an_unsafe_channel_carries_the_strain(noise: float) -> None:
    recording = {"unsafe_noise": noise}
    quiet = {"coupling_strength": 0.0, "duration_s": 64.0, "recording": recording}
    data = VirgoSimulator.strong(**quiet).simulate()
    seen = coherence(data.strain.values, witness(data, "UNSAFE"), 1024.0, 100.0, 400.0)
    assert seen == pytest.approx(1 / (1 + noise**2), abs=0.06)
    injected = VirgoSimulator.strong(**quiet, scene={"injections_per_hour": 240.0}).simulate()
    more = witness(injected, "UNSAFE") - witness(data, "UNSAFE")
    assert coherence(more, injected.part("injections"), 1024.0, 30.0, 100.0) > 0.99


def test_channels_have_the_rates_that_are_asked_for() -> None:
    rates_hz = {"ANGLE_YAW": 50.0, "SEISMOMETER_2": 500.0, "MICROPHONE": 16384.0}
    usual = VirgoSimulator.strong(**SHORT).simulate()
    data = VirgoSimulator.strong(**SHORT, recording={"rates_hz": rates_hz}).simulate()
    for name, rate_hz in rates_hz.items():
        one = channel(data, name)
        assert (one.sample_rate_hz, len(one.values)) == (rate_hz, round(32.0 * rate_hz))
        assert one.gps_end_s == data.strain.gps_end_s
    fast, at_usual = channel(data, "MICROPHONE").values[::16], channel(usual, "MICROPHONE").values
    inside = slice(100, -100)
    assert coherence(fast[inside], at_usual[inside], 1024.0, 10.0, 380.0) > 0.999


def test_gaps_are_missing_in_the_strain_alone() -> None:
    recording = Recording(gaps_s=((4.0, 6.0),))
    data = VirgoSimulator(duration_s=16.0, recording=recording).simulate()
    assert np.flatnonzero(np.isnan(data.strain.values)).tolist() == list(range(4 * 512, 6 * 512))
    assert all(np.isfinite(one.values).all() for one in (*data.witnesses, *data.truth))


def test_a_witness_loses_its_own_stretches() -> None:
    lost_s = {"MAINS": ((1.0, 2.0),), "ANGLE_YAW": ((3.0, 3.5),)}
    data = VirgoSimulator(duration_s=16.0, recording=Recording(lost_s=lost_s)).simulate()
    bad = {one.name: np.flatnonzero(np.isnan(one.values)) for one in (data.strain, *data.witnesses)}
    assert bad.pop("V1:SIM_MAINS").tolist() == list(range(512, 1024))
    assert bad.pop("V1:SIM_ANGLE_YAW").tolist() == list(range(3 * 64, 7 * 32))
    assert all(len(where) == 0 for where in bad.values())
