"""How far channels are scaled."""

from __future__ import annotations

import numpy as np

from nascompiler.passes.equalization.balance import balanced
from nascompiler.passes.equalization.classes import scale_classes
from tests.passes.equalization.test_classes import Network


def chain(first, second, *, depthwise=False):
    """conv -> relu -> conv with the given weights [4, 4], and its classes."""
    network = Network()
    builder, nn = network.builder, network.nn
    a = nn.conv2d(network.x, builder.constant(first[None, None].astype(np.float32)))
    b = nn.relu(a)
    if depthwise:
        b = nn.conv2d(b, builder.constant(second[None, None].astype(np.float32)), groups=4)
        b = nn.hard_swish(b)
    else:
        b = nn.conv2d(b, builder.constant(second[None, None].astype(np.float32)))
    found = scale_classes(network.graph(b))
    (index,) = [i for i, c in enumerate(found.classes) if a in c.values]
    return found, index, a


def test_the_weights_on_both_sides_become_alike():
    random = np.random.default_rng(1)
    first, second = random.standard_normal((2, 4, 4)) * np.array([[0.01, 1, 10, 100]])
    second = second.T
    found, index, _ = chain(first, second)
    scale = balanced(found)[index]
    before, behind = np.abs(first).max(axis=0) * scale, np.abs(second).max(axis=1) / scale
    np.testing.assert_allclose(before / behind, before[0] / behind[0], rtol=1e-6)
    np.testing.assert_allclose(np.log(scale).mean(), 0, atol=1e-9)  # magnitudes as a whole stay


def test_numbers_that_were_observed_come_before_weights():
    random = np.random.default_rng(1)
    first, second = random.standard_normal((2, 4, 4))
    found, index, a = chain(first, second)
    numbers = np.array([1, 2, 4, 80.0])
    scale = balanced(found, {a: numbers})[index]
    share = numbers * scale / (np.abs(second).max(axis=1) / scale)
    np.testing.assert_allclose(share, share[0], rtol=1e-6)


def test_in_front_of_depthwise_layers_only_the_numbers_count():
    random = np.random.default_rng(1)
    first, second = random.standard_normal((4, 4)) * [1, 2, 4, 80], random.standard_normal((1, 4))
    found, index, _ = chain(first, second, depthwise=True)
    made = np.abs(first).max(axis=0) * balanced(found)[index]
    np.testing.assert_allclose(made, made[0], rtol=1e-6)


def test_dead_channels_keep_their_scale():
    first, second = np.eye(4), np.eye(4)
    first[:, 1] = 0
    second[2] = 0
    first[3] *= 16
    found, index, _ = chain(first, second)
    np.testing.assert_allclose(balanced(found)[index], [2, 1, 1, 0.5])


def test_a_network_without_anything_alive_stays():
    found, index, _ = chain(np.zeros((4, 4)), np.eye(4))
    np.testing.assert_array_equal(balanced(found)[index], np.ones(4))
