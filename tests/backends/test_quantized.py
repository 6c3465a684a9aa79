"""Quantised integers through TVM: every example of every op, bit for bit, on every instruction set there is here."""

from __future__ import annotations

import re

import numpy as np
import pytest

from nascompiler.backends.artifact import load_artifact
from nascompiler.backends.compile import compile_graph
from nascompiler.backends.cpu.choice import TVM, Choice, calls_of
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.kernels.numba_object import emit_assembly
from nascompiler.backends.target import parse_target
from nascompiler.backends.tvm_adapter.build import _KERNEL_CONFIG
from nascompiler.backends.tvm_adapter.device import tvm_target
from nascompiler.backends.tvm_adapter.lower import lower
from nascompiler.ir import Builder, DType, VerificationError, evaluate
from tests.backends.replay import run_merged
from tests.ir.op_examples import OpExample
from tests.ir.qnn_examples import EXAMPLES, full

INSTRUCTION_SETS = ("avx512", "avx2", "sse2")
CONTRACTED = r"\bvfn?m(add|sub)"
FLOAT_STEPS = ("qnn.add", "qnn.mul", "qnn.resize", "qnn.quantize", "qnn.quantize_per_axis", "qnn.average_pool2d")


def target(isa: str) -> str:
    """The target for an instruction set; skips the test where this machine lacks it."""
    text = f"cpu{{isa={isa}}}"
    try:
        parse_target(text)
    except DeviceError as error:
        pytest.skip(str(error))
    return text


def assert_identical(examples, folder, text):
    graphs = [e.graph() for e in examples]
    inputs = [e.inputs(g) for e, g in zip(examples, graphs, strict=True)]
    _, results = run_merged(graphs, inputs, folder, target=text)
    for example, graph, given, made in zip(examples, graphs, inputs, results, strict=True):
        for name, expected in evaluate(graph, given).items():
            assert made[name].dtype == expected.dtype, example
            np.testing.assert_array_equal(made[name], expected, err_msg=str(example))


def test_every_example_is_bit_for_bit_the_reference(tmp_path):
    assert_identical(EXAMPLES, tmp_path / "all", "cpu")


def test_weights_of_sixteen_bits(tmp_path):
    """As scales leave room for: beside 16-bit activations, a sum of few products of smaller weights."""
    random = np.random.default_rng(5)
    result = {"scale": 0.05, "zero_point": 0, "dtype": DType.I16}
    examples = []
    for dtype, reach in ((DType.I8, 32768), (DType.U8, 32768), (DType.I16, 700)):
        weight = random.integers(-reach, reach, (3, 3, 8, 12)).astype(np.int16)
        scale = random.uniform(1e-6, 1e-5, 12).astype(np.float32)
        bias = random.integers(-9999, 9999, 12).astype(np.int32)
        given = {"x_scale": 0.1, "x_zero_point": 0 if dtype is DType.I16 else 7, **result}
        image = full(dtype, 1, 6, 7, 8)
        examples.append(OpExample("qnn.conv2d", (image, weight, scale, bias), {**given, "activation": "relu"}))
        examples.append(OpExample("qnn.linear", (full(dtype, 5, 8), weight[0, 0], scale, bias), given))
    assert_identical(examples, tmp_path / "sixteen", "cpu")


@pytest.mark.parametrize("isa", INSTRUCTION_SETS)
def test_float_steps_round_alike_on_every_instruction_set(isa, tmp_path):
    """Where two steps could be contracted into one, or a division become a multiplication, among all pairs of i8."""
    gates = [e for e in EXAMPLES if str(e.attributes.get("activation", "")).startswith("hard")]
    chosen = [e for e in EXAMPLES if e.op in FLOAT_STEPS] + gates
    assert_identical(chosen, tmp_path / isa, target(isa))


@pytest.mark.slow
@pytest.mark.parametrize("isa", INSTRUCTION_SETS)
def test_every_example_on_every_instruction_set(isa, tmp_path):
    assert_identical(EXAMPLES, tmp_path / isa, target(isa))


def _assembly(graph, text):
    """The machine code that TVM makes of a graph of one node."""
    import tvm
    from tvm import tirx

    chosen = parse_target(text)
    ((symbol, make),) = lower(graph, chosen, {call: Choice(TVM, None, "") for call in calls_of(graph)}).kernels.items()
    with tvm.transform.PassContext(opt_level=3, config=_KERNEL_CONFIG):
        function = make().with_attr("global_symbol", symbol)
        return tirx.build(tvm.IRModule({symbol: function}), target=tvm_target(chosen)).inspect_source("asm")


@pytest.mark.parametrize("isa", ["avx512", "avx2"])
def test_no_product_is_contracted_with_the_sum_behind_it(isa):
    """These processors have a fused multiply-add, and TVM allows LLVM to use it."""
    build = Builder("net")
    x = build.input("x", (1, 64), DType.I8)
    step = {"scale": 0.13, "zero_point": 3}
    added = build.op("qnn.add", x, x, a_scale=0.1, b_scale=0.7, **step)
    resized = build.op(
        "qnn.resize", build.input("image", (1, 8, 8, 32), DType.I8), x_scale=0.1, **step, size=(16, 16), mode="linear"
    )
    for graph in (build.outputs(added=added), _only(resized)):
        text = _assembly(graph, target(isa))
        assert re.search(r"\bv?mulp?s", text)
        assert not re.search(CONTRACTED, text), "a multiplication and an addition were contracted"
        for kernel in lower(graph, parse_target(target(isa))).objects.values():
            assert not re.search(CONTRACTED, emit_assembly(kernel)), "and in our kernel"

    real = Builder("float")
    a, b = (real.input(name, (1, 64)) for name in "ab")
    control = _assembly(real.outputs(y=real.nn.add(real.nn.mul(a, b), b)), target(isa))
    assert re.search(r"\bvfmadd", control), "the check would find nothing"


