"""Fake-quantised graphs: which values are quantised, for whom, and what the graph then computes."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir import Builder, DType, Graph, Quantization, canonical_text, evaluate, verify
from nascompiler.passes.infrastructure.manager import run_pipeline
from nascompiler.passes.quantization.insertion import KEEP_FLOAT, insert_fake_quantization
from nascompiler.passes.quantization.plan import Plan, make_plan
from nascompiler.passes.quantization.preparation import prepare
from tests.passes.conftest import graph_of
from tests.passes.networks import Writer, random_network
from tests.passes.quantization.networks import parameters, planned, random_inputs, signal_to_noise

SCALE = Quantization.per_tensor(0.5, -3)
WEIGHTS = np.array([0.25, 1], np.float32)


def chain() -> Graph:
    return graph_of("""(%x: f32[1,2,2,2]) {
  constant @w : f32[1,1,2,2] = [1.0, 1.0, 1.0, 1.0]
  constant @b : f32[2] = [1.0, 1.0]
  %first = nn.conv2d(%x, @w, @b) : f32[1,2,2,2]
  %relu = nn.relu(%first) : f32[1,2,2,2]
  %last = nn.conv2d(%relu, @w) : f32[1,2,2,2]
  return y=%last
}""")


def inserted(plan: Plan, **options) -> Graph:
    graph = insert_fake_quantization(
        plan, dict.fromkeys(plan.values, SCALE), dict.fromkeys(plan.sums, WEIGHTS), **options
    )
    verify(graph)
    return graph


FAKE = """(%x: f32[1,2,2,2]) {
  constant @w : f32[1,1,2,2] = [1.0, 1.0, 1.0, 1.0]
  constant @w.scale : f32[2] = [0.25, 1.0]
  constant @b : f32[2] = [1.0, 1.0]
  constant @u.scale : f32[2] = [0.25, 1.0]
  %0 = qnn.quantize(%x) {scale=0.5, zero_point=-3} : i8[1,2,2,2]<scale=0.5, zero_point=-3>
  %1 = qnn.dequantize(%0) {x_scale=0.5, x_zero_point=-3} : f32[1,2,2,2]
  %2 = qnn.quantize_per_axis(@w, @w.scale) {axis=3} : i8[1,1,2,2]
  %3 = qnn.dequantize_per_axis(%2, @w.scale) {axis=3} : f32[1,1,2,2]
  %first = nn.conv2d(%1, %3, @b) : f32[1,2,2,2]
  %relu = nn.relu(%first) : f32[1,2,2,2]
  %4 = qnn.quantize(%relu) {scale=0.5, zero_point=-3} : i8[1,2,2,2]<scale=0.5, zero_point=-3>
  %5 = qnn.dequantize(%4) {x_scale=0.5, x_zero_point=-3} : f32[1,2,2,2]
  %6 = qnn.quantize_per_axis(@w, @u.scale) {axis=3} : i8[1,1,2,2]
  %7 = qnn.dequantize_per_axis(%6, @u.scale) {axis=3} : f32[1,1,2,2]
  %last = nn.conv2d(%5, %7) : f32[1,2,2,2]
  return y=%last
}"""


def test_expected():
    graph = chain()
    before = str(graph)
    assert canonical_text(inserted(make_plan(graph))) == canonical_text(graph_of(FAKE))
    assert str(graph) == before


def test_the_integers_of_it():
    result = run_pipeline(inserted(make_plan(chain())), "fake-quantization-to-integer")
    quantised = "i8[1,2,2,2]<scale=0.5, zero_point=-3>"
    epilogue = "scale=0.5, zero_point=-3, activation=relu"
    expected = graph_of(f"""(%x: f32[1,2,2,2]) {{
  constant @w : i8[1,1,2,2] = [4, 1, 4, 1]
  constant @w.scale : f32[2] = [0.25, 1.0]
  constant @b : i32[2] = [8, 2]
  constant @v : i8[1,1,2,2] = [4, 1, 4, 1]
  constant @v.scale : f32[2] = [0.25, 1.0]
  %0 = qnn.quantize(%x) {{scale=0.5, zero_point=-3}} : {quantised}
  %1 = qnn.conv2d(%0, @w, @w.scale, @b) {{x_scale=0.5, x_zero_point=-3, {epilogue}}} : {quantised}
  %2 = qnn.conv2d(%1, @v, @v.scale) {{x_scale=0.5, x_zero_point=-3, dtype=f32}} : f32[1,2,2,2]
  return y=%2
}}""")
    assert canonical_text(result) == canonical_text(expected), str(result)


def test_float_users_take_what_integer_nodes_have_made_and_no_more():
    b = Builder()
    x = b.input("x", (1, 2, 2, 2))
    w = b.constant(np.ones((1, 1, 2, 2), np.float32))
    first = b.nn.conv2d(x, w, name="first")
    graph = b.outputs(y=b.nn.conv2d(first, w), z=b.nn.softmax(first), u=b.nn.softmax(x), v=first)
    fake = inserted(make_plan(graph))
    softmax_first, softmax_x = (n for n in fake.nodes if n.op.name == "nn.softmax")
    assert softmax_first.operands[0].producer.op.name == "qnn.dequantize"
    assert softmax_x.operands[0].is_input
    assert fake.outputs[3].producer.op.name == "qnn.dequantize"


def test_constants_among_activations_are_quantised_too():
    b = Builder()
    x = b.input("x", (1, 2, 2, 2))
    w = b.constant(np.ones((1, 1, 2, 2), np.float32))
    shifted = b.nn.mul(b.nn.conv2d(x, w), b.constant(np.array([2, 3], np.float32), "c"))
    fake = inserted(make_plan(b.outputs(y=b.nn.conv2d(shifted, w))))
    (mul,) = [n for n in fake.nodes if n.op.name == "nn.mul"]
    assert [v.producer.op.name for v in mul.operands] == ["qnn.dequantize"] * 2
    assert run_pipeline(fake, "fake-quantization-to-integer").level == "qnn"


def test_other_weights_and_biases():
    plan = make_plan(chain())
    first, last = plan.sums
    fake = inserted(
        plan,
        weight_values={last: np.full((1, 1, 2, 2), 0.5, np.float32)},
        biases={first: np.array([3, 4]), last: np.array([5, 6])},
    )
    convs = [n for n in fake.nodes if n.op.name == "nn.conv2d"]
    np.testing.assert_array_equal([n.operands[2].array for n in convs], [[3, 4], [5, 6]])
    weights = [n.operands[0].array for n in fake.nodes if n.op.name == "qnn.quantize_per_axis"]
    assert [w.flat[0] for w in weights] == [1, 0.5]
    assert convs[0].operands[2].array.dtype == np.float32


def test_nodes_kept_in_float_are_named_in_the_graph():
    b = Builder()
    x = b.input("x", (1, 2, 2, 2))
    w = b.constant(np.ones((1, 1, 2, 2), np.float32))
    first = b.nn.conv2d(x, w)
    total = b.nn.relu(b.nn.add(first, b.nn.conv2d(first, w)))
    graph = b.outputs(y=b.nn.conv2d(total, w))
    add = total.producer.operands[0].producer
    fake = inserted(make_plan(graph, keep_float=[add, total.producer]))
    assert fake.attributes[KEEP_FLOAT] == ("nn.add.2", "nn.relu.3")
    result = run_pipeline(fake, "fake-quantization-to-integer")
    names = [n.op.name for n in result.nodes]
    assert names.count("nn.add") == names.count("nn.relu") == 1
    assert names.count("qnn.conv2d") == 3
    assert KEEP_FLOAT not in result.attributes
    everything = run_pipeline(inserted(make_plan(graph)), "fake-quantization-to-integer")
    assert not [n for n in everything.nodes if n.op.dialect == "nn"]


@pytest.mark.parametrize("dtype", [DType.I8, DType.U8, DType.I16], ids=str)
def test_fake_quantised_networks_are_near_the_float_ones(dtype):
    writer = Writer(3, channels_first=False)
    nn = writer.builder.nn
    x = nn.hard_swish(writer.conv(writer.input(8, 8, 3), 8, 3))
    x = writer.squeeze_excite(nn.relu(writer.conv(x, 8, 3, groups=8)))
    x = nn.add(x, writer.conv(nn.average_pool2d(x, kernel=(3, 3), padding=(1, 1, 1, 1)), 8))
    found = planned(writer.builder.outputs(y=writer.conv(x, 4)), dtype=dtype)
    graph = found.plan.graph
    sample = random_inputs(graph, 1)[0]
    noise = signal_to_noise(evaluate(graph, sample)["y"], evaluate(found.fake(), sample)["y"])
    assert noise > 25


@pytest.mark.parametrize("seed", range(10))
def test_random_networks_stay_valid(seed):
    graph = prepare(random_network(seed, channels_first=bool(seed % 2)))
    wide = [n for i, n in enumerate(graph.nodes) if i % 7 == 3]
    kept = [n for i, n in enumerate(graph.nodes) if i % 6 == 4]
    plan = make_plan(graph, wide=wide, keep_float=kept, tables=bool(seed % 2))
    fake = parameters(plan, random_inputs(graph, 1)).fake()
    verify(fake)
    assert sum(n.op.dialect == "nn" for n in fake.nodes) == len(graph)
