"""What patterns match."""

import numpy as np
import pytest

from nascompiler.ir import Builder, SymbolRef
from nascompiler.passes.infrastructure.patterns import anything, constant, match, matches, op


@pytest.fixture
def builder():
    return Builder()


def test_ops_operands_and_names(builder):
    x = builder.input("x", (2,))
    relu = builder.nn.relu(builder.nn.exp(x))
    found = match(op("nn.relu", op("nn.exp", anything("x"), name="e"), name="r"), relu.producer)
    assert found is not None
    assert found["x"] is x
    assert found["r"] is relu
    assert found.node("e").op.name == "nn.exp"
    assert [node.op.name for node in found.nodes] == ["nn.relu", "nn.exp"]
    assert match(op("nn.relu", op("nn.log")), relu.producer) is None
    assert match(op(("nn.log", "nn.relu")), relu.producer) is not None
    assert match(op("nn.relu", op("nn.exp", op("nn.exp"))), relu.producer) is None


def test_a_name_twice_wants_one_value(builder):
    x, z = builder.input("x", (2,)), builder.input("z", (2,))
    square = op("nn.mul", anything("x"), anything("x"))
    assert match(square, builder.nn.mul(x, x).producer) is not None
    assert match(square, builder.nn.mul(x, z).producer) is None


def test_commutative_ops_match_in_either_order(builder):
    x, c = builder.input("x", (2,)), builder.constant(np.float32([3]))
    pattern = op("nn.add", anything("x"), constant("c"))
    for node in (builder.nn.add(x, c).producer, builder.nn.add(c, x).producer):
        found = match(pattern, node)
        assert found is not None
        assert found["x"] is x
    assert match(op("nn.sub", anything("x"), constant("c")), builder.nn.sub(c, x).producer) is None


def test_orders_are_tried_until_names_agree(builder):
    x, z = builder.input("x", (2,)), builder.input("z", (2,))
    value = builder.nn.mul(builder.nn.add(x, z), builder.nn.exp(z))
    # x * sigmoid-like shapes: the shared value has to be found among the operands of a commutative op
    pattern = op("nn.mul", op("nn.exp", anything("shared")), op("nn.add", anything("shared"), anything("other")))
    found = match(pattern, value.producer)
    assert found is not None
    assert (found["shared"], found["other"]) == (z, x)


def test_every_way_to_fit_is_offered(builder):
    x, z = builder.input("x", (2,)), builder.input("z", (2,))
    node = builder.nn.add(x, z).producer
    assert [found["a"].name for found in matches(op("nn.add", anything("a"), anything()), node)] == ["x", "z"]


def test_constants_and_their_values(builder):
    x = builder.input("x", (2,))
    three = builder.nn.div(x, builder.constant(np.float32([3, 3]))).producer
    assert match(op("nn.div", anything(), constant("c", equal_to=3)), three).array("c").tolist() == [3, 3]
    assert match(op("nn.div", anything(), constant(equal_to=6)), three) is None
    mixed = builder.nn.div(x, builder.constant(np.float32([3, 4]))).producer
    assert match(op("nn.div", anything(), constant(equal_to=3)), mixed) is None
    assert match(op("nn.div", constant(), anything()), mixed) is None
    empty = builder.nn.concat(x, builder.constant(np.zeros(0, np.float32)), axis=0).producer
    assert match(op("nn.concat", anything(), constant(equal_to=0)), empty) is None


def test_attributes(builder):
    node = builder.nn.clip(builder.input("x", (2,)), min=0.0).producer
    assert match(op("nn.clip", min=0.0), node) is not None
    assert match(op("nn.clip", min=1.0), node) is None
    assert match(op("nn.clip", no_such=1), node) is None


def test_single_use_is_reported_not_refused(builder):
    x = builder.nn.exp(builder.input("x", (2,)))
    node = builder.nn.relu(x).producer
    pattern = op("nn.relu", op("nn.exp", single_use=True))
    assert match(pattern, node).shared == []
    builder.nn.log(x)
    assert match(pattern, node).shared == [x]


def test_use_as_output_counts_as_a_use(builder):
    x = builder.nn.exp(builder.input("x", (2,)))
    y = builder.nn.relu(x)
    builder.outputs(x=x, y=y)
    assert match(op("nn.relu", op("nn.exp", single_use=True)), y.producer).shared == [x]


def test_fused_activations_have_to_be_named(builder):
    x = builder.input("x", (2,))
    node = builder.nn.add(x, x, activation="relu").producer
    assert match(op("nn.add"), node) is None
    assert match(op("nn.add", activation="relu"), node) is not None


def test_open_attributes_of_networks_do_not_match(builder):
    node = builder.nn.clip(builder.input("x", (2,)), min=SymbolRef("c")).producer
    assert match(op("nn.clip"), node) is None


def test_deep_patterns_do_not_recurse_over_the_graph(builder):
    value = builder.input("x", (2,))
    for _ in range(10_000):
        value = builder.nn.relu(value)
    assert match(op("nn.relu", op("nn.relu", anything("x"))), value.producer) is not None
