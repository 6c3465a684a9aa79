"""The product by tile registers: its code on a model of them, bit for bit, and its instructions as text."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from llvmlite import ir

from nascompiler.backends.cpu.bound import Bound
from nascompiler.backends.cpu.implementations import quantized_product
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.host import detect_host
from nascompiler.backends.kernels.emitter import Emitter, Number, Pointer, Vector
from nascompiler.backends.kernels.gemm_amx import GemmAmx, TilePanels
from nascompiler.backends.kernels.kernel import Kernel
from nascompiler.backends.kernels.native import load
from nascompiler.backends.kernels.numba_object import emit_assembly
from nascompiler.backends.kernels.tiles import TILE_BYTES, TILE_ROWS, Tiles
from nascompiler.backends.target import Isa, describe, parse_target
from nascompiler.ir import DType, evaluate
from nascompiler.ir.random_values import random_array
from tests.backends.cpu.guard import Guards
from tests.backends.cpu.implementations.test_quantized_product import Layer

LAYERS = [
    Layer(16, 64, 16),
    Layer(90, 128, 48, x=DType.U8, weight=DType.U8, result=DType.U8, activation="relu", op="conv2d"),
    Layer(33, 67, 120, weight=DType.U8, activation="hard_swish"),
    Layer(70, 200, 50, x=DType.U8, result=DType.F32),
]

MORE = [
    Layer(49, 130, 72),
    Layer(300, 16, 96),
    Layer(17, 1100, 144, op="conv2d"),
    Layer(100, 24, 40, x=DType.U8, result=DType.U8, op="conv2d"),
    Layer(530, 64, 256, x=DType.U8, result=DType.U8),
]
"""For code that the others have."""

HAS_TILES = "amx_int8" in detect_host().features


def _amx() -> Isa:
    data = next(isa for isa in describe("cpu")["isa"] if isa["name"] == "amx")
    names = ("name", "architecture", "lanes", "accumulators")
    fields = {name: data[name] for name in names}
    features = frozenset(data["requires"])
    return Isa(**fields, processor=data["processors"][0]["name"], features=features, dots=tuple(data["dots"]))


def on_model(kernel: Kernel, model: type[Kernel]) -> Kernel:
    """The same on the model of the registers, with the vectors of this machine."""
    fields = {f.name: getattr(kernel, f.name) for f in dataclasses.fields(kernel)}
    return model(**{**fields, "isa": parse_target("cpu").isa})


class ModelTiles:
    """Eight tile registers in memory, and what the instructions do to them in vectors."""

    def __init__(self, emitter: Emitter) -> None:
        self._e = emitter
        builder, memory = emitter.builder, ir.ArrayType(ir.IntType(8), 8 * TILE_ROWS * TILE_BYTES)
        number = builder.ptrtoint(builder.alloca(memory), ir.IntType(64))  # a pointer with a type; ours have none
        self._memory = Pointer(emitter, builder.inttoptr(number, emitter.address_type), DType.I8)

    def _tile(self, number: int) -> Pointer:
        return self._memory + number * TILE_ROWS * TILE_BYTES

    def _copy(self, source: Pointer, source_stride: Number, target: Pointer, target_stride: Number) -> None:
        with self._e.loop(0, TILE_ROWS) as row:
            value = self._e.load(source.cast(DType.I8) + row.index * source_stride, TILE_BYTES)
            self._e.store(value, target.cast(DType.I8) + row.index * target_stride)

    def configure(self, configuration: Pointer) -> None:
        pass

    def release(self) -> None:
        pass

    def zero(self, tile: int) -> None:
        with self._e.loop(0, TILE_ROWS) as row:
            self._e.store(self._e.constant(0, TILE_BYTES, DType.I8), self._tile(tile) + row.index * TILE_BYTES)

    def load(self, tile: int, pointer: Pointer, stride: Number, *, once: bool = False) -> None:
        self._copy(pointer, stride, self._tile(tile), TILE_BYTES)

    def store(self, tile: int, pointer: Pointer, stride: Number) -> None:
        self._copy(self._tile(tile), TILE_BYTES, pointer, stride)

    def pause(self) -> None:
        pass

    def dot(self, sums: int, x: int, weight: int, x_dtype: DType) -> None:
        e, lanes = self._e, TILE_BYTES // 4

        def wide(bytes: Vector) -> Vector:
            return e.convert(bytes, DType.I32)

        with e.loop(0, TILE_ROWS) as row:
            total_at = (self._tile(sums) + row.index * TILE_BYTES).cast(DType.I32)
            with e.loop(0, TILE_ROWS, 1, [e.load(total_at, lanes)]) as group:
                columns = e.load(self._tile(weight) + group.index * TILE_BYTES, TILE_BYTES)
                for i in range(4):
                    term = (self._tile(x) + row.index * TILE_BYTES + group.index * 4 + i).cast(x_dtype)
                    mine = e.shuffle(columns, columns, range(i, TILE_BYTES, 4))
                    group.values = [group.values[0] + wide(e.broadcast(term, lanes)) * wide(mine)]
            e.store(group.values[0], total_at)


class OnModel(GemmAmx):
    """The kernel with the model in the place of the instructions."""

    def tiles(self, e: Emitter) -> Tiles:
        return ModelTiles(e)


def _check(layer: Layer, seed: int, isa: Isa, *, model: bool) -> None:
    graph = layer.graph(seed)
    (node,) = graph.nodes
    x = random_array(graph.inputs[0].type, np.random.default_rng(seed))
    constants = {i: v.constant.array for i, v in enumerate(node.operands) if v.constant is not None}
    call = KernelCall.of(node)
    (made,) = quantized_product.gemm_amx(call, replace(parse_target("cpu"), isa=_amx()))
    made = made.fitting(constants)
    kernel = made.kernel
    if model:
        kernel = OnModel(isa, kernel.x_dtype, kernel.requantization)
    made = replace(made, kernel=kernel)
    guards = Guards()
    function = load([kernel])[kernel.symbol]
    bound = Bound(made, call, function, {0: x, **constants}, constants, allocate=guards.allocate)
    bound(range(made.chunks - 1, -1, -1))
    guards.check()
    (expected,) = evaluate(graph, {"x": x}).values()
    np.testing.assert_array_equal(bound.results[0].reshape(expected.shape), expected, err_msg=str(layer))


def test_bit_for_bit_on_a_model_of_the_registers():
    isa = parse_target("cpu").isa
    if isa.lanes != 16:
        pytest.skip("the model takes vectors of 64 bytes")
    layers = LAYERS[:1] if HAS_TILES else LAYERS
    for seed, layer in enumerate(layers):
        _check(layer, seed, isa, model=True)


@pytest.mark.skipif(not HAS_TILES, reason="this machine has no tile registers")
def test_bit_for_bit_on_tile_registers():
    for seed, layer in enumerate([*LAYERS, *MORE]):
        _check(layer, seed, _amx(), model=False)


@pytest.mark.parametrize("layer", LAYERS[:2])
def test_the_instructions(layer):
    (node,) = layer.graph(0).nodes
    (made,) = quantized_product.gemm_amx(KernelCall.of(node), replace(parse_target("cpu"), isa=_amx()))
    text = emit_assembly(made.kernel)
    dot = "tdpbssd" if layer.x is DType.I8 else "tdpbusd"
    for instruction in ("ldtilecfg", "tileloadd", "tilestored", "tilerelease", dot):
        assert instruction in text
    assert text.count(dot) == 24, "four for each width of a panel, in the first block and in the others"


def test_short_sums_and_few_rows_are_left_to_vectors():
    target = replace(parse_target("cpu"), isa=_amx())
    for layer in (Layer(16, 15, 16), Layer(15, 64, 16), Layer(16, 64, 15)):
        (node,) = layer.graph(0).nodes
        assert not quantized_product.gemm_amx(KernelCall.of(node), target)


def test_every_column_is_in_a_panel():
    for columns in range(16, 300):
        for wide in (True, False):
            lanes = TilePanels.of(columns, wide=wide).lanes(interleaved=True)
            assert set(np.concatenate(lanes)) == set(range(columns)), (columns, wide)
