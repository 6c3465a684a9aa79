"""Small artifacts for emulated cores, each compiled once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nascompiler.backends.compile import compile_graph
from nascompiler.backends.devices.emulator import missing_pieces
from nascompiler.ir import Builder, Graph

Compile = Callable[[str], Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What runs code for ARM is skipped, with what to install, where that is missing."""
    missing = missing_pieces()
    for item in items:
        if missing and item.get_closest_marker("emulated") is not None:
            item.add_marker(pytest.mark.skip(reason="; ".join(missing)))


def small_network() -> Graph:
    """A strided convolution, a depthwise one, a pointwise one with a residual, a mean."""
    generator = np.random.default_rng(7)

    def weight(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape, dtype=np.float32) * np.float32(0.3)

    build = Builder("small")
    x = build.input("x", (1, 12, 12, 3))
    x = build.nn.relu(build.nn.conv2d(x, build.constant(weight(3, 3, 3, 24)), strides=(2, 2), padding=(1, 1, 1, 1)))
    y = build.nn.relu(build.nn.conv2d(x, build.constant(weight(3, 3, 1, 24)), padding=(1, 1, 1, 1), groups=24))
    y = build.nn.add(build.nn.conv2d(y, build.constant(weight(1, 1, 24, 24))), x)
    return build.outputs(y=build.nn.softmax(build.nn.reduce_mean(y, axes=(1, 2))))


@pytest.fixture(scope="session")
def artifact_for(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Compiles the small network for a core."""
    made: dict[str, Path] = {}

    def compile(core: str) -> Path:
        if core not in made:
            made[core] = tmp_path_factory.mktemp("device") / core
            compile_graph(small_network(), f"arm:{core}", made[core])
        return made[core]

    return compile
