from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from lightning_itwin.hpo.policies.encoding import Encoding

SPACE = {
    "lr": FloatDistribution(1e-4, 1e-2, log=True),
    "kind": CategoricalDistribution(["a", "b", None]),
    "width": IntDistribution(8, 64, log=True),
    "depth": IntDistribution(1, 7, step=3),
    "drop": FloatDistribution(0.0, 0.5, step=0.25),
    "fixed": IntDistribution(2, 2),
}


def test_numbers_and_choices_as_points() -> None:
    params = {"lr": 1e-3, "kind": "b", "width": 64, "depth": 4, "drop": 0.25, "fixed": 2}
    encoding = Encoding(SPACE)
    (point,) = encoding.encode([params])
    assert point == pytest.approx([0.5, 0, math.sqrt(0.5), 0, 1.0, 0.5, 0.5])
    assert encoding.owner_C.tolist() == [0, 1, 1, 1, 2, 3, 4]
    assert encoding.decode(point) == pytest.approx(params)


def test_what_is_lacking_stands_in_the_middle_of_all() -> None:
    (point,) = Encoding(SPACE).encode([{}])
    assert point == pytest.approx([0.5, *[math.sqrt(0.5) / 3] * 3, 0.5, 0.5, 0.5])


@pytest.mark.parametrize("how", ["everywhere", "near"])
def test_what_is_drawn_can_be_had(how: str) -> None:
    encoding, rng = Encoding(SPACE), np.random.default_rng(0)
    points = encoding.sample(rng, 300)
    if how == "near":
        points = encoding.near(rng, points[0], 300, 0.1)
    for point in points:
        params = encoding.decode(point)
        assert all(
            distribution._contains(distribution.to_internal_repr(params[name]))
            for name, distribution in SPACE.items()
        )
        assert encoding.encode([params])[0] == pytest.approx(point)


def test_each_value_of_an_integer_is_drawn_alike() -> None:
    encoding = Encoding({"n": IntDistribution(0, 3)})
    drawn = Counter(encoding.decode(point)["n"] for point in encoding.sample(np.random.default_rng(0), 4000))
    assert set(drawn) == {0, 1, 2, 3}
    assert all(900 < count < 1100 for count in drawn.values())


def test_near_moves_some_and_not_all() -> None:
    encoding = Encoding({f"x{i}": FloatDistribution(0, 1) for i in range(10)})
    middle = np.full(10, 0.5)
    moved = (encoding.near(np.random.default_rng(0), middle, 500, 0.1) != middle).sum(axis=1)
    assert moved.min() >= 1
    assert 2 < moved.mean() < 4


def test_a_foreign_distribution_is_an_error() -> None:
    class Foreign(IntDistribution):
        pass

    class Other(FloatDistribution.__bases__[0]):
        def single(self):
            return False

        def to_external_repr(self, value):
            return value

        def to_internal_repr(self, value):
            return value

        def _contains(self, value):
            return True

    assert Encoding({"n": Foreign(0, 1)}).names == ["n"]
    with pytest.raises(ValueError, match="no float, integer or categorical"):
        Encoding({"n": Other()})
