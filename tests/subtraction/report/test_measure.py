import numpy as np
import pytest
from scipy import signal

from lightning_itwin.subtraction.report.measure import epochs, measure
from lightning_itwin.subtraction.report.numbers import (
    asd_ratio_by_hz,
    band_rows,
    mean_range,
    recovered_fraction,
)
from tests.subtraction.small_subtraction import (
    DURATION_S,
    GPS_S,
    RATE_HZ,
    SIGNALS,
    UNWITNESSED,
    WITNESSED,
    data_and_noise,
    subtraction,
)


@pytest.fixture(scope="module")
def ideal():
    return measure(subtraction())


@pytest.fixture(scope="module")
def half():
    return measure(subtraction(share=0.5))


def test_the_ideal_subtraction_wins_all_and_half_of_it_less(ideal, half):
    assert recovered_fraction(ideal) == pytest.approx(1.0, abs=1e-6)
    assert 0.3 < recovered_fraction(half) < 0.9
    assert mean_range(ideal, "before") < mean_range(half, "after") < mean_range(ideal, "ideal")


def test_without_the_truth_no_ideal_is_claimed():
    evidence = measure(subtraction(with_truth=False))
    assert recovered_fraction(evidence) is None
    assert set(evidence.range_mpc) == {"before", "after"}
    assert set(evidence.transients.kind) == {""}
    added = evidence.injections
    assert added.software
    assert np.isnan(added.subtracted).all()
    np.testing.assert_allclose(added.snr_before, 12, atol=4)
    assert added.snr_after.mean() > added.snr_before.mean()


def test_spectra_are_those_of_scipy(ideal):
    aligned, noise, _ = data_and_noise()
    edges = [int(DURATION_S * RATE_HZ) * number // 3 for number in range(4)]
    for values, found in (
        (aligned.values[0], ideal.spectra.epochs_before),
        (aligned.values[0] - noise, ideal.spectra.epochs_after),
    ):
        for row, begin, end in zip(found, edges[:-1], edges[1:]):
            _, psd = signal.welch(values[begin:end], RATE_HZ, nperseg=2048, average="median")
            np.testing.assert_allclose(row, psd, rtol=1e-9)
    np.testing.assert_allclose(
        ideal.spectra.epoch_gps_s, GPS_S + np.array([1, 3, 5]) * DURATION_S / 6, atol=0.01
    )


def test_power_removed_by_band(ideal, half):
    by_edge = {row.low_hz: row for row in band_rows(ideal.spectra)}
    assert by_edge[52.0].removed == pytest.approx(by_edge[52.0].ideal, abs=1e-9)
    assert by_edge[52.0].removed > 0.5
    assert abs(by_edge[200.0].removed) < 0.1
    assert by_edge[52.0].worst_ratio < 1
    halved = {row.low_hz: row for row in band_rows(half.spectra)}
    assert 0.5 < halved[52.0].removed < by_edge[52.0].removed


def test_harm_in_one_band_is_seen():
    time_s = np.arange(round(DURATION_S * RATE_HZ)) / RATE_HZ
    harmed = measure(subtraction(extra=3e-23 * np.sin(2 * np.pi * 150.2 * time_s)))
    hz, ratio = asd_ratio_by_hz(harmed.spectra)
    assert hz[ratio.argmax()] == 150.5
    assert ratio.max() > 1.1


def test_coherence_is_with_the_witness_alone_and_gone_afterwards(ideal):
    found = ideal.coherences
    at = np.abs(found.frequency_hz - 80).argmin()
    assert found.before[0, at] > 0.9
    assert found.after[0].max() < 0.3
    assert found.before[1].max() < 0.3
    assert [name for name, _ in ideal.ranking] == ["V1:WITNESS", "V1:OTHER"]


def test_glitches_are_found_and_told_apart(ideal):
    found = ideal.transients
    for kind, known in (("witnessed", WITNESSED), ("unwitnessed", UNWITNESSED)):
        times = found.gps_s[np.array(found.kind) == kind] - GPS_S
        np.testing.assert_allclose(np.sort(times), [at_s for at_s, _, _ in known], atol=0.1)
    witnessed = np.array(found.kind) == "witnessed"
    assert (found.snr_after[witnessed] < 6).all()
    assert (found.snr_after[np.array(found.kind) == "unwitnessed"] > 10).all()
    assert 2.5 < found.quiet_snr < 5.5
    assert [triple.title for triple in ideal.scans][:2] == [
        "Glitch with a witness",
        "Glitch without a witness",
    ]
    before, after, gone = ideal.scans[0].scans
    assert after.energy.max() < 0.2 * before.energy.max()
    assert gone.energy.max() > 0.8 * before.energy.max()


def test_signals_grow_and_are_not_subtracted(ideal):
    found = ideal.injections
    np.testing.assert_allclose(found.gps_s - GPS_S, SIGNALS, atol=1.0)
    assert (found.snr_after > found.snr_before).all()
    np.testing.assert_allclose(found.snr_after, 20, atol=3)
    assert abs(found.subtracted.mean()) < 0.1


def test_an_unsafe_subtraction_is_seen_in_the_signals():
    _, _, truth = data_and_noise()
    evidence = measure(subtraction(extra=0.5 * truth["truth/injections"]))
    assert evidence.injections.subtracted.mean() == pytest.approx(0.5, abs=0.1)


def test_the_veto_curve_is_efficiency_against_dead_time():
    rows = [
        [GPS_S + at_s - 0.5, GPS_S + at_s + 0.5, p] for (at_s, _, _), p in zip(WITNESSED, (0.9, 0.8, 0.7))
    ]
    rows.append([GPS_S + 50, GPS_S + 52, 0.1])
    curve = measure(subtraction(vetoes=np.array(rows))).veto
    np.testing.assert_allclose(curve.threshold, [0.9, 0.8, 0.7, 0.1])
    np.testing.assert_allclose(curve.dead_time, [0.01, 0.02, 0.03, 0.05], atol=1e-6)
    np.testing.assert_allclose(curve.efficiency["glitches with a witness"], [1 / 3, 2 / 3, 1, 1])
    np.testing.assert_allclose(curve.efficiency["glitches without"], 0)
    np.testing.assert_allclose(curve.efficiency["signals"], 0)


def test_epochs_cover_each_stretch():
    found = epochs(np.array([[0, 100], [200, 205], [300, 310]]), 1.0)
    assert found == [(0, 33), (33, 66), (66, 100), (300, 310)]


def test_too_little_is_refused():
    short = subtraction()
    object.__setattr__(short, "covered", np.array([[0, 1000]]))
    with pytest.raises(ValueError, match="a stretch of 8 s or more"):
        measure(short)
