"""Transposes cancel across every kind of op, never become more, and the values stay."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from nascompiler.data import models
from nascompiler.ir import Builder, DType, Graph, TensorType, evaluate, structurally_equal, verify
from nascompiler.onnx import import_onnx
from nascompiler.passes import PassContext, PassManager
from nascompiler.passes.infrastructure.instruments import NumericCheck, Verify, random_inputs
from nascompiler.passes.infrastructure.layout import keeps_order
from nascompiler.passes.propagate_layout import PropagateLayout
from tests.passes.networks import TO_NCHW, TO_NHWC, random_network
from tests.passes.permuted_graphs import permuted_graph

SHAPE = (2, 3, 4, 5)  # NHWC


def propagated(graph: Graph) -> Graph:
    numeric = NumericCheck(images=1)
    manager = PassManager([Verify(), numeric])
    result = manager.run(graph, "propagate-layout")
    assert not numeric.skipped
    assert manager.run(result, "propagate-layout") is result, "not idempotent"
    return result


def transposes(graph: Graph) -> int:
    """Transposes that move more than axes of size 1."""
    found = [n for n in graph.nodes if n.op.name == "nn.transpose"]
    return sum(not keeps_order(n.operands[0].type.shape or (), n["permutation"]) for n in found)


def counts(graph: Graph) -> Counter[str]:
    return Counter(n.op.name.removeprefix("nn.") for n in graph.nodes)


def constant(builder, *shape):
    return builder.constant(np.random.default_rng(0).normal(size=shape).astype(np.float32))


BETWEEN = {
    "elementwise": lambda b, x: b.nn.hard_swish(b.nn.relu(x)),
    "scalar": lambda b, x: b.nn.mul(b.nn.add(x, b.constant(np.float32(3))), constant(b, 1, 1)),
    "channel constant": lambda b, x: b.nn.sub(b.nn.mul(x, constant(b, 5, 1, 1)), constant(b, 1, 5, 1, 1)),
    "constant first": lambda b, x: b.nn.div(constant(b, 5, 3, 1), x),
    "width constant": lambda b, x: b.nn.add(x, constant(b, 4)),
    "prelu": lambda b, x: b.nn.prelu(x, constant(b, 5, 1, 1)),
    "itself": lambda b, x: b.nn.mul(x, b.nn.sigmoid(x)),
    "where": lambda b, x: b.nn.where(b.nn.greater(x, constant(b, 5, 1, 1)), x, b.nn.neg(x)),
    "cast": lambda b, x: b.nn.cast(b.nn.cast(x, to=DType.F64), to=DType.F32),
    "batch_norm": lambda b, x: b.nn.batch_norm(
        x, *(b.constant(np.full(5, i, np.float32)) for i in (1, 2, 3, 4)), axis=1
    ),
    "softmax": lambda b, x: b.nn.softmax(x, axis=1),
    "log_softmax": lambda b, x: b.nn.log_softmax(x, axis=-1),
    "concat": lambda b, x: b.nn.concat(x, b.nn.relu(x), constant(b, 2, 7, 3, 4), axis=1),
    "split": lambda b, x: b.nn.add(*b.nn.split(x, axis=3, sizes=(2, 2))),
    "slice": lambda b, x: b.nn.slice(x, axes=(1, -1), starts=(3, 0), ends=(-9, 2), steps=(-1, 1)),
    "pad": lambda b, x: b.nn.pad(x, before=(0, 1, 2, 0), after=(0, 0, 0, 3), value=2.0),
    "tile": lambda b, x: b.nn.tile(x, repeats=(1, 2, 1, 3)),
    "expand": lambda b, x: b.nn.expand(b.nn.reduce_max(x, axes=(2,)), shape=(3, 1)),
    "reduce": lambda b, x: b.nn.sub(x, b.nn.reduce_mean(x, axes=(1, -1))),
    "argmax": lambda b, x: b.nn.argmax(x, axis=1),
    "gather": lambda b, x: b.nn.gather(x, b.constant(np.array([1, 0, -1])), axis=1),
    "squeeze and unsqueeze": lambda b, x: b.nn.unsqueeze(
        b.nn.squeeze(b.nn.reduce_sum(x, axes=(2,)), axes=(2,)), axes=(2,)
    ),
    "reshape and back": lambda b, x: b.nn.reshape(b.nn.relu(b.nn.reshape(x, shape=(2, 5, 12))), shape=(2, 5, 3, 4)),
    "identity": lambda b, x: b.nn.dropout(b.nn.identity(x)),
    "gate": lambda b, x: b.nn.mul(x, b.nn.sigmoid(b.nn.reduce_mean(x, axes=(2, 3)))),
    "two permutations": lambda b, x: b.nn.transpose(
        b.nn.relu(b.nn.transpose(x, permutation=(1, 0, 2, 3))), permutation=(1, 0, 2, 3)
    ),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_ops_between_two_transposes_compute_on_nhwc(name):
    builder = Builder()
    x = builder.nn.relu(builder.input("x", SHAPE))
    first = builder.nn.transpose(x, permutation=TO_NCHW)
    y = builder.nn.transpose(BETWEEN[name](builder, first), permutation=TO_NHWC)
    result = propagated(builder.outputs(y=y))
    assert transposes(result) == 0
    assert "transpose" not in counts(result)


def test_expected(transforms):
    transforms(
        """(%x: f32[1,2,3,4], %z: f32[1,2,3,4]) {
  constant @c : f32[4,1,1] = [1.0, 2.0, 3.0, 4.0]
  %a = nn.transpose(%x) {permutation=[0, 3, 1, 2]} : f32[1,4,2,3]
  %b = nn.transpose(%z) {permutation=[0, 3, 1, 2]} : f32[1,4,2,3]
  %c = nn.mul(%a, @c) : f32[1,4,2,3]
  %d = nn.concat(%c, %b) {axis=1} : f32[1,8,2,3]
  %e = nn.reduce_max(%d) {axes=[2, 3], keepdims=false} : f32[1,8]
  return e=%e
}""",
        "propagate-layout",
        """(%x: f32[1,2,3,4], %z: f32[1,2,3,4]) {
  constant @c : f32[4] = [1.0, 2.0, 3.0, 4.0]
  %c = nn.mul(%x, @c) : f32[1,2,3,4]
  %d = nn.concat(%c, %z) {axis=3} : f32[1,2,3,8]
  %e = nn.reduce_max(%d) {axes=[1, 2], keepdims=false} : f32[1,8]
  return e=%e
}""",
    )


REDUCING = {
    "mean": lambda b, x: b.nn.reduce_mean(x, axes=(2, 3), keepdims=False),
    "argmax": lambda b, x: b.nn.argmax(b.nn.reduce_mean(x, axes=(2, 3)), axis=1, keepdims=False),
    "flatten a vector": lambda b, x: b.nn.flatten(b.nn.reduce_mean(x, axes=(2, 3))),
    "reshape a vector": lambda b, x: b.nn.reshape(b.nn.reduce_max(x, axes=(2, 3)), shape=(2, -1)),
    "gather one": lambda b, x: b.nn.gather(
        b.nn.gather(x, b.constant(np.int64(0)), axis=2), b.constant(np.int64(1)), axis=2
    ),
    "sequence": lambda b, x: b.nn.transpose(b.nn.reshape(x, shape=(2, 5, 12)), permutation=(0, 2, 1)),
    "line": lambda b, x: b.nn.transpose(b.nn.squeeze(b.nn.reduce_max(x, axes=(2,)), axes=(2,)), permutation=(0, 2, 1)),
    "split channels": lambda b, x: b.nn.transpose(
        b.nn.reshape(b.nn.slice(x, axes=(1,), starts=(0,), ends=(4,), steps=(1,)), shape=(2, 2, 2, 12)),
        permutation=(0, 3, 1, 2),
    ),
}


@pytest.mark.parametrize("name", REDUCING)
def test_results_without_image_axes_need_no_transpose(name):
    builder = Builder()
    x = builder.nn.transpose(builder.nn.relu(builder.input("x", SHAPE)), permutation=TO_NCHW)
    assert "transpose" not in counts(propagated(builder.outputs(y=REDUCING[name](builder, x))))


@pytest.mark.parametrize("op", ["linear", "matmul"])
def test_flatten_before_a_linear_layer_permutes_its_rows(op):
    builder = Builder()
    x = builder.nn.transpose(builder.nn.relu(builder.input("x", SHAPE)), permutation=TO_NCHW)
    flat = builder.nn.flatten(x)
    weight, bias = constant(builder, 60, 7), constant(builder, 7)
    layer = builder.nn.linear(flat, weight, bias) if op == "linear" else builder.nn.matmul(flat, weight)
    other = builder.nn.linear(flat, constant(builder, 60, 2))
    result = propagated(builder.outputs(y=layer, z=other))
    assert counts(result)[op] >= 1
    assert "transpose" not in counts(result)


def test_flatten_used_otherwise_keeps_the_transpose():
    builder = Builder()
    x = builder.nn.transpose(builder.nn.relu(builder.input("x", SHAPE)), permutation=TO_NCHW)
    flat = builder.nn.flatten(x)
    graph = builder.outputs(y=builder.nn.linear(flat, constant(builder, 60, 7)), z=flat)
    assert propagated(graph) is graph


def test_transposes_of_unit_axes_become_reshapes(transforms):
    transforms(
        """(%x: f32[2,1,1,3]) {
  %a = nn.transpose(%x) {permutation=[0, 3, 1, 2]} : f32[2,3,1,1]
  return a=%a
}""",
        "propagate-layout",
        """(%x: f32[2,1,1,3]) {
  %a = nn.reshape(%x) {shape=[2, 3, 1, 1]} : f32[2,3,1,1]
  return a=%a
}""",
    )


def test_a_gate_reshaped_from_a_vector_joins_its_image():
    builder = Builder()
    x = builder.nn.relu(builder.input("x", SHAPE))
    gate = builder.nn.reshape(builder.nn.sigmoid(builder.input("g", (2, 5))), shape=(2, 5, 1, 1))
    product = builder.nn.mul(builder.nn.transpose(x, permutation=TO_NCHW), gate)
    result = propagated(builder.outputs(y=builder.nn.transpose(product, permutation=TO_NHWC)))
    assert counts(result) == {"relu": 1, "sigmoid": 1, "reshape": 1, "mul": 1}


def test_transposes_never_become_more():
    """A value for two outputs is transposed once, above the ops."""
    builder = Builder()
    x = builder.nn.transpose(builder.nn.relu(builder.input("x", SHAPE)), permutation=TO_NCHW)
    graph = builder.outputs(y=builder.nn.sigmoid(x), z=builder.nn.tanh(x))
    assert propagated(graph) is graph
    assert transposes(graph) == 1


def test_a_larger_value_is_not_moved_for_a_smaller_one():
    builder = Builder()
    x = builder.nn.transpose(builder.nn.relu(builder.input("x", SHAPE)), permutation=TO_NCHW)
    graph = builder.outputs(y=builder.nn.concat(x, x, axis=1))
    assert propagated(graph) is graph, "the concat is twice as large as what is transposed now"


def test_a_transpose_of_an_input_stays_at_the_edge():
    builder = Builder()
    x = builder.nn.transpose(builder.input("x", SHAPE), permutation=TO_NCHW)
    graph = builder.outputs(y=builder.nn.relu(x))
    assert propagated(graph) is graph


def test_a_transpose_of_a_result_moves_down(transforms):
    transforms(
        """(%x: f32[1,2,3,4]) {
  %a = nn.sigmoid(%x) : f32[1,2,3,4]
  %b = nn.transpose(%a) {permutation=[0, 3, 1, 2]} : f32[1,4,2,3]
  %c = nn.relu(%b) : f32[1,4,2,3]
  return c=%c
}""",
        "propagate-layout",
        """(%x: f32[1,2,3,4]) {
  %a = nn.sigmoid(%x) : f32[1,2,3,4]
  %c = nn.relu(%a) : f32[1,2,3,4]
  %b = nn.transpose(%c) {permutation=[0, 3, 1, 2]} : f32[1,4,2,3]
  return c=%b
}""",
    )


def test_an_operand_in_another_layout():
    """It is transposed where the result is wanted in the layout of the other one, or is there in it already."""

    def graph(wanted: bool, available: bool) -> Graph:
        builder = Builder()
        nn = builder.nn
        other = builder.input("z", (2, 5, 3, 4))
        outputs = {"z": nn.transpose(other, permutation=TO_NHWC)} if available else {}
        x = nn.transpose(nn.relu(builder.input("x", SHAPE)), permutation=TO_NCHW)
        total = nn.add(x, other)
        outputs["y"] = nn.transpose(total, permutation=TO_NHWC) if wanted else total
        return builder.outputs(**outputs)

    assert transposes(propagated(graph(True, False))) == 1
    assert transposes(propagated(graph(True, True))) == 1
    assert transposes(propagated(graph(False, True))) == 2
    context = PassContext()
    mixed = graph(False, False)
    PropagateLayout().run(mixed, context)
    assert [m[2] for m in context.misses] == ["%z : f32[2,5,3,4] is in another layout"]
    assert transposes(mixed) == 1


def test_shape_of_a_transposed_value_is_gathered():
    builder = Builder()
    x = builder.input("x", ("n", "h", "w", 5))
    first = builder.nn.transpose(builder.nn.relu(x), permutation=TO_NCHW)
    graph = builder.outputs(s=builder.nn.shape(first, start=1, end=3))
    result = PassManager().run(graph, "propagate-layout")
    assert "transpose" not in counts(result)
    assert evaluate(result, {"x": np.zeros(SHAPE, np.float32)})["s"].tolist() == [5, 3]


def test_a_symbolic_batch():
    builder = Builder()
    nn = builder.nn
    x = nn.transpose(nn.relu(builder.input("x", ("n", 3, 4, 5))), permutation=TO_NCHW)
    pooled = nn.reduce_mean(nn.relu(x), axes=(2, 3))
    graph = builder.outputs(y=nn.mul(nn.flatten(pooled), constant(builder, 5)), z=nn.reshape(pooled, shape=(-1, 5)))
    result = PassManager().run(graph, "propagate-layout")
    assert "transpose" not in counts(result)
    inputs = {"x": np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)}
    for name, expected in evaluate(graph, inputs).items():
        assert np.allclose(expected, evaluate(result, inputs)[name], rtol=1e-6)


def test_layer_norm_over_channels_and_over_the_image():
    def graph(axis: int) -> Graph:
        builder = Builder()
        nn = builder.nn
        last = nn.transpose(nn.relu(builder.input("x", SHAPE)), permutation=(0, 2, 1, 3))
        return builder.outputs(y=nn.transpose(nn.layer_norm(last, axis=axis), permutation=(0, 2, 1, 3)))

    assert transposes(propagated(graph(-1))) == 0
    assert transposes(propagated(graph(1))) == 2


@pytest.mark.parametrize("seed", range(40))
def test_random_networks_keep_only_the_transposes_of_inputs_and_outputs(seed):
    graph = random_network(seed, channels_first=True)
    result = propagated(graph)
    verify(result)
    assert transposes(result) <= 1 + (graph.outputs[0].type.rank == 4)


def moved(graph: Graph) -> int:
    """Elements moved by transposes."""
    found = [n for n in graph.nodes if n.op.name == "nn.transpose"]
    return sum(n.result.type.size for n in found if not keeps_order(n.operands[0].type.shape or (), n["permutation"]))


@pytest.mark.parametrize("seeds", [range(i, i + 15) for i in range(0, 150, 15)], ids=str)
def test_random_graphs_never_move_more(seeds):
    for seed in seeds:
        graph = PassManager().run(permuted_graph(seed), "eliminate-dead-code")
        assert moved(propagated(graph)) <= moved(graph)


def test_nhwc_networks_stay_as_they_are():
    for seed in range(10):
        graph = random_network(seed, channels_first=False)
        assert propagated(graph) is graph


@pytest.mark.parametrize(
    "model, shape, expected", [("direction", (1, 3, 48, 192), 1), ("detection", (1, 3, 64, 96), 1)]
)
def test_ocr_models_have_one_transpose_at_the_input(model, shape, expected):
    """The detector's output [N, 1, H, W] has one channel: going back to NCHW is a reshape."""
    graph = import_onnx(models.ocr_model(model), shapes={"x": shape})
    result = propagated(graph)
    assert transposes(graph) > 60
    assert transposes(result) == counts(result)["transpose"] == expected


def test_ten_thousand_nodes():
    def network(blocks: int) -> Graph:
        builder = Builder()
        nn = builder.nn
        x = nn.transpose(nn.relu(builder.input("x", (1, 4, 4, 4))), permutation=TO_NCHW)
        for _ in range(blocks):
            y = nn.transpose(nn.global_average_pool(nn.transpose(x, permutation=TO_NHWC)), permutation=TO_NCHW)
            x = nn.add(x, nn.mul(nn.relu(x), y))
        return builder.outputs(y=x)

    graph = network(1500)
    PropagateLayout().run(graph, PassContext())
    assert transposes(graph) == 1


def test_names_of_outputs_and_types_stay():
    graph = random_network(3, channels_first=True)
    result = propagated(graph)
    assert result.output_names == graph.output_names
    assert [v.type for v in result.outputs] == [v.type for v in graph.outputs]
    assert isinstance(result.outputs[0].type, TensorType)
    assert not structurally_equal(graph, result)
    assert random_inputs(graph, 0).keys() == random_inputs(result, 0).keys()
