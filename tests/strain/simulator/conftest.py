from __future__ import annotations

import pytest

from lightning_itwin.strain.simulator import SimulatedData, VirgoSimulator


@pytest.fixture(scope="session")
def strong() -> VirgoSimulator:
    return VirgoSimulator.strong(duration_s=256.0, scene={"injections_per_hour": 60.0})


@pytest.fixture(scope="session")
def strong_data(strong: VirgoSimulator) -> SimulatedData:
    return strong.simulate()
