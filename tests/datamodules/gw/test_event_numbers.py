import numpy as np

from lightning_itwin.datamodules.gw.event_numbers import derived_seed, noise_seeds, psd_indices


def test_numbers_belong_to_the_event():
    together = noise_seeds(range(100), 5)
    assert len(set(together)) == 100
    assert together.min() >= 0
    assert np.array_equal(noise_seeds([42, 7], 5), together[[42, 7]])
    assert not np.array_equal(noise_seeds(range(100), 6), together)


def test_all_psds_are_drawn_alike():
    drawn = psd_indices(range(3000), 1, 3)
    assert np.bincount(drawn).tolist() == np.bincount(psd_indices(range(3000), 1, 3)).tolist()
    assert np.abs(np.bincount(drawn) / 1000 - 1).max() < 0.1
    assert not psd_indices(range(10), 1, 1).any()


def test_purposes_are_apart():
    seeds = {
        derived_seed(1, *purpose)
        for purpose in [("val",), ("test",), ("noise", 0, 1), ("noise", 1, 0), ("noise", 0), (0, "noise")]
    }
    assert len(seeds) == 6
    assert all(0 <= seed < 2**52 for seed in seeds)
