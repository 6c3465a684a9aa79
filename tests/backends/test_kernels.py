"""The kernels on awkward sizes, against the reference; all of them in one program for each instruction set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nascompiler.backends.host import detect_host
from nascompiler.backends.target import describe, parse_target
from nascompiler.ir import Graph
from nascompiler.ir.builder import Builder
from tests.backends.replay import assert_like_reference, run_merged

ACTIVATIONS: list[tuple[str, tuple[float, ...]]] = [
    ("none", ()),
    ("relu", ()),
    ("clip", (0.0, 6.0)),
    ("clip", (-0.5, float("inf"))),
    ("leaky_relu", (0.1,)),
    ("sigmoid", ()),
    ("tanh", ()),
    ("hard_sigmoid", (0.2, 0.5)),
    ("hard_swish", ()),
    ("swish", ()),
]


def _normal(generator: np.random.Generator, *shape: int) -> np.ndarray:
    return generator.standard_normal(shape).astype(np.float32)


def _fused(generator: np.random.Generator, op: str, x: tuple[int, ...], *weights: tuple[int, ...], **how: Any) -> Graph:
    """A graph of one kernel call; a residual is its second input when `how` says so."""
    wants_residual = how.pop("residual", False)
    constants = [_normal(generator, *shape) for shape in weights]

    def build(*residual: tuple[int, ...]) -> Graph:
        builder = Builder(op.replace(".", "_"))
        operands = [builder.input("x", x), *map(builder.constant, constants)]
        operands += [builder.input("residual", shape) for shape in residual]
        return builder.outputs(y=builder.op(op, *operands, **how))

    plain = build()
    return build(plain.outputs[0].type.static_shape) if wants_residual else plain


def _gated(generator: np.random.Generator, x: tuple[int, ...], features: int, *, residual: bool) -> Graph:
    """A pointwise convolution of x times a gate."""
    builder = Builder("gated")
    operands = [builder.input("x", x)]
    operands += [builder.constant(_normal(generator, *shape)) for shape in ((1, 1, x[3], features), (features,))]
    operands += [builder.input("gate", (x[0], 1, 1, x[3]))]
    operands += [builder.input("residual", (*x[:3], features))] * residual
    return builder.outputs(y=builder.op("cpu.gated_conv2d", *operands, activation="relu"))


def _random_convolution(seed: int) -> Graph:
    """Channels that fill no vector, strides, dilation, groups, and padding that differs at every side."""
    generator = np.random.default_rng(seed)

    def pick(*options: Any) -> Any:
        return options[generator.integers(len(options))]

    groups = pick(1, 1, 1, 2, 3)
    channels, features = pick(1, 3, 5, 17, 33) * groups, pick(1, 3, 5, 17, 33) * groups
    kernel = (pick(1, 2, 3, 5), pick(1, 2, 3, 5))
    dilation = (pick(1, 1, 2), pick(1, 1, 2, 3))
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = [span + int(generator.integers(0, 14)) for span in spans]
    activation, parameters = ACTIVATIONS[seed % len(ACTIVATIONS)]
    return _fused(
        generator,
        "cpu.conv2d",
        (pick(1, 2), *size, channels),
        (*kernel, channels // groups, features),
        (features,),
        strides=(pick(1, 2, 3), pick(1, 2, 3)),
        padding=tuple(int(generator.integers(0, span)) for span in (*spans, *spans)),
        dilation=dilation,
        groups=groups,
        activation=activation,
        activation_parameters=parameters,
        residual=bool(generator.integers(2)),
    )


def _random_depthwise(seed: int) -> Graph:
    generator = np.random.default_rng(1000 + seed)
    channels = int(generator.choice([1, 3, 5, 17, 33, 70]))
    kernel = [int(k) for k in generator.choice([1, 2, 3, 5], 2)]
    dilation = [int(d) for d in generator.choice([1, 2], 2)]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    activation, parameters = ACTIVATIONS[seed % len(ACTIVATIONS)]
    return _fused(
        generator,
        "cpu.depthwise_conv2d",
        (int(generator.integers(1, 3)), *(span + int(generator.integers(0, 12)) for span in spans), channels),
        (*kernel, 1, channels),
        (channels,),
        strides=tuple(int(s) for s in generator.choice([1, 2], 2)),
        padding=tuple(int(generator.integers(0, span)) for span in (*spans, *spans)),
        dilation=tuple(dilation),
        activation=activation,
        activation_parameters=parameters,
        residual=bool(generator.integers(2)),
    )


def _others() -> list[Graph]:
    generator = np.random.default_rng(7)
    graphs = [
        _fused(generator, "cpu.linear", (1, 40), (40, 300), (300,), activation="relu"),
        _fused(generator, "cpu.linear", (3, 2, 17), (17, 5), (5,), residual=True, activation="hard_swish"),
        _fused(generator, "cpu.linear", (7,), (7, 33), (33,)),
        _fused(generator, "cpu.conv2d", (1, 9, 9, 70), (1, 1, 70, 40), (40,), activation="relu"),
        _fused(generator, "cpu.conv2d", (1, 1, 1, 33), (1, 1, 33, 17), (17,)),
    ]
    for channels in (3, 17, 70, 130):
        x = (2, 4, 5, channels)
        graphs += [
            _fused(generator, "cpu.softmax", x),
            _fused(generator, "cpu.global_average_pool", x),
            _fused(generator, "cpu.max_pool2d", x, kernel=(3, 2), strides=(2, 1), padding=(1, 0, 2, 1)),
            _fused(generator, "cpu.average_pool2d", x, kernel=(2, 3), strides=(1, 2), padding=(0, 2, 1, 1)),
            _fused(
                generator,
                "cpu.average_pool2d",
                x,
                kernel=(3, 3),
                padding=(1, 1, 1, 1),
                count_include_pad=True,
            ),
            _fused(
                generator,
                "cpu.squeeze_excite_gate",
                x,
                (channels, 5),
                (5,),
                (5, channels),
                (channels,),
                activation=["relu", "relu6", "hard_swish", "swish"][channels % 4],
                gate=["sigmoid", "hard_sigmoid"][channels % 2],
            ),
            _gated(generator, x, 40, residual=channels == 70),
        ]
    return graphs


def _pointwise(seed: int) -> Graph:
    """Rows and columns that fill no tile and no vector, with few activations: each is a kernel of its own."""
    generator = np.random.default_rng(2000 + seed)
    height, width, inputs, outputs = (int(generator.integers(1, most)) for most in (9, 12, 60, 120))
    activation, parameters = ACTIVATIONS[(0, 1, 2, 8)[seed % 4]]
    return _fused(
        generator,
        "cpu.conv2d",
        (1 + seed % 2, height, width, inputs),
        (1, 1, inputs, outputs),
        (outputs,),
        activation=activation,
        activation_parameters=parameters,
        residual=seed % 3 == 0,
    )


def kernel_graphs(count: int = 20) -> list[Graph]:
    """Graphs of one kernel call each; with a large count, of all kinds."""
    graphs = [_random_convolution(seed) for seed in range(count)]
    graphs += [_random_depthwise(seed) for seed in range(count // 2)]
    graphs += [_pointwise(seed) for seed in range(count)]
    return graphs + _others() if count >= 20 else graphs


ISAS = [isa["name"] for isa in describe("cpu")["isa"] if isa["architecture"] == detect_host().architecture]


@pytest.mark.parametrize("isa", ISAS)
def test_kernels_compute_what_their_decomposition_does(isa, tmp_path):
    best = parse_target("cpu").isa.name
    if isa != best and not set(describe("cpu")["isa"][ISAS.index(isa)]["requires"]) <= detect_host().features:
        pytest.skip(f"this machine lacks {isa}")
    graphs = kernel_graphs(20 if isa == best else 4)
    generator = np.random.default_rng(0)
    inputs = [{v.name: _normal(generator, *v.type.static_shape) for v in g.inputs} for g in graphs]
    artifact, results = run_merged(graphs, inputs, tmp_path / isa, f"cpu{{isa={isa}}}")
    labels = [f"{g.name} {next(g.nodes)!r} {next(g.nodes).attributes}" for g in graphs]
    assert_like_reference(graphs, results, inputs, labels)

    one = artifact.results()
    artifact._program.set_threads(2)
    artifact.step()
    for name, array in artifact.results().items():
        np.testing.assert_array_equal(array, one[name], err_msg=f"{name} with two threads")
