from __future__ import annotations

import numpy as np
import pytest

from lightning_itwin.strain.chirp import binary_chirp
from lightning_itwin.strain.matched_filter import MatchedFilter
from lightning_itwin.strain.simulator import Scene, SimulatedData, VirgoSimulator
from lightning_itwin.strain.simulator.background import Background
from lightning_itwin.strain.simulator.transients import (
    KINDS,
    Glitch,
    GlitchShape,
    Injection,
    Timeline,
    unwitnessed_glitches,
)

RATE_HZ = 1024.0
BACKGROUND = Background(scale=2.35)


@pytest.mark.parametrize(
    ("kind", "low_hz", "high_hz"), [("blip", 30.0, 350.0), ("tomte", 15.0, 100.0), ("whistle", 60.0, 330.0)]
)
def test_a_family_has_its_band_and_its_length(kind: str, low_hz: float, high_hz: float) -> None:
    rng = np.random.default_rng(0)
    shapes = [shape for shape in (GlitchShape.draw(rng) for _ in range(150)) if shape.kind == kind]
    assert len(shapes) > 20
    time_s = np.arange(-0.5, 0.5, 1 / RATE_HZ)
    frequency_hz = np.fft.rfftfreq(len(time_s), 1 / RATE_HZ)
    for shape in shapes:
        values = shape(time_s)
        assert np.abs(values).max() <= 1
        power = np.abs(np.fft.rfft(values)) ** 2
        inside = (frequency_hz > low_hz) & (frequency_hz < high_hz)
        assert power[inside].sum() > 0.9 * power.sum()
        assert np.abs(values[[0, -1]]).max() < 0.02
    assert max(shape.width_s for shape in shapes) < (0.25 if kind == "whistle" else 0.06)


def test_a_whistle_sweeps() -> None:
    rng = np.random.default_rng(1)
    whistles = [shape for shape in (GlitchShape.draw(rng) for _ in range(60)) if shape.kind == "whistle"]
    assert min(abs(shape.sweep_hz_per_s * shape.width_s) for shape in whistles) >= 40.0


def test_times_keep_apart_and_have_their_mean_number() -> None:
    timeline = Timeline(round(3600 * RATE_HZ), RATE_HZ, 0.0)
    rng = np.random.default_rng(2)
    counts = []
    for _ in range(200):
        times = list(timeline.times(60.0, rng))
        counts.append(len(times))
        assert np.diff(times).min() >= 0.4 * 3600 / len(times)
        assert 0 < times[0] < times[-1] < 3600
    assert np.mean(counts) == pytest.approx(60.0, abs=4 * np.sqrt(60 / 200))


def test_the_same_glitches_come_at_any_rate() -> None:
    at_512, at_2048 = (
        VirgoSimulator.strong(duration_s=64.0, sample_rate_hz=rate_hz).simulate().events
        for rate_hz in (512.0, 2048.0)
    )
    assert [(one.gps_s, one.kind) for one in at_512] == [(one.gps_s, one.kind) for one in at_2048]
    for one, other in zip(at_512, at_2048):
        if one.kind == "tomte":
            assert one.snr == pytest.approx(other.snr, rel=0.02)


def test_events_tell_where_glitches_are_and_how_loud(strong_data: SimulatedData) -> None:
    glitches = [event for event in strong_data.events if isinstance(event, Glitch)]
    assert {glitch.kind for glitch in glitches} == set(KINDS)
    assert {glitch.witnessed for glitch in glitches} == {True, False}
    for glitch in glitches:
        series = strong_data.part("glitches/witnessed" if glitch.witnessed else "glitches/unwitnessed")
        centre = round((glitch.gps_s - strong_data.strain.gps_start_s) * RATE_HZ)
        piece = series[max(0, centre - 700) : centre + 700]
        assert BACKGROUND.optimal_snr(piece, RATE_HZ) == pytest.approx(glitch.snr, rel=0.02)
        assert (glitch.amplitude > 0) == glitch.witnessed
    times = [event.gps_s for event in strong_data.events]
    assert times == sorted(times)


def test_unwitnessed_glitches_have_the_loudness_that_is_asked_for() -> None:
    timeline = Timeline(round(256 * RATE_HZ), RATE_HZ, 0.0)
    scene = Scene(unwitnessed_glitches_per_hour=600.0, unwitnessed_snr=(10.0, 20.0))
    series, events = unwitnessed_glitches(timeline, scene, np.random.default_rng(3), BACKGROUND)
    snr = np.array([event.snr for event in events])
    assert snr.min() > 9.9
    assert snr.max() < 20.2
    together = BACKGROUND.optimal_snr(series, RATE_HZ)
    assert together == pytest.approx(np.sqrt(np.sum(snr**2)), rel=0.01)


def test_an_injection_is_the_chirp_of_its_masses_at_its_snr(strong_data: SimulatedData) -> None:
    found = [event for event in strong_data.events if isinstance(event, Injection)]
    assert found
    frequency_hz = np.arange(0.0, 512.5, 0.5)
    psd = BACKGROUND.asd(frequency_hz) ** 2
    strain = strong_data.oracle.values
    for event in found:
        chirp = binary_chirp(
            event.mass_1_msun, event.mass_2_msun, RATE_HZ, lowest_hz=15.0, distance_mpc=event.distance_mpc
        )
        start = round((event.gps_s - strong_data.strain.gps_start_s) * RATE_HZ) - chirp.merger
        if start < 0:
            continue
        matched = MatchedFilter(chirp.values, RATE_HZ, psd, frequency_hz)
        assert matched.optimal_snr == pytest.approx(event.snr, rel=0.01)
        injected = strong_data.part("injections")[start : start + len(chirp.values)]
        assert abs(matched.series(injected)[0]) == pytest.approx(event.snr, rel=0.02)
        assert abs(matched.snr(strain, start)) < event.snr + 5
