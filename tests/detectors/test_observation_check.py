import numpy as np
import pytest

from lightning_itwin.detectors.observation_check import (
    LARGEST_ASD_DISTANCE,
    ObservationDiffersError,
    band_log_asd,
    check_same_observation,
)

FREQUENCY_HZ = np.arange(80, 4096) / 8.0
ASD = 1e-23 * (1 + (40 / FREQUENCY_HZ) ** 4)[None, None]


def facts(asd=ASD, **changed):
    settings = {"detectors": ["H1"], "duration_s": 8.0, "prior": "a = Uniform(0, 1)"}
    return {**settings, "log_asd": band_log_asd(FREQUENCY_HZ, asd), **changed}


def test_bands_hold_the_mean_logarithm():
    log_asd = np.array(band_log_asd(FREQUENCY_HZ, np.full((2, 3, len(FREQUENCY_HZ)), np.e**2)))
    assert log_asd.shape == (2, 3, 24)
    assert log_asd == pytest.approx(2.0)


def test_the_same_is_let_through_as_tuple_or_list():
    check_same_observation(facts(), facts(detectors=("H1",)))


def test_every_difference_is_named():
    with pytest.raises(ObservationDiffersError, match=r"(?s)detectors: .*'H1'.*'L1'.*duration_s.*8\.0.*4\.0"):
        check_same_observation(facts(), facts(detectors=["L1"], duration_s=4.0))


def test_a_psd_must_be_near_one_of_the_training():
    check_same_observation(facts(np.concatenate([ASD, 3 * ASD])), facts(3.1 * ASD))
    louder = np.exp(1.1 * LARGEST_ASD_DISTANCE) * ASD
    with pytest.raises(ObservationDiffersError, match=r"PSD set 0.* 0\.22 .*allowed is 0\.2"):
        check_same_observation(facts(), facts(louder))


def test_other_bands_are_other_psds():
    with pytest.raises(ObservationDiffersError, match="bands"):
        check_same_observation(facts(), facts(log_asd=[[[0.0]]]))
