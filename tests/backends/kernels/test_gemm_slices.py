"""The float32 product in slices of bytes, as exact as it says: on tile registers where there are any, or a model."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest

from nascompiler.backends.cpu.bound import Bound
from nascompiler.backends.cpu.implementations.sliced_product import sliced_products
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.slicing import can_slice, slicing_gain
from nascompiler.backends.host import detect_host
from nascompiler.backends.kernels.emitter import Emitter
from nascompiler.backends.kernels.gemm_slices import GemmSlices
from nascompiler.backends.kernels.native import load
from nascompiler.backends.kernels.numba_object import emit_assembly
from nascompiler.backends.kernels.slices import blocks_of, pack_slices
from nascompiler.backends.kernels.tiles import Tiles
from nascompiler.backends.target import parse_target
from nascompiler.ir import Builder, Graph, evaluate
from nascompiler.ir.types import Array
from tests.backends.cpu.guard import Guards
from tests.backends.kernels.test_gemm_amx import ModelTiles, _amx, on_model

HAS_TILES = "amx_int8" in detect_host().features

pytestmark = pytest.mark.skipif(parse_target("cpu").isa.lanes != 16, reason="the code takes vectors of 64 bytes")


class OnModel(GemmSlices):
    """The kernel with the model in the place of the instructions."""

    def tiles(self, e: Emitter) -> Tiles:
        return ModelTiles(e)


@dataclass(frozen=True)
class Layer:
    """A pointwise convolution of `images` planes of `pixels` pixels, k channels to n."""

    pixels: int
    k: int
    n: int
    activation: str = "none"
    residual: bool = False
    gate: bool = False
    images: int = 1

    def graph(self, seed: int) -> Graph:
        random = np.random.default_rng(seed)

        def numbers(*shape: int) -> Array:
            return random.standard_normal(shape).astype(np.float32)

        builder = Builder("product")
        plane = (self.images, 1, self.pixels)
        x = builder.input("x", (*plane, self.k))
        weight = builder.constant(numbers(1, 1, self.k, self.n) / np.float32(self.k) ** 0.5)
        rest = [weight, builder.constant(numbers(self.n))]
        if self.gate:
            rest.append(builder.input("gate", (self.images, 1, 1, self.k)))
        if self.residual:
            rest.append(builder.input("residual", (*plane, self.n)))
        op = "cpu.gated_conv2d" if self.gate else "cpu.conv2d"
        parameters = (0.0, 6.0) if self.activation == "clip" else ()
        builder.outputs(y=builder.op(op, x, *rest, activation=self.activation, activation_parameters=parameters))
        return builder.graph


LAYERS = [
    Layer(16, 64, 16),
    Layer(49, 128, 80, "relu", residual=True),
    Layer(33, 40, 33, "hard_swish"),
    Layer(29, 32, 24, "clip", gate=True, images=3, residual=True),
    Layer(50, 72, 100, gate=True),
    Layer(200, 97, 48, "sigmoid"),
]


def _run(layer: Layer, inputs: dict[str, Array], seed: int) -> list[Array]:
    """The results of both orders of loops, shared by few and by many, with nothing touched outside the arrays."""
    graph = layer.graph(seed)
    (node,) = graph.nodes
    constants = {i: v.constant.array for i, v in enumerate(node.operands) if v.constant is not None}
    computed = {i: inputs[v.name] for i, v in enumerate(node.operands) if v.constant is None}
    names = {3: "gate", 4: "residual"} if layer.gate else {3: "residual"}
    operands = {"x": 0, **{name: i for i, name in names.items() if i in computed}}
    call, found = KernelCall.of(node), []
    targets = [replace(parse_target(f"cpu{{threads={threads}}}"), isa=_amx()) for threads in (1, 3)]
    for made in itertools.chain.from_iterable(sliced_products(call, target, operands) for target in targets):
        kernel = made.kernel
        if not HAS_TILES:
            kernel = on_model(kernel, OnModel)
        guards = Guards()
        function = load([kernel])[kernel.symbol]
        bound = Bound(
            replace(made, kernel=kernel), call, function, {**computed, **constants}, constants, allocate=guards.allocate
        )
        bound(range(made.chunks - 1, -1, -1))
        guards.check()
        found.append(bound.results[0].copy())
    assert len(found) == 5  # two orders for one thread, and for several rows that are shared besides
    return found


def _inputs(layer: Layer, seed: int) -> dict[str, Array]:
    random = np.random.default_rng(seed + 100)
    inputs = layer.graph(seed).inputs
    return {v.name or "": random.standard_normal(v.type.static_shape).astype(np.float32) for v in inputs}


@pytest.mark.parametrize("seed, layer", list(enumerate(LAYERS)))
def test_the_reference_to_the_last_bits(seed, layer):
    inputs = _inputs(layer, seed)
    (expected,) = evaluate(layer.graph(seed), inputs).values()
    for result in _run(layer, inputs, seed):
        np.testing.assert_allclose(result.reshape(expected.shape), expected, rtol=0, atol=4e-6, err_msg=str(layer))


def test_errors_are_those_of_float32():
    """Against exact sums: at most 2 ** -22 of the largest x in a row times the largest weight, for each term."""
    layer = Layer(64, 320, 64)
    inputs = _inputs(layer, 0)
    inputs["x"] *= np.logspace(-6, 6, 64, dtype=np.float32)[:, None]  # each row has a scale of its own
    graph = layer.graph(0)
    (node,) = graph.nodes
    weight, bias = (node.operands[i].constant.array.astype(np.float64) for i in (1, 2))
    x = inputs["x"].reshape(64, 320).astype(np.float64)
    exact = x @ weight.reshape(320, 64)
    largest = np.abs(x).max(1)[:, None] * np.abs(weight).max(axis=(0, 1, 2))[None]
    for result in _run(layer, inputs, 0):
        error = np.abs(result.reshape(64, 64) - (exact + bias))
        assert (error <= 2**-22 * 320**0.5 * largest + 2**-23 * np.abs(exact + bias)).all()


def test_rows_of_zeros_and_rows_that_are_not_finite():
    layer = Layer(32, 64, 32, "relu")
    inputs = _inputs(layer, 0)
    inputs["x"][0, 0, 3] = 0
    inputs["x"][0, 0, 7, 5] = np.nan
    inputs["x"][0, 0, 9, 6] = np.inf
    expected = evaluate(layer.graph(0), inputs)["y"].reshape(32, 32)
    finite = [row for row in range(32) if row not in (7, 9)]
    for result in _run(layer, inputs, 0):
        result = result.reshape(32, 32)
        np.testing.assert_allclose(result[finite], expected[finite], rtol=0, atol=4e-6)
        assert np.isnan(result[7]).all()
        assert not np.isfinite(result[9]).all()


def test_weights_are_the_sum_of_their_slices():
    weight = np.random.default_rng(0).standard_normal((70, 16)).astype(np.float32)
    weight[:, 3] = 0
    weight[:, 4] *= 1e-20
    packed = pack_slices(weight)
    slices = packed["weight"].reshape(blocks_of(70), 3, 16, 16, 4).astype(np.float64)
    terms = slices.transpose(0, 4, 2, 1, 3).reshape(-1, 3, 16)  # [terms, slices, columns]
    whole = (terms[:, 0] + terms[:, 1] / 256 + terms[:, 2] / 65536) * packed["scale"]
    np.testing.assert_allclose(whole[:64], weight[:64], rtol=0, atol=2**-23 * np.abs(weight).max())
    np.testing.assert_allclose(whole[74:80], weight[64:], rtol=0, atol=2**-23 * np.abs(weight).max())
    assert (whole[64:74] == 0).all(), "what the last vector repeats counts once"


def test_the_instructions():
    text = emit_assembly(GemmSlices(_amx()))
    for instruction in ("ldtilecfg", "tileloadd", "tdpbssd", "tilestored", "tilerelease"):
        assert instruction in text


def test_where_it_is_taken():
    target = replace(parse_target("cpu"), isa=_amx())
    assert slicing_gain(784, 256, 256, target) > 1.5
    assert slicing_gain(12544, 64, 16, target) == 0, "its sums are too short"
    assert 0 < slicing_gain(3136, 24, 40, target) < 1
    assert not can_slice(784, 256, 256, parse_target("cpu{isa=sse2}"))
