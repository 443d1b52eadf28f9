import pytest
import torch
from scipy import signal

from lightning_itwin.models.noise_removal import NoiseRemoval


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tone(frequency_hz, windows=4, samples=1024, rate_hz=256.0):
    return torch.sin(2 * torch.pi * frequency_hz * torch.arange(samples) / rate_hz).expand(windows, -1)


def removal():
    return NoiseRemoval(sample_rate_hz=256.0, band_hz=(20.0, 100.0))


def test_nothing_removed_and_all_removed():
    one, all_of_it = removal(), removal()
    one.update(noise(4, 512), noise(4, 512))
    all_of_it.update(noise(4, 512), torch.zeros(4, 512))
    assert (one.asd_ratio, one.removed_fraction) == (1.0, 0.0)
    assert (all_of_it.asd_ratio, all_of_it.removed_fraction) == (0.0, 1.0)


def test_added_noise_counts_as_harm():
    harm = removal()
    harm.update(noise(4, 512), 2 * noise(4, 512))
    assert harm.asd_ratio == pytest.approx(2.0)
    assert harm.removed_fraction == pytest.approx(-3.0)


def test_only_the_band_counts():
    outside = removal()
    outside.update(noise(4, 1024) + 50 * tone(10.0), noise(4, 1024))
    assert outside.removed_fraction == pytest.approx(0.0, abs=0.01)
    inside = removal()
    inside.update(noise(4, 1024) + 50 * tone(50.0), noise(4, 1024))
    assert inside.removed_fraction > 0.99


def test_the_ratio_is_that_of_scipys_spectra():
    before, after = noise(6, 512), noise(6, 512, seed=1) * 0.7
    mine = removal()
    mine.update(before[:2], after[:2])
    mine.update(before[2:], after[2:])
    frequency_hz, psd = signal.periodogram(
        torch.stack([before, after]).double(), 256.0, window="hann", detrend=False
    )
    band = (frequency_hz >= 20) & (frequency_hz <= 100)
    mean = psd.mean(axis=1)[:, band]
    torch.testing.assert_close(
        mine.spectrum_ratio.double(), torch.from_numpy((mean[1] / mean[0]) ** 0.5), rtol=1e-4, atol=0
    )
    torch.testing.assert_close(mine.frequency_hz.double(), torch.from_numpy(frequency_hz[band]))


def test_the_asd_ratio_does_not_see_a_filter():
    before, after = noise(1, 65536), noise(1, 65536, seed=1)
    smooth = torch.tensor([0.5, 1.0, 0.5])[None, None]
    plain, filtered = removal(), removal()
    for one, of in (
        (plain, lambda x: x),
        (filtered, lambda x: torch.conv1d(x[:, None], smooth, padding=1)[:, 0]),
    ):
        one.update(of(before).view(64, -1), of(after).view(64, -1))
    assert filtered.asd_ratio == pytest.approx(plain.asd_ratio, rel=0.01)


def test_sums_of_processes_add_up():
    before, after = noise(6, 512), noise(6, 512, seed=1)
    whole, first, second = removal(), removal(), removal()
    whole.update(before, after)
    first.update(before[:2], after[:2])
    second.update(before[2:], after[2:])
    first.power = first.power + second.power
    assert first.asd_ratio == pytest.approx(whole.asd_ratio, rel=1e-5)
    assert first.removed_fraction == pytest.approx(whole.removed_fraction, rel=1e-4)


def test_half_precision_is_measured_in_single():
    half = removal()
    half.update(noise(4, 512).bfloat16(), 0.5 * noise(4, 512).bfloat16())
    assert half.asd_ratio == pytest.approx(0.5, rel=1e-3)


def test_without_windows_there_is_nothing_to_tell():
    empty = removal()
    with pytest.raises(RuntimeError, match="has seen no window"):
        _ = empty.asd_ratio
    empty.update(noise(1, 64), noise(1, 64))
    empty.reset()
    with pytest.raises(RuntimeError, match="has seen no window"):
        _ = empty.removed_fraction
