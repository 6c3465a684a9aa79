from __future__ import annotations

from math import inf

import numpy as np
import pytest

from nascompiler.quantization.noise import Noise, OutputNoise, decibels_text


def test_decibels_are_ten_times_the_logarithm_of_energies() -> None:
    noise = Noise()
    noise.add(np.array([3.0, 4.0], np.float32), np.array([3.0, 4.5], np.float32))
    assert noise.decibels == pytest.approx(20.0)
    noise.add(np.array([3.0, 4.0], np.float32), np.array([3.0, 4.0], np.float32))
    assert noise.decibels == pytest.approx(23.0103, abs=1e-3)


def test_no_noise_and_no_signal() -> None:
    noise = Noise()
    assert noise.decibels == inf
    noise.add(np.zeros(2, np.float32), np.ones(2, np.float32))
    assert noise.decibels == -inf


def test_what_is_not_finite_in_float_does_not_count() -> None:
    noise = Noise()
    noise.add(np.array([1.0, np.inf, np.nan], np.float32), np.array([0.9, 0.0, 0.0], np.float32))
    assert noise.decibels == pytest.approx(20.0, abs=1e-3)


def test_the_worst_output_counts() -> None:
    noise = OutputNoise()
    one = np.ones(4, np.float32)
    noise.add({"a": one, "b": one}, {"a": one, "b": one * np.float32(0.9)})
    assert noise.decibels == pytest.approx(20.0, abs=1e-3)


def test_text() -> None:
    assert decibels_text(31.416) == "31.4 dB"
    assert decibels_text(inf) == "exact"
