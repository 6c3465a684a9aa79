"""The largest magnitude of each channel."""

from __future__ import annotations

import numpy as np

from nascompiler.ir import Builder
from nascompiler.passes.equalization.observation import channel_ranges


def test_the_largest_magnitude_over_all_samples_and_positions():
    b = Builder()
    y = b.nn.neg(b.input("x", (1, 2, 2)))
    z = b.nn.argmax(y, axis=2)
    graph = b.outputs(y=y, z=z)
    samples = [{"x": np.array([[[1, -2], [0, 1]]], np.float32)}, {"x": np.array([[[-3, 0], [0, 1]]], np.float32)}]
    found = channel_ranges(graph, samples)
    assert list(found) == [y]
    np.testing.assert_array_equal(found[y], [3, 2])
    assert channel_ranges(graph, []) == {}
