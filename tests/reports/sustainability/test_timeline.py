from __future__ import annotations

import itertools

import pytest

from lightning_itwin.reports.sustainability.timeline import MOST_BINS, WIDTHS, EnergyTimeline


def test_each_width_divides_the_next() -> None:
    assert all(wide % narrow == 0 for narrow, wide in itertools.pairwise(WIDTHS))


def test_energy_is_spread_evenly_over_its_time() -> None:
    timeline = EnergyTimeline()
    timeline.add("a", 90.0, 210.0, 4.0)
    assert timeline.bins("a") == pytest.approx({60: 1.0, 120: 2.0, 180: 1.0})


@pytest.mark.parametrize("span_s", [10, 7_000, 90_000, 1e6, 1e7, 3e7, 1e9])
def test_bins_grow_with_the_span_and_lose_nothing(span_s: float) -> None:
    timeline = EnergyTimeline()
    begin = 1_700_000_000.0
    for part in range(100):
        timeline.add("ab"[part % 2], begin + span_s * part / 100, begin + span_s * (part + 1) / 100, 0.01)
    timeline.add("a", begin, begin + span_s, 1.0)
    for project, energy in (("a", 1.5), ("b", 0.5)):
        assert sum(timeline.bins(project).values()) == pytest.approx(energy)
    bins = timeline.bins("a")
    assert list(bins) == sorted(bins)
    if timeline.width_s < WIDTHS[-1]:
        assert len(bins) <= MOST_BINS + 1


def test_nothing_drawn_is_nothing_shown() -> None:
    timeline = EnergyTimeline()
    timeline.add("a", 0.0, 10.0, 0.0)
    timeline.add("a", 0.0, 10.0, -1.0)
    assert timeline.bins("a") == {}
    timeline.add("a", 20.0, 10.0, 1.0)
    assert timeline.bins("a") == {0: 1.0}
