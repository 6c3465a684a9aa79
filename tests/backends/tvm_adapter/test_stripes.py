"""Chains of calls in stripes: the same results, whatever kernels, strides and paddings, on any number of threads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nascompiler.backends.artifact import load_artifact
from nascompiler.backends.compile import compile_graph
from nascompiler.backends.target import Target, parse_target
from nascompiler.backends.tvm_adapter import runs, stripes
from nascompiler.ir import Array, Builder, Graph, evaluate
from nascompiler.ir.graph import Value

SEEDS = range(9)


SMALL, LARGE = 5 << 14, 1 << 26
"""Second-level caches that hold some rows of an image, and all images."""


def with_cache(text: str, l2_bytes: int) -> Target:
    """A target with another second-level cache."""
    target = parse_target(text)
    return replace(target, host=replace(target.host, l2_bytes=l2_bytes))


class Network:
    """A chain of random convolutions."""

    def __init__(self, seed: int) -> None:
        self.builder = Builder("net")
        self.generator = np.random.default_rng(seed)

    def pick(self, *choices: int) -> int:
        return int(self.generator.choice(choices))

    def constant(self, *shape: int) -> Value:
        return self.builder.constant((self.generator.standard_normal(shape) / 3).astype(np.float32))

    def convolution(self, x: Value, kernel: int, features: int, groups: int = 1) -> Value:
        stride, padding = self.pick(1, 1, 2) if kernel > 1 else 1, (kernel - 1) // 2
        dilation = self.pick(1, 1, 1, 2) if kernel == 3 and stride == 1 else 1
        weight = self.constant(kernel, kernel, x.type.static_shape[3] // groups, features)
        y = self.builder.nn.conv2d(
            x,
            weight,
            self.constant(features),
            strides=(stride, stride),
            padding=(padding * dilation,) * 4,
            dilation=(dilation, dilation),
            groups=groups,
        )
        if y.type == x.type and self.pick(0, 1):
            y = self.builder.nn.add(y, x)
        made: Value = self.builder.nn.relu(y) if self.pick(0, 1) else self.builder.nn.hard_swish(y)
        return made

    def graph(self, calls: int) -> Graph:
        """Convolutions of an image [1, 3, H, W]: one of planes first, then depthwise, pointwise and dense ones."""
        image = self.builder.input("x", (1, 3, self.pick(57, 64), self.pick(56, 61)))
        x = self.convolution(self.builder.nn.transpose(image, permutation=(0, 2, 3, 1)), 3, self.pick(24, 32))
        for number in range(calls):
            channels = x.type.static_shape[3]
            kind = self.pick(0, 0, 1, 1, 2) if number > 1 else number
            if kind == 0:
                x = self.convolution(x, self.pick(3, 5), channels, groups=channels)
            else:
                x = self.convolution(x, 1 if kind == 1 else 3, self.pick(channels, 32, 40))
        return self.builder.outputs(y=x)


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[stripes.Group]:
    """The groups of calls that are compiled, with chains cut wherever they can be."""
    monkeypatch.setattr(stripes, "_COMPUTED_NS", 0.0)
    monkeypatch.setattr(stripes, "_STAYS", 0.2)
    found: list[stripes.Group] = []

    def groups_of(*arguments: object) -> list[stripes.Group]:
        made = stripes.groups_of(*arguments)  # type: ignore[arg-type]
        found.extend(made)
        return made

    monkeypatch.setattr(runs, "groups_of", groups_of)
    return found


@pytest.mark.parametrize("isa", ["auto", "avx2"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_as_the_reference(seed: int, isa: str, tmp_path: Path, groups: list[stripes.Group]) -> None:
    graph = Network(seed).graph(6)
    shape = graph.inputs[0].type.static_shape
    x: Array = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    expected = evaluate(graph, {"x": x})["y"]
    for threads in (1, 2):
        groups.clear()
        folder = tmp_path / str(threads)
        compile_graph(graph, with_cache(f"cpu{{threads={threads},isa={isa}}}", SMALL), folder)
        assert any(group.kept for group in groups)
        for used in (1, 2):
            artifact = load_artifact(folder, threads=used)
            for _ in range(4):
                found = artifact.run({"x": x})["y"]
                np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * float(np.abs(expected).max()))
            layers, _ = artifact.profile()
            assert all(layer.ns > 0 for layer in layers)


@pytest.mark.parametrize("seed", SEEDS)
def test_each_row_once_and_all_that_it_needs(seed: int, tmp_path: Path, groups: list[stripes.Group]) -> None:
    compile_graph(Network(seed).graph(6), with_cache("cpu{threads=2}", SMALL), tmp_path / "net")
    for group in groups:
        if not group.kept:
            continue
        assert len(group.chains) > 1
        rows = []
        for chain in group.chains:
            for piece in chain:
                assert piece.rows is not None
                source, result = (piece.step.pointers[name][0] for name in ("x", "result"))
                low, high = piece.kept.get(source, (0, source.shape[1]))
                assert low <= piece.rows.first < piece.rows.last <= high
                low, high = piece.kept.get(result, (0, result.shape[1]))
                assert high - low <= group.kept.get(result, result.shape[1])
            rows += range(piece.first, piece.first + piece.rows.sizes.get("result_height", 0))
        height = result.shape[1]
        assert not rows or rows == list(range(height))


def test_images_that_fit_are_left_whole(tmp_path: Path, groups: list[stripes.Group]) -> None:
    compile_graph(Network(0).graph(6), with_cache("cpu", LARGE), tmp_path / "net")
    assert groups
    assert not any(group.kept for group in groups)


def test_outputs_and_what_is_read_elsewhere_are_whole(tmp_path: Path, groups: list[stripes.Group]) -> None:
    network = Network(3)
    nn, x = network.builder.nn, network.builder.input("x", (1, 40, 40, 24))
    first = network.convolution(x, 1, 24)
    second = network.convolution(first, 3, 24, groups=24)
    third = network.convolution(second, 1, 24)
    last = nn.tanh(second)
    graph = network.builder.outputs(first=first, third=third, last=last)
    compile_graph(graph, with_cache("cpu", SMALL), tmp_path / "net")
    assert not any(group.kept for group in groups)
    given: Array = np.random.default_rng(0).standard_normal((1, 40, 40, 24)).astype(np.float32)
    found = load_artifact(tmp_path / "net").run({"x": given})
    for name, expected in evaluate(graph, {"x": given}).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-4)
