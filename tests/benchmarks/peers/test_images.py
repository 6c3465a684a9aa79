from __future__ import annotations

import numpy as np

from benchmarks.peers.images import SIZE, images


def test_images_are_normalised_correlated_and_repeatable() -> None:
    three = images(3, seed=4)
    assert three.shape == (3, 3, SIZE, SIZE)
    assert three.dtype == np.float32
    assert -2.11 < three.min() < -1.5
    assert 1.5 < three.max() < 2.61
    assert np.corrcoef(three[0, 0].ravel(), three[0, 1].ravel())[0, 1] > 0.3
    np.testing.assert_array_equal(three, images(3, seed=4))
    assert not np.array_equal(three, images(3, seed=5))


def test_low_frequencies_dominate() -> None:
    power = np.abs(np.fft.fft2(images(1, seed=0)[0, 0])) ** 2
    assert power[1:4, 1:4].mean() > 100 * power[40:60, 40:60].mean()
