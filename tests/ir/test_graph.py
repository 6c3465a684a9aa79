"""The graph as a data structure: insertion, replacement, iteration under change, clones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nascompiler.ir import (
    Builder,
    Choice,
    Graph,
    InferenceError,
    ModelError,
    SymbolRef,
    TensorType,
    UsageError,
    fingerprint,
    infer_all,
    verify,
)
from nascompiler.ir.graph import refine_types


def chain(*names: str) -> Graph:
    builder = Builder()
    value = builder.input("x", (2,))
    for name in names:
        value = builder.op(f"nn.{name}", value, name=name)
    return builder.outputs(y=value)


def ops(graph: Graph) -> list[str]:
    return [node.op.name.removeprefix("nn.") for node in graph.nodes]


def consistent(graph: Graph) -> None:
    """Uses and operands say the same, and the size is right."""
    everything = [*graph.nodes, graph._terminator]
    uses = {(n, i): v for n in everything for i, v in enumerate(n.operands)}
    values = {*graph.inputs, *uses.values(), *(r for n in graph.nodes for r in n.results)}
    for value in values:
        assert set(value.uses) == {use for use, used in uses.items() if used is value}
    assert len(graph) == len(list(graph.nodes))
    assert all(node.graph is graph for node in graph.nodes)


# -- values and nodes


def test_values_know_where_they_come_from_and_go():
    graph = chain("relu", "exp")
    (x,) = graph.inputs
    relu, exp = graph.nodes
    assert (x.is_input, x.is_constant, x.producer) == (True, False, None)
    assert relu.result.producer is relu
    assert relu.result.uses == [(exp, 0)]
    assert relu.result.users == [exp]
    assert relu.result.sole_user is exp
    assert exp.result.is_output
    assert exp.result.users == []
    assert exp.result.use_count == 1
    assert exp.result.sole_user is None


def test_a_value_used_twice_by_one_node():
    builder = Builder()
    x = builder.input("x", (2,))
    graph = builder.outputs(y=builder.nn.mul(x, x))
    (node,) = graph.nodes
    assert x.uses == [(node, 0), (node, 1)]
    assert x.users == [node]
    assert x.sole_user is None


def test_operands_and_attributes_by_name():
    builder = Builder()
    node = builder.nn.conv2d(
        builder.input("x", (1, 4, 4, 1)), builder.constant(np.ones((3, 3, 1, 2), np.float32))
    ).producer
    assert node.operand("weight") is node.operands[1]
    assert node.operand("bias") is None
    assert node["strides"] == (1, 1)
    with pytest.raises(KeyError, match="has no operand 'kernel'"):
        node.operand("kernel")
    with pytest.raises(KeyError):
        node["kernel"]


def test_the_only_result():
    builder = Builder()
    node = builder.nn.split(builder.input("x", (2,)), axis=0, sizes=(1, 1))[0].producer
    with pytest.raises(ValueError, match=r"nn.split has 2 results"):
        node.result


def test_representations():
    builder = Builder()
    value = builder.nn.add(builder.input("x", (2,)), builder.constant(np.float32([1]), "c"), name="sum")
    assert repr(value) == "%sum : f32[2]"
    assert repr(value.producer) == "%sum = nn.add(%x, @c)"
    assert str(builder.outputs(y=value)).startswith("nir 1\ngraph @main(%x: f32[2]) {")


def test_inputs_by_name():
    graph = chain("relu")
    assert graph.input("x") is graph.inputs[0]
    with pytest.raises(ModelError, match="no input named 'z'; inputs: x"):
        graph.input("z")
    with pytest.raises(ModelError, match="two inputs named 'x'"):
        graph.add_input("x", TensorType((1,)))


def test_constants_in_order_of_use_once_each():
    builder = Builder()
    x, c = builder.input("x", (1,)), builder.constant(np.float32([1]), "c")
    d, unused = builder.constant(np.float32([2]), "d"), builder.constant(np.float32([3]))
    graph = builder.outputs(y=builder.nn.add(builder.nn.add(x, c), c), d=d)
    assert graph.constants == [c, d]
    assert unused.use_count == 0


def test_levels():
    assert Graph().level == "nn"
    assert chain("relu").level == "nn"
    graph = chain("relu")
    cell = Builder("cell")
    cell.outputs(
        y=cell.arch.combine(cell.input("a", TensorType(None)), left=0, right=0, left_op="max3", right_op="max3")
    )
    graph.cells["cell"] = cell.graph
    assert graph.level == "arch"
    assert graph.bodies == (graph, cell.graph)
    assert not graph.is_open
    graph.choices["c"] = Choice("c", (1,))
    assert graph.is_open


@pytest.mark.parametrize("options, message", [((), "has no options"), ((1, 1), "lists an option twice")])
def test_choices_that_are_none(options, message):
    with pytest.raises(ModelError, match=message):
        Choice("c", options)


def test_options_are_told_apart_by_kind():
    assert len(Choice("c", (1, 1.0, True, "1")).options) == 4


# -- insertion


def test_insertion_before_and_at_the_end():
    graph = chain("relu", "exp")
    relu, exp = graph.nodes
    graph.insert("nn.tanh", [relu.result], before=exp)
    graph.insert("nn.neg", [exp.result])
    assert ops(graph) == ["relu", "tanh", "exp", "neg"]
    consistent(graph)
    verify(graph)


def test_insertion_next_to_what_is_gone_leaves_no_trace():
    graph, other = chain("relu", "exp"), chain("relu")
    (foreign,) = other.nodes
    with pytest.raises(ValueError, match="erased or of another graph"):
        graph.insert("nn.relu", [graph.inputs[0]], before=foreign)
    consistent(graph)
    assert graph.inputs[0].use_count == 1


@pytest.mark.parametrize(
    "op, operands, attributes, error, message",
    [
        ("nn.rellu", 1, {}, UsageError, "did you mean nn.relu"),
        ("nn.relu", 2, {}, InferenceError, r"nn.relu got 2 operands; it takes \(x\)"),
        ("nn.add", 1, {}, InferenceError, r"nn.add got 1 operands; it takes \(a, b\)"),
        ("nn.conv2d", 4, {}, InferenceError, r"takes \(x, weight, bias\?\)"),
        ("nn.conv2d", 2, {}, InferenceError, r"x is f32\[2\]; it must have 4 dimensions"),
        ("nn.logical_not", 1, {}, InferenceError, "x is f32; accepted: bool"),
        ("nn.concat", 1, {"axis": 3}, InferenceError, "nn.concat: axis 3 is out of range"),
        ("nn.concat", 1, {}, ModelError, "attribute 'axis' is missing"),
    ],
)
def test_nodes_that_do_not_fit_are_not_made(op, operands, attributes, error, message):
    graph = chain("relu")
    with pytest.raises(error, match=message):
        graph.insert(op, graph.inputs * operands, attributes)
    assert ops(graph) == ["relu"]
    consistent(graph)


def test_nodes_that_wait_for_a_choice_have_open_types():
    builder = Builder()
    x = builder.input("x", (1, 8, 8, 4))
    assert builder.nn.max_pool2d(x, kernel=SymbolRef("k")).type == TensorType(None)
    assert builder.nn.cast(x, to=SymbolRef("t")).type == TensorType(None)
    parts = builder.nn.split(x, axis=SymbolRef("a"), sizes=(1, 2))
    assert [part.type for part in parts] == [TensorType(None)] * 2


# -- erasing and replacing


def test_what_is_used_is_not_erased():
    graph = chain("relu", "exp")
    relu, exp = graph.nodes
    for node in (relu, exp):
        with pytest.raises(ValueError, match="is still used; it cannot be erased"):
            graph.erase(node)
    consistent(graph)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_erasing_at_the_front_in_the_middle_and_at_the_end(position):
    builder = Builder()
    x = builder.input("x", (2,))
    nodes = [builder.op(f"nn.{name}", x).producer for name in ("relu", "exp", "neg")]
    graph = builder.outputs(y=x)
    graph.erase(nodes[position])
    assert nodes[position].is_erased
    assert len(graph) == 2
    graph.insert("nn.tanh", [x])
    assert ops(graph)[-1] == "tanh"
    consistent(graph)


def test_replacement_reaches_every_user_and_the_outputs():
    builder = Builder()
    x = builder.input("x", (2,))
    old = builder.nn.relu(x, name="old")
    graph = builder.outputs(a=builder.nn.add(old, old), b=old)
    new = graph.insert("nn.exp", [x], before=old.producer).result
    graph.replace_all_uses(old, new)
    graph.erase(old.producer)
    assert new.use_count == 3
    assert new.name == "old"
    assert graph.outputs[1] is new
    consistent(graph)
    verify(graph)


def test_replacing_a_value_by_itself_is_nothing():
    graph = chain("relu")
    version = graph.version
    graph.replace_all_uses(graph.outputs[0], graph.outputs[0])
    assert graph.version == version


def test_one_operand_at_a_time():
    builder = Builder()
    values = [builder.input(name, (1,)) for name in "abc"]
    graph = builder.outputs(y=builder.nn.concat(*values, axis=0))
    (node,) = graph.nodes
    for index in range(3):
        graph.set_operand(node, index, values[2])
    assert node.operands == (values[2],) * 3
    assert values[0].use_count == 0
    graph.set_operand(node, 1, values[0])
    assert node.operands == (values[2], values[0], values[2])
    graph.set_operands(node, values[:1])
    assert node.operands == (values[0],)
    consistent(graph)


def test_every_change_grows_the_version():
    graph = chain("relu", "exp")
    relu, exp = graph.nodes
    changes = [
        lambda: graph.add_input("more", TensorType((1,))),
        lambda: graph.set_operand(exp, 0, graph.inputs[0]),
        lambda: graph.erase(relu),
        lambda: graph.insert("nn.clip", graph.inputs[:1], {}),
        lambda: graph.set_attributes(list(graph.nodes)[-1], min=0.0),
        lambda: graph.set_type(exp.result, TensorType((2,))),
        lambda: graph.set_outputs({"z": exp.result}),
    ]
    for change in changes:
        before = graph.version
        change()
        assert graph.version > before
    consistent(graph)


# -- iteration under change


def test_erasing_ahead_behind_and_here():
    for erased in range(4):
        builder = Builder()
        x = builder.input("x", (2,))
        nodes = [builder.op(f"nn.{name}", x).producer for name in ("relu", "exp", "neg", "tanh")]
        graph = builder.outputs(y=x)
        seen = []
        for node in graph.nodes:
            seen.append(node)
            if node is nodes[1]:
                graph.erase(nodes[erased])
        assert seen == [node for node in nodes if node is not nodes[erased] or erased <= 1]


def test_erasing_a_run_of_nodes_ahead():
    builder = Builder()
    x = builder.input("x", (2,))
    nodes = [builder.nn.relu(x).producer for _ in range(6)]
    graph = builder.outputs(y=x)
    seen = []
    for node in graph.nodes:
        seen.append(node)
        if node is nodes[1]:
            for index in (3, 2, 1, 4):
                graph.erase(nodes[index])
    assert seen == [nodes[0], nodes[1], nodes[5]]


def test_nodes_inserted_ahead_are_visited_and_behind_are_not():
    graph = chain("relu", "exp")
    relu, exp = graph.nodes
    seen = []
    for node in graph.nodes:
        seen.append(node.op.name)
        if node is exp:
            graph.insert("nn.tanh", [relu.result], before=exp)
            graph.insert("nn.neg", [exp.result])
    assert seen == ["nn.relu", "nn.exp", "nn.neg"]


def test_replacing_each_node_while_iterating():
    graph = chain("relu", "relu", "relu")
    for node in graph.nodes:
        new = graph.insert("nn.exp", node.operands, before=node)
        graph.replace_all_uses(node.result, new.result)
        graph.erase(node)
    assert ops(graph) == ["exp"] * 3
    consistent(graph)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 100), st.integers(0, 100)), max_size=40))
def test_random_changes_keep_the_graph_consistent(steps):
    graph = chain("relu", "exp", "neg")
    for kind, i, j in steps:
        nodes = list(graph.nodes)
        values = [*graph.inputs, *(n.result for n in nodes)]
        if kind == 0 or not nodes:
            before = nodes[i % len(nodes)] if nodes else None
            earlier = graph.inputs + [n.result for n in nodes[: i % len(nodes)]] if nodes else graph.inputs
            graph.insert("nn.relu", [earlier[j % len(earlier)]], before=before)
        elif kind == 1:
            dead = [n for n in nodes if not n.result.use_count]
            if dead:
                graph.erase(dead[i % len(dead)])
        elif kind == 2:
            k = i % len(nodes)
            earlier = [*graph.inputs, *(n.result for n in nodes[:k])]
            graph.replace_all_uses(nodes[k].result, earlier[j % len(earlier)])
        elif kind == 3:
            graph.set_outputs({"y": values[i % len(values)], "z": values[j % len(values)]})
        elif kind == 4:
            k = i % len(nodes)
            graph.set_operand(nodes[k], 0, graph.inputs[0])
        else:
            graph = graph.clone()
        consistent(graph)
    verify(graph)


# -- clones


def test_a_clone_is_independent_and_shares_constants():
    builder = Builder("net")
    c = builder.constant(np.float32([1, 2]))
    graph = builder.outputs(y=builder.nn.add(builder.input("x", (2,)), c, name="sum"))
    graph.attributes["source"] = "test"
    graph.choices["c"] = Choice("c", (1, 2))
    graph.cells["cell"] = chain("relu")
    before = fingerprint(graph)
    copy, mapped = graph.clone_with_map()
    assert fingerprint(copy) == before
    assert (copy.name, copy.attributes) == ("net", {"source": "test"})
    assert mapped[c].constant is c.constant
    assert mapped[graph.outputs[0]].name == "sum"
    assert all(value is not twin for value, twin in mapped.items())
    (node,) = copy.nodes
    copy.replace_all_uses(node.result, copy.inputs[0])
    copy.erase(node)
    copy.choices.clear()
    copy.attributes.clear()
    (inner,) = copy.cells["cell"].nodes
    copy.cells["cell"].set_outputs({"y": inner.operands[0]})
    consistent(graph)
    consistent(copy)
    assert fingerprint(graph) == before


def test_a_broken_graph_cannot_be_cloned():
    graph, other = chain("relu"), chain("exp")
    graph.set_outputs({"y": other.outputs[0]})
    with pytest.raises(ModelError, match="is used before it is defined, or belongs to another graph"):
        graph.clone()


# -- types


def test_types_follow_changed_inputs():
    builder = Builder()
    x = builder.input("x", (None, 3))
    graph = builder.outputs(y=builder.nn.relu(builder.nn.flatten(x, axis=0)))
    graph.set_type(x, TensorType((2, 3)))
    infer_all(graph)
    assert [str(node.result.type) for node in graph.nodes] == ["f32[1,6]"] * 2
    graph.set_type(x, TensorType((5, 3)))
    infer_all(graph)
    assert str(graph.outputs[0].type) == "f32[1,15]"


def test_refining_keeps_what_is_known_and_refuses_contradictions():
    builder = Builder()
    x = builder.input("x", (None, 3))
    y = builder.nn.relu(x)
    graph = builder.outputs(y=builder.nn.exp(y))
    graph.set_type(y, TensorType((4, 3)))
    refine_types(graph, [y])
    assert [str(node.result.type) for node in graph.nodes] == ["f32[4,3]"] * 2
    graph.set_type(x, TensorType((5, 3)))
    with pytest.raises(InferenceError, match=r"nn.relu.*the result is f32\[4,3\], but inferred f32\[5,3\]"):
        refine_types(graph)


def test_ten_thousand_nodes_deep():
    graph = chain(*["relu", "exp"] * 5_000)
    verify(graph.clone())
    assert len(graph.to_networkx()) == 10_001
    fingerprint(graph)
    infer_all(graph)
    refine_types(graph)
