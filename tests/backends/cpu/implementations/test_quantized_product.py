"""Integer products against the reference, bit for bit: every way to compute them, on every instruction set there is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest

from nascompiler.backends.cpu.bound import Bound
from nascompiler.backends.cpu.implementation import Implementation
from nascompiler.backends.cpu.implementations import quantized_product
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.kernels.native import load
from nascompiler.backends.target import Target, parse_target
from nascompiler.ir import Array, Builder, DType, Graph, evaluate
from nascompiler.ir.random_values import random_array
from tests.backends.cpu.guard import Guards

ISAS = ("avx512_vnni", "avx512", "avx2", "sse2")


@dataclass(frozen=True)
class Layer:
    """A product of m rows, with the types and what follows it.

    `zero_point` is the result's where it is given; `halves` makes of one sum in 64 a number between two integers.
    """

    m: int
    k: int
    n: int
    x: DType = DType.I8
    weight: DType = DType.I8
    result: DType = DType.I8
    activation: str = "none"
    op: str = "linear"
    bias: bool = True
    zero_point: int | None = None
    halves: bool = False

    def graph(self, seed: int) -> Graph:
        generator = np.random.default_rng(seed)
        build = Builder("layer")
        low, high = (-128, 128) if self.weight is DType.I8 else (0, 256)
        x_zero = int(generator.integers(-128, 128) if self.x is DType.I8 else generator.integers(0, 256))
        zero = {DType.I8: -5, DType.U8: 131, DType.I16: 900, DType.F32: 0}[self.result]
        zero = zero if self.zero_point is None else self.zero_point
        matrix = generator.integers(low, high, (self.k, self.n)).astype(self.weight.numpy)
        scale = generator.uniform(0.5, 1.5, self.n if self.bias else 1).astype(np.float32)
        bias = generator.integers(-4000, 4000, self.n).astype(np.int32)
        x_scale, scale, step = 0.02, scale * np.float32(0.01), 0.013 * float(np.sqrt(self.k))
        if self.halves:
            x_scale, scale[:], step = 2.0**-6, 2.0**-7, 2.0**-7
        common = {"scale": step if self.result is not DType.F32 else 1.0, "zero_point": zero, "dtype": self.result}
        weight_zero = 0 if self.weight is DType.I8 else 128
        if self.op == "matmul":
            x = build.input("x", (2, self.m, self.k), self.x)
            y = build.op(
                "qnn.matmul", x, build.constant(matrix), a_scale=x_scale, a_zero_point=x_zero, b_scale=0.01,
                b_zero_point=weight_zero, **common,
            )  # fmt: skip
            return build.outputs(y=y)
        pointwise = self.op == "conv2d"
        x = build.input("x", (1, 1, self.m, self.k) if pointwise else (self.m, self.k), self.x)
        operands = [x, build.constant(matrix.reshape((1, 1, *matrix.shape)) if pointwise else matrix)]
        operands += [build.constant(scale), *([build.constant(bias)] if self.bias else [])]
        y = build.op(
            f"qnn.{self.op}", *operands, x_scale=x_scale, x_zero_point=x_zero, weight_zero_point=weight_zero,
            activation=self.activation, **common,
        )  # fmt: skip
        return build.outputs(y=y)


LAYERS = [
    Layer(49, 160, 96),
    Layer(23, 24, 40, x=DType.U8, result=DType.U8, activation="relu", op="conv2d"),
    Layer(7, 67, 120, x=DType.U8, weight=DType.U8, activation="relu6", op="conv2d"),
    Layer(30, 13, 16, activation="hard_swish", bias=False),
    Layer(19, 5, 7, result=DType.U8, activation="hard_sigmoid", op="conv2d"),
    Layer(10, 66, 65, result=DType.F32, activation="relu"),
    Layer(11, 36, 3, result=DType.I16),
    Layer(9, 300, 50, weight=DType.U8, op="matmul"),
    Layer(1, 130, 200, x=DType.U8, result=DType.F32),
    Layer(1, 48, 16, activation="hard_sigmoid"),
    Layer(3, 96, 20, x=DType.U8, op="matmul", result=DType.U8),
    Layer(2, 1, 1, op="conv2d"),
    *(Layer(23, k, 32, zero_point=zero, halves=True) for k, zero in ((16, -128), (24, 7), (64, 2))),
    Layer(23, 36, 48, result=DType.U8, zero_point=0, halves=True, activation="relu6"),
]


@lru_cache
def _target(isa: str) -> Target:
    try:
        return parse_target(f"cpu{{isa={isa}}}")
    except DeviceError as error:
        pytest.skip(str(error))


def ways(call: KernelCall, target: Target) -> list[Implementation]:
    return [*quantized_product.gemv_int8(call, target), *quantized_product.gemm_int8(call, target)]


def run(made: Implementation, call: KernelCall, operands: dict[int, Array], constants: dict[int, Array]) -> Array:
    """The result, with arrays that end where memory ends, chunks last first."""
    guards = Guards()
    made = made.fitting(constants)
    function = load([made.kernel])[made.kernel.symbol]
    bound = Bound(made, call, function, operands, constants, allocate=guards.allocate)
    bound.results[0].view(np.uint8)[...] = 0xA7
    bound(range(made.chunks - 1, -1, -1))
    guards.check()
    return bound.results[0]


@pytest.mark.parametrize("isa", ISAS)
def test_bit_for_bit(isa):
    target = _target(isa)
    for seed, layer in enumerate(LAYERS):
        graph = layer.graph(seed)
        x = random_array(graph.inputs[0].type, np.random.default_rng(seed))
        (expected,) = evaluate(graph, {"x": x}).values()
        (node,) = graph.nodes
        constants = {i: v.constant.array for i, v in enumerate(node.operands) if v.constant is not None}
        call = KernelCall.of(node)
        found = ways(call, target)
        assert found, layer
        for made in found if isa == ISAS[0] else found[:2]:
            result = run(made, call, {0: x, **constants}, constants)
            np.testing.assert_array_equal(result.reshape(expected.shape), expected, err_msg=f"{layer} {made.variant}")


def _call(**changed):
    """A pointwise convolution, with some attributes or types changed."""
    build = Builder("refused")
    x = build.input("x", (1, 4, 4, 8), changed.pop("x", DType.I8))
    weight = build.constant(np.ones((*changed.pop("kernel", (1, 1)), 8, 8), np.int8))
    scale = build.constant(np.ones(1, np.float32))
    graph = build.outputs(y=build.op("qnn.conv2d", x, weight, scale, x_scale=0.1, **changed))
    (node,) = graph.nodes
    return KernelCall.of(node)


def test_what_it_refuses():
    target = _target("sse2")
    assert ways(_call(), target)
    for changed in (
        {"x": DType.I16},
        {"weight_zero_point": 1},
        {"strides": (2, 2)},
        {"kernel": (3, 3)},
        {"padding": (1, 1, 1, 1)},
    ):
        assert not ways(_call(**changed), target), changed
