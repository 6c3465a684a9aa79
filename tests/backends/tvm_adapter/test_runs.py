"""Runs of kernel calls: cut where TVM computes, with views and weights across the cuts, on one thread and on two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nascompiler.backends.artifact import load_artifact
from nascompiler.backends.compile import compile_graph
from nascompiler.backends.target import parse_target
from nascompiler.backends.tvm_adapter.lower import lower
from nascompiler.backends.tvm_adapter.runs import with_runs
from nascompiler.ir import Array, Builder, Graph, evaluate
from nascompiler.ir.graph import Value
from nascompiler.passes import run_pipeline


class Net:
    """A network of pointwise convolutions and whatever comes between them."""

    def __init__(self, channels: int = 24) -> None:
        self.builder = Builder("net")
        self.generator = np.random.default_rng(0)
        self.x = self.builder.input("x", (1, 6, 6, channels))

    def constant(self, *shape: int) -> Value:
        return self.builder.constant(self.generator.standard_normal(shape).astype(np.float32))

    def convolution(self, x: Value, features: int = 24) -> Value:
        made: Value = self.builder.nn.relu(
            self.builder.nn.conv2d(x, self.constant(1, 1, x.type.static_shape[3], features), self.constant(features))
        )
        return made


def straight() -> Graph:
    net = Net()
    return net.builder.outputs(y=net.convolution(net.convolution(net.convolution(net.x))))


def cut() -> Graph:
    """Two runs with a function of TVM between them, which reads weights; the first run makes an output too."""
    net = Net()
    first = net.convolution(net.convolution(net.x))
    between = net.builder.nn.tanh(net.builder.nn.mul(first, net.constant(1, 6, 6, 24)))
    return net.builder.outputs(y=net.convolution(net.convolution(between)), first=first)


def views() -> Graph:
    """Views of what a run makes: inside of it, at its end, and of an input."""
    net = Net()
    reshape = net.builder.nn.reshape
    inner = net.convolution(reshape(net.convolution(reshape(net.x, shape=(1, 3, 12, 24))), shape=(1, 12, 6, 12)), 8)
    return net.builder.outputs(y=reshape(inner, shape=(8, 72)), x=reshape(net.x, shape=(6, 144)))


def unused_scratch() -> Graph:
    """A constant and an input as outputs; a depthwise convolution whose means go to a gate."""
    net = Net()
    depthwise = net.builder.nn.conv2d(net.x, net.constant(3, 3, 1, 24), groups=24, padding=(1, 1, 1, 1))
    weights = [net.constant(24, 6), net.constant(6), net.constant(6, 24), net.constant(24)]
    y = net.builder.nn.squeeze_excite(depthwise, *weights)
    return net.builder.outputs(y=net.convolution(y), constant=net.constant(5, 7), x=net.x)


RUNS = {straight: 1, cut: 2, views: 1, unused_scratch: 1}


@pytest.mark.parametrize("make", RUNS, ids=lambda make: make.__name__)
def test_the_same_as_the_reference_and_every_call_timed(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    graph = make()
    compile_graph(graph, parse_target("cpu"), tmp_path / "net")
    x: Array = np.random.default_rng(1).standard_normal((1, 6, 6, 24)).astype(np.float32)
    for threads in (1, 2):
        artifact = load_artifact(tmp_path / "net", threads=threads)
        found = artifact.run({"x": x})
        for name, expected in evaluate(graph, {"x": x}).items():
            np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-4, err_msg=name)
        layers, total = artifact.profile()
        assert len(layers) == len(artifact.manifest.calls)
        assert 0 < sum(layer.ns for layer in layers) <= total


@pytest.mark.parametrize("make", RUNS, ids=lambda make: make.__name__)
def test_where_runs_end(make) -> None:  # type: ignore[no-untyped-def]
    target = parse_target("cpu")
    lowered = lower(run_pipeline(make(), "assign-kernels"), target)
    program = with_runs(lowered, target)
    assert len(program.runs) == RUNS[make]
    steps = sum(len(run.steps) for run in program.runs.values())
    assert steps == sum(not call.symbol.startswith("tvm_") for call in lowered.calls)
    assert len(program.weights) == (make in (cut, unused_scratch))
