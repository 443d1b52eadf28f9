from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lightning_itwin.detectors import interferometers
from lightning_itwin.detectors.interferometer import read_interferometer

pytest.importorskip("bilby")


@pytest.mark.parametrize("name", ["ET", "H1", "L1", "V1", "K1", "CE", "A1", "GEO600", "NEMO"])
def test_place_and_response_are_those_of_bilby(name: str) -> None:
    detector = pytest.importorskip("bilby.gw.detector")
    truth = detector.get_empty_interferometer(name)
    truth = truth if isinstance(truth, list) else [truth]
    for made, one in zip(interferometers([name]), truth, strict=True):
        assert made.name == one.name
        np.testing.assert_allclose(made.vertex_m, one.vertex_position_geocentric(), atol=1e-6)
        np.testing.assert_allclose(made.response, one.detector_tensor, atol=1e-12)


def test_a_triangle_has_three_and_closes() -> None:
    triangle = interferometers(["ET"])
    assert [one.name for one in triangle] == ["ET1", "ET2", "ET3"]
    corners = np.stack([one.vertex_m for one in triangle])
    np.testing.assert_allclose(np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1), 1e4, rtol=3e-3)
    # the null stream: the three answers add up to nothing, but for the curvature of the Earth
    assert np.abs(sum(one.response for one in triangle)).max() < 2e-3


def test_unknown_or_repeated_detectors_are_refused() -> None:
    with pytest.raises(ValueError, match="Known are A1, CE, ET"):
        interferometers(["H2"])
    with pytest.raises(ValueError, match="each of them once"):
        interferometers(["H1", "H1"])
    with pytest.raises(ValueError, match="at least one"):
        interferometers([])


@pytest.mark.parametrize(
    "line", ["latitude = __import__('os').getcwd()", "latitude = 'north' + 1", "nonsense"]
)
def test_a_file_holds_numbers_and_no_programs(tmp_path: Path, line: str) -> None:
    path = tmp_path / "X1.interferometer"
    path.write_text(f"name = 'X1'\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="not understood"):
        read_interferometer(path)
