"""Programs compute what the reference does, to the last bit, layer by layer and on every mapping."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nascompiler.backends.tpu.checking import differing_results
from nascompiler.backends.tpu.compiler.mapping import Figures, Shape, candidates
from nascompiler.backends.tpu.compiler.network import build_network
from nascompiler.backends.tpu.compiler.work import SumWork
from nascompiler.backends.tpu.machine import Machine, parse_machine
from nascompiler.backends.tpu.placement import offload_faults, places
from nascompiler.ir import DType, Graph, Value
from nascompiler.ir.labels import node_labels
from tests.backends.tpu.networks import Networks

FULL = parse_machine("tpu:tiny{extensions=all,unified-buffer=64KiB,parameter-memory=16KiB}")
PLAIN = parse_machine("tpu:tiny{extensions=elementwise,unified-buffer=64KiB,parameter-memory=16KiB}")


def _check(graph: Graph, made: Networks, machine: Machine) -> None:
    where = places(graph, machine)
    assert [p.reason for p in where.values() if p.region is None] == []
    assert differing_results(graph, machine, made.arrays()) == []


Build = Callable[[Networks], Value]

CONVOLUTIONS: dict[str, tuple[tuple[int, ...], Build]] = {
    "pointwise": ((2, 5, 6, 11), lambda n: n.conv(n.inputs[0], 19, (1, 1), activation="relu")),
    "padded at the end": ((1, 4, 3, 5), lambda n: n.conv(n.inputs[0], 4, (1, 1), padding=(0, 0, 1, 2))),
    "strided": ((1, 9, 7, 3), lambda n: n.conv(n.inputs[0], 10, strides=(2, 2), padding=(0, 0, 1, 1))),
    "dilated": ((1, 9, 9, 4), lambda n: n.conv(n.inputs[0], 9, dilation=(2, 2), padding=(2, 2, 2, 2))),
    "few channels": ((1, 12, 11, 2), lambda n: n.conv(n.inputs[0], 3, padding=(1, 1, 1, 1), activation="relu6")),
    "hard swish": ((1, 6, 6, 8), lambda n: n.conv(n.inputs[0], 8, activation="hard_swish", padding=(1, 1, 1, 1))),
    "hard sigmoid": ((3, 4, 4, 9), lambda n: n.conv(n.inputs[0], 7, (2, 2), activation="hard_sigmoid")),
    "float result": ((1, 4, 4, 9), lambda n: n.conv(n.inputs[0], 17, (1, 1), dtype=DType.F32, activation="relu")),
    "no bias": ((1, 5, 5, 6), lambda n: n.conv(n.inputs[0], 6, bias=False)),
    "depthwise": ((1, 10, 9, 13), lambda n: n.conv(n.inputs[0], 13, groups=13, padding=(1, 1, 1, 1))),
    "depthwise strided": (
        (2, 8, 9, 9),
        lambda n: n.conv(n.inputs[0], 9, groups=9, strides=(2, 2), padding=(0, 0, 1, 1), activation="relu"),
    ),
    "depthwise 5x5": ((1, 9, 8, 5), lambda n: n.conv(n.inputs[0], 5, (5, 5), groups=5, padding=(2, 2, 2, 2))),
    "depthwise dilated": (
        (1, 9, 8, 5),
        lambda n: n.conv(n.inputs[0], 5, groups=5, padding=(2, 2, 2, 2), dilation=(2, 2)),
    ),
    "grouped": ((1, 6, 6, 12), lambda n: n.conv(n.inputs[0], 6, groups=3, padding=(1, 1, 1, 1))),
    "grouped wide": ((1, 4, 4, 18), lambda n: n.conv(n.inputs[0], 20, (1, 1), groups=2)),
    "multiplied depthwise": ((1, 6, 6, 4), lambda n: n.conv(n.inputs[0], 12, groups=4)),
}


def _every_mapping(made: Networks, value: Value, machine: Machine) -> None:
    graph = made.graph(value)
    labels = node_labels(graph)
    (work,) = (w for w in build_network("small", list(graph.nodes), labels).work if isinstance(w, SumWork))
    arrays = made.arrays()
    found = list(candidates(Shape.of(work), Figures.of(machine)))
    assert found
    for mapping in found:
        assert differing_results(graph, machine, arrays, mappings={work.label: mapping}) == [], mapping


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("machine", [FULL, PLAIN], ids=["extensions", "plain"])
def test_every_mapping_of_a_convolution(name: str, machine: Machine) -> None:
    shape, build = CONVOLUTIONS[name]
    made = Networks(shape, seed=len(name))
    _every_mapping(made, build(made), machine)


SIXTEEN_BITS = [(DType.I16, DType.I8), (DType.I8, DType.I16), (DType.U8, DType.I16), (DType.I16, DType.I16)]


@pytest.mark.parametrize(("dtype", "weight_dtype"), SIXTEEN_BITS)
def test_every_mapping_of_convolutions_with_sixteen_bits(dtype: DType, weight_dtype: DType) -> None:
    for name, (shape, build) in CONVOLUTIONS.items():
        for machine in (FULL, PLAIN):
            made = Networks(shape, dtype=dtype, weight_dtype=weight_dtype, seed=len(name))
            _every_mapping(made, build(made), machine)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("dtype", "weight_dtype"), SIXTEEN_BITS)
def test_random_layers_with_sixteen_bits(dtype: DType, weight_dtype: DType, seed: int) -> None:
    random = np.random.default_rng([seed, dtype.bytes, weight_dtype.bytes])
    height, width, groups, channels, features = (int(random.integers(1, top)) for top in (9, 9, 5, 12, 12))
    images = int(random.integers(1, 4))
    made = Networks((images, height, width, groups * channels), dtype=dtype, weight_dtype=weight_dtype, seed=seed)
    kernel = (int(random.integers(1, min(height, 4) + 1)), int(random.integers(1, min(width, 4) + 1)))
    padding = tuple(int(p) for p in random.integers(0, 3, 4))
    activation = str(random.choice(["none", "relu", "relu6", "hard_swish"]))
    x = made.conv(made.inputs[0], groups * features, kernel, groups=groups, padding=padding, activation=activation)
    flat = made.moved(x, made.builder.nn.flatten(x))
    result = DType.F32 if seed % 3 == 0 else dtype
    _check(made.graph(x, made.linear(flat, int(random.integers(1, 20)), dtype=result)), made, PLAIN)


@pytest.mark.parametrize("dtype", [DType.U8, DType.I16])
def test_other_activation_types(dtype: DType) -> None:
    made = Networks((1, 6, 6, 9), dtype=dtype)
    x = made.conv(made.inputs[0], 12, padding=(1, 1, 1, 1), activation="relu")
    x = made.pool("max_pool2d", x, kernel=(2, 2), strides=(2, 2))
    x = made.conv(x, 12, groups=12, padding=(1, 1, 1, 1))
    y = made.pair("add", x, x)
    made_graph = made.graph(made.pool("global_average_pool", y), made.conv(y, 5, (1, 1), dtype=DType.F32))
    _check(made_graph, made, FULL)
    _check(made_graph, made, PLAIN)


def test_residuals_gates_and_pools() -> None:
    made = Networks((2, 7, 6, 10))
    x = made.conv(made.inputs[0], 10, padding=(1, 1, 1, 1))
    gate = made.pool("global_average_pool", x)
    gate = made.linear(made.linear(gate, 5, activation="relu"), 10, activation="hard_sigmoid")
    gated = made.pair("mul", x, gate)
    other = made.pair("mul", gate, x)
    total = made.pair("add", gated, other, activation="relu")
    pools = [
        made.pool("average_pool2d", total, kernel=(3, 3), strides=(2, 2), padding=(1, 1, 1, 1)),
        made.pool("average_pool2d", total, kernel=(3, 2), padding=(1, 0, 1, 1), count_include_pad=True),
        made.pool("max_pool2d", total, kernel=(3, 3), strides=(2, 1), padding=(1, 1, 1, 1)),
    ]
    _check(made.graph(total, *pools), made, PLAIN)


def test_memory_seen_in_other_ways() -> None:
    made = Networks((1, 6, 6, 8))
    nn = made.builder.nn
    x = made.conv(made.inputs[0], 12, (1, 1))
    left, right = nn.split(x, axis=3, sizes=(4, 8))
    left, right = made.moved(x, left), made.moved(x, right)
    a = made.conv(left, 6, padding=(1, 1, 1, 1))
    b = made.conv(right, 6, padding=(1, 1, 1, 1))
    joined = made.moved(a, nn.concat(a, b, a, axis=3))
    again = made.moved(a, nn.concat(joined, b, axis=3))
    cut = made.moved(a, nn.slice(again, axes=(1, 2), starts=(1, 1), ends=(6, 6), steps=(1, 2)))
    pooled = made.pool("average_pool2d", cut, kernel=(1, 1), strides=(2, 2))
    flat = made.moved(a, nn.flatten(b))
    graph = made.graph(joined, made.linear(flat, 9), pooled, made.requantize(again), made.conv(cut, 3), cut)
    _check(graph, made, FULL)


def test_tables_fused_and_alone() -> None:
    made = Networks((4, 20), (4, 20))
    gates = made.pair("add", made.linear(made.inputs[0], 32), made.linear(made.inputs[1], 32))
    parts = made.builder.nn.split(gates, axis=1, sizes=(8, 8, 16))
    values = [made.lookup(made.moved(gates, part), "nn.tanh") for part in parts]
    fused = made.lookup(made.linear(made.inputs[0], 7), "nn.sigmoid", DType.I16)
    product = made.pair("mul", values[0], values[1])
    _check(made.graph(product, values[2], fused, made.lookup(product)), made, PLAIN)


def test_a_batch_that_does_not_fit_is_split() -> None:
    machine = parse_machine("tpu:tiny{unified-buffer=6KiB,parameter-memory=8KiB}")
    made = Networks((5, 8, 8, 4))
    x = made.conv(made.inputs[0], 16, padding=(1, 1, 1, 1), activation="relu")
    x = made.conv(x, 16, strides=(2, 2), padding=(1, 1, 1, 1))
    x = made.conv(x, 4, strides=(2, 2), padding=(1, 1, 1, 1))
    graph = made.graph(made.linear(made.moved(x, made.builder.nn.flatten(x)), 10, dtype=DType.F32))
    _check(graph, made, machine)


def test_what_the_machine_cannot_do_is_named() -> None:
    made = Networks((1, 4, 4, 6))
    x = made.conv(made.inputs[0], 6)
    y = made.pair("add", x, x)
    graph = made.graph(y)
    strict = parse_machine("tpu:tiny{extensions=none}")
    where = places(graph, strict)
    reasons = [place.reason for place in where.values() if place.region is None]
    assert reasons == ["element-wise arithmetic is an extension that this variant lacks"]
    assert offload_faults(graph) == []  # nothing has been placed yet