def _only(value):
    """A graph that ends in one value and has nothing else."""
    build = Builder("only")
    node = value.producer
    inputs = [build.input(v.name, v.type.shape, v.type.dtype) for v in node.operands]
    return build.outputs(y=build.op(node.op.name, *inputs, **node.attributes))


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A small network from float to float by way of integers: residual, gate, table, pooling, 16 bits."""
    generator = np.random.default_rng(0)

    def layer(op, x, shape, x_step, **options):
        weight = build.constant(generator.integers(-127, 128, shape).astype(np.int8))
        scale = build.constant(generator.uniform(0.0005, 0.003, shape[-1]).astype(np.float32))
        bias = build.constant(generator.integers(-900, 900, shape[-1]).astype(np.int32))
        step = {"x_scale": x_step[0], "x_zero_point": x_step[1]}
        return build.op(f"qnn.{op}", x, weight, scale, bias, **step, **options)

    build = Builder("network")
    image = build.input("image", (1, 20, 20, 3))
    first = build.op("qnn.quantize", image, scale=0.02, zero_point=4)
    a = layer("conv2d", first, (3, 3, 3, 16), (0.02, 4), scale=0.01, zero_point=-128, activation="relu",
              strides=(2, 2), padding=(1, 1, 1, 1))  # fmt: skip
    b = layer("conv2d", a, (1, 1, 16, 48), (0.01, -128), scale=0.03, zero_point=-100, activation="hard_swish")
    c = layer("conv2d", b, (5, 5, 1, 48), (0.03, -100), scale=0.04, zero_point=1, groups=48, padding=(2, 2, 2, 2))
    pooled = build.op("qnn.global_average_pool", c, x_scale=0.04, x_zero_point=1, scale=0.02, zero_point=0)
    gate = layer("linear", pooled, (48, 48), (0.02, 0), scale=1 / 255, zero_point=-128, activation="hard_sigmoid")
    step_c, step_gate = {"a_scale": 0.04, "a_zero_point": 1}, {"b_scale": 1 / 255, "b_zero_point": -128}
    gated = build.op("qnn.mul", c, gate, **step_c, **step_gate, scale=0.03, zero_point=0)
    d = layer("conv2d", gated, (1, 1, 48, 16), (0.03, 0), scale=0.02, zero_point=5, dtype=DType.I16)
    sum_step = {"a_scale": 0.01, "a_zero_point": -128, "b_scale": 0.02, "b_zero_point": 5}
    e = build.op("qnn.add", a, d, **sum_step, scale=0.05, zero_point=-8)
    table = build.constant(generator.integers(-128, 128, 256).astype(np.int8))
    f = build.op("qnn.lookup", e, table, x_scale=0.05, x_zero_point=-8, scale=0.05, zero_point=3)
    g = build.nn.concat(f, build.nn.max_pool2d(f, kernel=(3, 3), padding=(1, 1, 1, 1)), axis=-1)
    logits = layer("linear", build.nn.flatten(g), (3200, 10), (0.05, 3), dtype=DType.F32)
    graph = build.outputs(logits=logits, features=build.op("qnn.dequantize", g, x_scale=0.05, x_zero_point=3))
    images = {"image": generator.standard_normal((1, 20, 20, 3)).astype(np.float32)}
    folder = compile_graph(graph, "cpu", tmp_path_factory.mktemp("network") / "out").folder
    return folder, graph, images


@pytest.mark.parametrize("threads", [1, 2])
def test_a_whole_network_is_identical_to_the_last_bit(network, threads):
    folder, graph, images = network
    results = load_artifact(folder, threads=threads).run(images)
    for name, expected in evaluate(graph, images).items():
        assert np.unique(expected).size > 9
        np.testing.assert_array_equal(results[name], expected)


def test_the_placement_table_and_the_profile_name_the_nodes(network):
    folder, _, images = network
    artifact = load_artifact(folder)
    rows = {row["op"]: row for row in artifact.placement()}
    assert rows["qnn.conv2d"]["kernel"].startswith("int8 gemm")
    assert rows["qnn.linear"]["kernel"] == "int8 gemv"
    artifact.prepare(images)
    timed, _ = artifact.profile()
    ops = [op for row in timed for op in row.op.split("+")]
    assert ops.count("qnn.conv2d") == 4
    assert sum(row.macs for row in timed) > 100_000


def test_computed_weight_scales_are_refused(tmp_path):
    build = Builder("net")
    x, scale = build.input("x", (1, 4), DType.I8), build.input("scale", (3,))
    weight = build.constant(full(DType.I8, 4, 3))
    graph = build.outputs(y=build.op("qnn.linear", x, weight, scale, x_scale=0.1))
    with pytest.raises(VerificationError, match=r"qnn.linear .*its weight scales are computed"):
        compile_graph(graph, "cpu", tmp_path / "out")


def test_integers_alone_go_through_the_default_pipeline(tmp_path):
    build = Builder("net")
    q = build.input("q", (1, 4, 4, 8), DType.U8)
    step = {"x_scale": 0.1, "x_zero_point": 3, "scale": 0.1, "zero_point": 3, "dtype": DType.U8}
    graph = build.outputs(y=build.op("qnn.average_pool2d", q, **step, kernel=(2, 2)))
    assert graph.level == "qnn"
    artifact = load_artifact(compile_graph(graph, "cpu", tmp_path / "out").folder)
    given = {"q": full(DType.U8, 1, 4, 4, 8)}
    np.testing.assert_array_equal(artifact.run(given)["y"], evaluate(graph, given)["y"])
