"""Weights from another network: all of those that both have, the common part where sizes differ."""

import numpy as np
import pytest

from nascompiler.ir import Builder, fingerprint
from nascompiler.passes import run_pipeline
from nascompiler.training.inheritance import inherit


def network(filters=8, kernel=3, seed=0):
    builder = Builder("net")
    x = builder.arch.conv(builder.input("image", (1, 8, 8, 3)), name="stem", filters=filters, kernel=kernel)
    builder.outputs(logits=builder.arch.classifier(x, name="head", classes=4))
    return run_pipeline(builder.graph, f"expand-cells{{seed={seed}}}")


def arrays(graph):
    return {v.name: v.constant.array for v in graph.constants}


def test_the_same_architecture_takes_everything():
    parent = network(seed=1)
    inherited = inherit(network(seed=2), parent)
    assert inherited.share == 1
    assert fingerprint(inherited.graph) == fingerprint(parent)


def test_more_channels_and_larger_kernels_take_the_common_part():
    parent, child = arrays(network(filters=8, kernel=3, seed=1)), network(filters=16, kernel=5, seed=2)
    inherited = inherit(child, network(filters=8, kernel=3, seed=1))
    found, before = arrays(inherited.graph), arrays(child)
    weight = "stem.conv.weight"
    np.testing.assert_array_equal(found[weight][1:4, 1:4, :, :8], parent[weight])
    np.testing.assert_array_equal(found[weight][0], before[weight][0])
    np.testing.assert_array_equal(found[weight][..., 8:], before[weight][..., 8:])
    assert 0 < inherited.share < 1


def test_what_has_another_name_stays():
    builder = Builder("other")
    x = builder.arch.conv(builder.input("image", (1, 8, 8, 3)), name="first", filters=8)
    builder.outputs(logits=builder.arch.classifier(x, name="last", classes=4))
    child = network()
    inherited = inherit(child, run_pipeline(builder.graph, "expand-cells"))
    assert inherited.share == 0
    assert fingerprint(inherited.graph) == fingerprint(child)


@pytest.mark.parametrize("seed", [1, 2])
def test_graphs_given_are_left_alone(seed):
    parent, child = network(seed=seed), network(filters=16)
    before = fingerprint(parent), fingerprint(child)
    inherit(child, parent)
    assert (fingerprint(parent), fingerprint(child)) == before
