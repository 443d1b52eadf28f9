from __future__ import annotations

import numpy as np
import pytest

from lightning_itwin.strain.bns_range import bns_range_mpc
from lightning_itwin.strain.simulator.virgo_instrument import virgo_asd

FREQUENCY_HZ = np.arange(0.0, 2048.0, 0.25)


def test_it_is_gwpys_sensemon_range() -> None:
    pytest.importorskip("gwpy")
    from gwpy.astro import sensemon_range
    from gwpy.frequencyseries import FrequencySeries

    psd = virgo_asd(FREQUENCY_HZ) ** 2
    series = FrequencySeries(psd, df=0.25, f0=0.0, unit="1/Hz")
    for masses, minimum_hz in (((1.4, 1.4), 10.0), ((1.4, 1.4), 25.0), ((2.0, 1.2), 15.0)):
        theirs = sensemon_range(series, mass1=masses[0], mass2=masses[1], fmin=minimum_hz).value
        assert bns_range_mpc(psd, FREQUENCY_HZ, *masses, minimum_hz) == pytest.approx(theirs, rel=1e-3)


def test_it_scales_as_the_amplitude() -> None:
    psd = virgo_asd(FREQUENCY_HZ) ** 2
    both = bns_range_mpc(np.stack([psd, 4 * psd]), FREQUENCY_HZ)
    assert both.shape == (2,)
    assert both[0] == pytest.approx(2 * both[1])


def test_bad_spectra_are_refused() -> None:
    psd = virgo_asd(FREQUENCY_HZ) ** 2
    with pytest.raises(ValueError, match="fewer than two frequencies"):
        bns_range_mpc(psd[:20], FREQUENCY_HZ[:20])
    with pytest.raises(ValueError, match="must be positive"):
        bns_range_mpc(np.where(FREQUENCY_HZ > 400, 0.0, psd), FREQUENCY_HZ)
    with pytest.raises(ValueError, match=r"\(F,\)"):
        bns_range_mpc(psd[:-1], FREQUENCY_HZ)
