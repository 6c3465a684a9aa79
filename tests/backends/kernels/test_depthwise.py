"""Depthwise convolutions of every geometry that a tile meets, by every way to compute them, against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.backends.cpu.bound import Bound
from nascompiler.backends.cpu.implementations.depthwise import depthwise
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.tiling import Window
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.kernels.depthwise import Depthwise, Row
from nascompiler.backends.kernels.native import load
from nascompiler.backends.kernels.numba_object import emit_object
from nascompiler.backends.target import Isa, Target, describe, parse_target
from nascompiler.ir import Array, Builder, Graph, evaluate
from tests.backends.cpu.guard import Guards

ISAS = [isa["name"] for isa in describe("cpu")["isa"]]
NEON = Isa("neon", "aarch64", lanes=4, accumulators=24, processor="generic", features=frozenset({"asimd"}))


def target_of(isa: str) -> Target:
    try:
        return parse_target(f"cpu{{isa={isa}}}")
    except DeviceError as error:
        pytest.skip(str(error))


def layer(
    size: tuple[int, int, int, int],
    kernel: tuple[int, int] = (3, 3),
    stride: int = 1,
    padding: tuple[int, int, int, int] = (1, 1, 1, 1),
    dilation: int = 1,
    activation: tuple[str, tuple[float, ...]] = ("relu", ()),
    residual: bool = False,
    pooled: bool = False,
) -> Graph:
    """A graph of one call; x is [N, H, W, C] of `size`."""
    generator = np.random.default_rng(sum(size))
    build = Builder("layer")
    weights = [generator.standard_normal(s).astype(np.float32) for s in ((*kernel, 1, size[3]), (size[3],))]
    operands = [build.input("x", size), *map(build.constant, weights)]
    how = {"strides": (stride, stride), "padding": padding, "dilation": (dilation, dilation)}
    how |= {"activation": activation[0], "activation_parameters": activation[1]}
    if residual:
        spans = [(k - 1) * dilation + 1 for k in kernel]
        sizes = [(size[1 + i] + padding[i] + padding[2 + i] - spans[i]) // stride + 1 for i in (0, 1)]
        operands.append(build.input("residual", (size[0], *sizes, size[3])))
    if pooled:
        y, means = build.op("cpu.depthwise_conv2d_pooled", *operands, **how)
        return build.outputs(y=y, means=means)
    return build.outputs(y=build.op("cpu.depthwise_conv2d", *operands, **how))


def check(graph: Graph, target: Target, most: int = 99) -> None:
    """Ways to compute the call of a graph, the first `most` and one for each kernel, on arrays that end with memory."""
    generator = np.random.default_rng(5)
    inputs: dict[str, Array] = {
        str(v.name): generator.standard_normal(v.type.static_shape).astype(np.float32) for v in graph.inputs
    }
    expected = list(evaluate(graph, inputs).values())
    (node,) = graph.nodes
    call = KernelCall.of(node)
    constants = {i: v.constant.array for i, v in enumerate(node.operands) if v.constant is not None}
    values = {i: inputs[str(v.name)] for i, v in enumerate(node.operands) if v.constant is None}
    found = depthwise(call, target)
    assert found, call.text
    for made in [m for i, m in enumerate(found) if i < most or m.kernel not in [f.kernel for f in found[:i]]]:
        guards = Guards()
        function = load([made.kernel])[made.kernel.symbol]
        bound = Bound(made, call, function, values, constants, allocate=guards.allocate)
        for result in bound.results:
            result.fill(np.nan)
        bound(range(made.chunks - 1, -1, -1))
        guards.check()
        for result, wanted in zip(bound.results, expected, strict=True):
            np.testing.assert_allclose(
                result.reshape(wanted.shape), wanted, rtol=0, atol=2e-5, err_msg=f"{call.text} by {made.variant}"
            )


@pytest.mark.parametrize("isa", ISAS)
def test_one_kernel_serves_all_sizes(isa):
    """Widths that tiles of seven cut with and without overlap, heights down to less than the kernel, channel tails."""
    target = target_of(isa)
    for size in [(1, 9, 14, 33), (2, 3, 19, 16), (1, 1, 28, 17), (1, 2, 21, 70)]:
        check(layer(size), target, most=2)


@pytest.mark.parametrize("width", range(1, 12))
def test_narrow_images(width):
    """Both edges in one tile, kernels wider than the image."""
    target = target_of("sse2")
    check(layer((1, 4, width, 5), (5, 5), padding=(2, 2, 2, 2)), target, most=1)


@pytest.mark.parametrize(
    "how",
    [
        {"size": (1, 15, 15, 40), "stride": 2},
        {"size": (1, 14, 14, 24), "kernel": (5, 5), "stride": 2, "padding": (1, 1, 2, 2)},
        {"size": (2, 9, 30, 24), "kernel": (7, 7), "padding": (3, 3, 3, 3), "activation": ("hard_swish", ())},
        {"size": (1, 9, 17, 19), "kernel": (3, 2), "stride": 3, "padding": (0, 1, 2, 0)},
        {"size": (1, 12, 40, 16), "dilation": 2, "padding": (2, 2, 2, 2)},
        {"size": (1, 9, 30, 16), "padding": (0, 0, 0, 0), "activation": ("none", ())},
        {"size": (1, 5, 16, 16), "padding": (4, 4, 4, 4)},
        {"size": (1, 6, 13, 3), "residual": True, "activation": ("clip", (0.0, 6.0))},
    ],
    ids=str,
)
def test_other_geometries(how):
    check(layer(**how), target_of("avx2"), most=2)


@pytest.mark.parametrize("isa", ["avx512", "sse2"])
def test_means_count_each_pixel_once(isa):
    target = target_of(isa)
    for width in (7, 14, 19):
        check(layer((2, 9, width, 99), activation=("hard_swish", ()), pooled=True), target, most=2)


def test_a_large_dilation_is_refused():
    call = KernelCall.of(next(iter(layer((1, 99, 99, 4), dilation=40, padding=(40, 40, 40, 40)).nodes)))
    assert not depthwise(call, target_of("sse2"))


def test_it_compiles_for_aarch64():
    window = Window(1, (28, 28), 24, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 24, (28, 28), 24)
    row = Row.of(window, 7, NEON.lanes)
    assert row is not None
    assert emit_object(Depthwise(NEON, row, ("hard_swish", ()))).startswith(b"\x7fELF")
