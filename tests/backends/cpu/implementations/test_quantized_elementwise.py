"""Sums, gates, tables and conversions of bytes, bit for bit the reference on every instruction set of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from nascompiler.backends.cpu.implementation import candidates
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.target import parse_target
from nascompiler.ir import Builder, DType, Graph, evaluate
from tests.backends.cpu.test_candidates import ISAS, Case, cases, check

I8, U8 = DType.I8, DType.U8
SHAPES = [(1, 3, 5, 7), (2, 9, 11, 13), (1, 1, 2, 10), (2,)]
ZERO_POINTS = {I8: 3, U8: 130}


def operation(op: str, *types: tuple[tuple[int, ...], DType], **attributes: Any) -> Graph:
    """One node of inputs only."""
    build = Builder("elementwise")
    xs = [build.input(f"x{i}", *type) for i, type in enumerate(types)]
    return build.outputs(y=build.op(op, *xs, **attributes))


def pair(op: str, a: tuple[tuple[int, ...], DType], b: tuple[tuple[int, ...], DType], dtype: DType, act: str) -> Graph:
    """qnn.add or qnn.mul."""
    scales = {"a_scale": 0.1, "b_scale": 0.07, "scale": 0.13 if op == "qnn.add" else 1.3}
    zero_points = {"a_zero_point": ZERO_POINTS[a[1]], "b_zero_point": ZERO_POINTS[b[1]], "zero_point": 4}
    return operation(op, a, b, **scales, **zero_points, dtype=dtype, activation=act)


def table(shape: tuple[int, ...], x: DType, result: DType) -> Graph:
    build = Builder("table")
    entries = np.random.default_rng(4).integers(0, 256, 256).astype(np.uint8).view(result.numpy)
    y = build.op("qnn.lookup", build.input("x", shape, x), build.constant(entries), x_scale=0.1, scale=0.2)
    return build.outputs(y=y)


def graphs() -> Iterator[Graph]:
    for shape in SHAPES:
        for x, result, activation in ((I8, I8, "none"), (U8, U8, "relu6")):
            source = {"x_scale": 0.03, "x_zero_point": ZERO_POINTS[x]}
            yield pair("qnn.add", (shape, x), (shape, I8), result, activation)
            yield pair("qnn.mul", (shape, x), (shape, I8), result, activation)
            yield operation("qnn.requantize", (shape, x), **source, scale=0.02, zero_point=7, dtype=result)
            yield operation("qnn.dequantize", (shape, x), **source)
            yield table(shape, x, result)
    for channels in (100, 24, 5):
        yield pair("qnn.mul", ((2, 5, 7, channels), I8), ((2, 1, 1, channels), I8), I8, "relu")


@pytest.mark.parametrize("isa", ISAS)
def test_bit_for_bit(isa: str) -> None:
    target = parse_target(f"cpu{{isa={isa}}}")
    for graph in graphs():
        for case in cases(graph):
            (made,) = candidates(case.call, target)
            check(case, made)


@pytest.mark.parametrize("isa", ISAS)
def test_all_pairs_of_bytes(isa: str) -> None:
    every = np.arange(-128, 128, dtype=np.int8)
    operands = {0: np.repeat(every, 256), 1: np.tile(every, 256)}
    for op in ("qnn.add", "qnn.mul"):
        graph = pair(op, ((1 << 16,), I8), ((1 << 16,), I8), I8, "none")
        check_inputs(graph, operands, isa)


@pytest.mark.parametrize("isa", ISAS)
def test_real_numbers(isa: str) -> None:
    """Ties, what lies next to them, NaN, infinities, and numbers beyond all integers."""
    odd = np.asarray([np.nan, np.inf, -np.inf, 0, -0.0, 1e38, -1e38, 1e-40, 7e8, -7e8], np.float32)
    for dtype, step in ((I8, 0.03), (U8, 0.03), (I8, 1 - 2**-24), (I8, 1 + 2**-23), (I8, 1e-20), (U8, 1e20)):
        scale = np.float32(step)
        ties = ((np.arange(-300, 300) + 0.5) * scale).astype(np.float32)
        near = [np.nextafter(ties, np.float32(limit)) for limit in (-np.inf, np.inf)]
        x = np.concatenate([ties, *near, odd, np.random.default_rng(2).normal(0, 40 * scale, 5000).astype(np.float32)])
        graph = operation("qnn.quantize", (x.shape, DType.F32), scale=float(scale), zero_point=7, dtype=dtype)
        check_inputs(graph, {0: x}, isa)


def check_inputs(graph: Graph, operands: dict[int, Any], isa: str) -> None:
    """The implementations of a graph of one node for given operands."""
    (node,) = graph.nodes
    expected = evaluate(graph, {v.name: operands[i] for i, v in enumerate(graph.inputs)})
    call = KernelCall.of(node)
    (made,) = candidates(call, parse_target(f"cpu{{isa={isa}}}"))
    check(Case(node.op.name, call, operands, {}, list(expected.values())), made)


@pytest.mark.parametrize(
    "graph",
    [
        pair("qnn.add", ((2, 3, 4, 8), I8), ((8,), I8), I8, "none"),
        operation("qnn.quantize", ((4,), DType.F32), scale=0.1, dtype=DType.I16),
        operation("qnn.quantize", ((4,), DType.F32), scale=1e-30),
        operation("qnn.dequantize", ((4,), DType.I16), x_scale=0.1),
    ],
    ids=["other broadcasts", "to 16 bits", "tiny steps", "of 16 bits"],
)
def test_what_is_left_to_tvm(graph: Graph) -> None:
    (case,) = cases(graph)
    assert candidates(case.call, parse_target("cpu")) == []
