from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from lightning_itwin.strain.simulator import Recording, Scene


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"glitches_per_hour": -1.0}, "must be >= 0"),
        ({"injection_snr": (9.0, 3.0)}, "injection_snr must rise"),
        ({"injection_mass_msun": (0.0, 3.0)}, "injection_mass_msun must rise from above 0"),
    ],
)
def test_impossible_scenes_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scene(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gaps_s": ((5.0, 2.0),)}, "gaps_s: a stretch must begin"),
        ({"flagged_s": ((-1.0, 2.0),)}, "flagged_s: a stretch must begin"),
        ({"lost_s": {"MAINS": ((3.0, 3.0),)}}, "lost_s of MAINS: a stretch must begin"),
        ({"rates_hz": {"MAINS": 0.0}}, "rates_hz of MAINS must be above 0"),
        ({"dummies": -1}, "must be >= 0"),
        ({"neighbours": -1}, "must be >= 0"),
        ({"unsafe_noise": -0.1}, "must be >= 0"),
    ],
)
def test_impossible_recordings_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recording(**changes)


def test_both_come_back_from_json() -> None:
    scene = Scene(injection_snr=(3.0, 4.0), change_at_s=2.0)
    recording = Recording(gaps_s=((1, 2),), lost_s={"MAINS": ((3, 4), (5, 6))}, rates_hz={"MAINS": 50.0})
    for one in (scene, recording):
        assert type(one)(**json.loads(json.dumps(asdict(one)))) == one
