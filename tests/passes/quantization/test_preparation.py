"""Networks in the form that quantisation starts from."""

from __future__ import annotations

import numpy as np
import pytest

import nascompiler as nc
from nascompiler.ir import Builder, UsageError, evaluate, verify
from nascompiler.passes.infrastructure.patterns import has_fused_activation
from nascompiler.passes.quantization.preparation import prepare
from tests.passes.networks import Writer, random_network
from tests.passes.quantization.networks import random_inputs


@pytest.mark.parametrize("seed", range(6))
def test_the_same_network_without_composites_and_fused_activations(seed):
    graph = random_network(seed, channels_first=bool(seed % 2))
    before = str(graph)
    prepared = prepare(graph)
    verify(prepared)
    assert str(graph) == before
    assert not [n for n in prepared.nodes if has_fused_activation(n) or n.op.name == "nn.squeeze_excite"]
    inputs = random_inputs(graph, 1)[0]
    for name, exact in evaluate(graph, inputs).items():
        np.testing.assert_allclose(evaluate(prepared, inputs)[name], exact, rtol=1e-3, atol=1e-4)


def test_a_graph_that_needs_nothing_is_copied():
    writer = Writer(0, channels_first=False)
    graph = writer.builder.outputs(y=writer.conv(writer.input(4, 4, 3), 2))
    prepared = prepare(graph)
    assert prepared is not graph
    assert str(prepared) == str(graph)


def test_fused_activations_and_batch_norms_of_any_source():
    writer = Writer(0, channels_first=False)
    x = writer.conv(writer.input(4, 4, 3), 2, activation="relu6")
    graph = writer.builder.outputs(y=writer.batch_norm(writer.conv(x, 4)))
    assert [n.op.name for n in prepare(graph).nodes] == ["nn.conv2d", "nn.relu6", "nn.conv2d"]


def test_gates_are_taken_apart():
    writer = Writer(0, channels_first=False)
    b = writer.builder
    parameters = [b.constant(writer.weights(*shape)) for shape in ((6, 2), (2,), (2, 6), (6,))]
    y = b.nn.squeeze_excite(writer.input(3, 4, 6), *parameters)
    names = [n.op.name for n in prepare(b.outputs(y=y)).nodes]
    assert names.count("nn.mul") == names.count("nn.global_average_pool") == 1


def test_architectures_and_open_sizes_are_refused():
    with pytest.raises(UsageError, match="arch"):
        prepare(nc.load("mobilenet-v1"))
    b = Builder()
    with pytest.raises(UsageError, match=r"the size of %x : f32\[n,3\] is not known, and that of 1 others"):
        prepare(b.outputs(y=b.nn.relu(b.input("x", ("n", 3)))))
