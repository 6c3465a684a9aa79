"""The reference evaluator: inputs checked, values freed, errors placed."""

import gc
import weakref

import numpy as np
import pytest

from nascompiler.ir import Builder, Constant, DType, ModelError, SymbolRef, TensorType, evaluate
from nascompiler.ir.evaluate import decomposition
from nascompiler.ir.ops import OPS


def test_outputs_by_name():
    builder = Builder()
    x, c = builder.input("x", (2,)), builder.constant(np.float32([10, 20]))
    graph = builder.outputs(sum=builder.nn.add(x, c), x=x, c=c)
    outputs = evaluate(graph, {"x": np.float32([1, 2])})
    assert {name: array.tolist() for name, array in outputs.items()} == {"sum": [11, 22], "x": [1, 2], "c": [10, 20]}


def test_all_problems_of_inputs_are_listed():
    builder = Builder()
    graph = builder.outputs(y=builder.input("x", (2,)), z=builder.input("i", ("N", 3), DType.I64))
    with pytest.raises(ModelError) as caught:
        evaluate(graph, {"x": np.zeros(3, np.float32), "w": np.zeros(1)})
    message = str(caught.value)
    assert "no input named 'w'" in message
    assert "input 'x' is f32[3]; it must be f32[2]" in message
    assert "input 'i' (i64[N,3]) is missing" in message
    with pytest.raises(ModelError, match=r"input 'x' is f64\[2\]; it must be f32\[2\]"):
        evaluate(graph, {"x": np.zeros(2), "i": np.zeros((1, 3), np.int64)})


def test_a_symbol_has_one_size():
    builder = Builder()
    graph = builder.outputs(y=builder.nn.add(builder.input("a", ("N", 2)), builder.input("b", ("N", 1))))
    assert evaluate(graph, {"a": np.ones((3, 2), np.float32), "b": np.ones((3, 1), np.float32)})["y"].shape == (3, 2)
    with pytest.raises(ModelError, match=r"input 'b' is f32\[1,1\]; it must be f32\[3,1\]"):
        evaluate(graph, {"a": np.ones((3, 2), np.float32), "b": np.ones((1, 1), np.float32)})


def test_every_value_is_observed_in_order():
    builder = Builder()
    first, second = builder.nn.split(builder.input("x", (2,)), axis=0, sizes=(1, 1), names=("a", "b"))
    graph = builder.outputs(y=builder.nn.add(first, second, name="c"))
    seen = []
    evaluate(graph, {"x": np.float32([1, 2])}, observe=lambda value, array: seen.append((value.name, array.tolist())))
    assert seen == [("a", [1]), ("b", [2]), ("c", [3])]


def test_values_are_freed_after_their_last_use():
    builder = Builder()
    value = builder.input("x", (1000,))
    for _ in range(20):
        value = builder.nn.relu(value)
        builder.nn.exp(value)  # dead: must not be kept either
    graph = builder.outputs(y=value)
    references: list[weakref.ref] = []
    alive = []

    def observe(value, array):
        references.append(weakref.ref(array))
        alive.append(sum(reference() is not None for reference in references))

    evaluate(graph, {"x": np.ones(1000, np.float32)}, observe=observe)
    gc.collect()
    assert max(alive) <= 4


def test_a_value_used_many_times_by_one_node():
    builder = Builder()
    x = builder.nn.relu(builder.input("x", (1,)))
    graph = builder.outputs(y=builder.nn.concat(*[x] * 5000, axis=0))
    assert evaluate(graph, {"x": np.float32([2])})["y"].sum() == 10_000


def test_what_cannot_be_evaluated_says_why():
    builder = Builder()
    x = builder.input("x", (1, 4, 4, 1))
    placeholder = builder.constant(Constant(TensorType((1,)), digest="0" * 32))
    inputs = {"x": np.zeros((1, 4, 4, 1), np.float32)}
    with pytest.raises(ModelError, match=r"the values of constant 0.* are not loaded"):
        evaluate(Builder(builder.graph).outputs(y=builder.nn.add(x, placeholder)), inputs)
    builder = Builder()
    x = builder.input("x", (1, 4, 4, 1))
    graph = builder.outputs(y=builder.nn.max_pool2d(x, kernel=SymbolRef("k")))
    with pytest.raises(ModelError, match=r"nn.max_pool2d.* waits for a choice; close it with decide"):
        evaluate(graph, inputs)
    builder = Builder()
    x = builder.input("x", (1, 4, 4, 1))
    graph = builder.outputs(y=builder.arch.combine(x, left=0, right=0, left_op="max3", right_op="max3"))
    with pytest.raises(ModelError, match=r"arch.combine.*: arch.combine has no reference evaluation; expand it first"):
        evaluate(graph, inputs)


def test_errors_of_an_op_name_the_node():
    builder = Builder()
    index = builder.input("i", (1,), DType.I64)
    graph = builder.outputs(y=builder.nn.gather(builder.constant(np.float32([1, 2])), index, name="picked"))
    with pytest.raises(ModelError, match=r"%picked = nn.gather\(@\?, %i\): index 7 is out of range"):
        evaluate(graph, {"i": np.int64([7])})


def test_composites_are_evaluated_by_their_decomposition():
    builder = Builder()
    x = builder.input("x", (3, 4))
    shapes = [(3, 2), (3, 2), (4, 8), (2, 8), (8,)]
    others = [builder.input(f"p{i}", shape) for i, shape in enumerate(shapes)]
    hidden, cell = builder.nn.lstm_cell(x, *others)
    graph = builder.outputs(h=hidden, c=cell)
    generator = np.random.default_rng(0)
    arrays = {v.name: generator.normal(size=v.type.static_shape).astype(np.float32) for v in graph.inputs}
    outputs = evaluate(graph, arrays)
    inner = decomposition(OPS["nn.lstm_cell"], tuple(v.type for v in graph.inputs), ())
    parts = dict(zip((v.name for v in inner.inputs), arrays.values(), strict=True))
    for name, array in zip(outputs, evaluate(inner, parts).values(), strict=True):
        assert np.allclose(outputs[name], array, atol=1e-6)


def test_depth_is_no_recursion():
    builder = Builder()
    value = builder.input("x", (1,))
    for _ in range(10_000):
        value = builder.nn.neg(value)
    assert evaluate(builder.outputs(y=value), {"x": np.float32([3])})["y"].tolist() == [3]
