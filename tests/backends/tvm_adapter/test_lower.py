"""What threads share: calls that are worth it, with the same results by any number of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nascompiler.backends.artifact import load_artifact
from nascompiler.backends.compile import compile_graph
from nascompiler.ir import Graph
from nascompiler.ir.builder import Builder
from nascompiler.passes import run_pipeline


def network(size: int) -> Graph:
    """Depthwise, pointwise, pooling of square images of 48 channels."""
    generator = np.random.default_rng(0)
    builder = Builder("net")
    x = builder.input("x", (1, size, size, 48))
    depthwise, pointwise = (
        builder.constant(generator.standard_normal(s).astype(np.float32)) for s in ((3, 3, 1, 48), (1, 1, 48, 96))
    )
    y = builder.nn.conv2d(x, depthwise, groups=48, padding=(1, 1, 1, 1))
    y = builder.nn.average_pool2d(builder.nn.conv2d(y, pointwise), kernel=(3, 3), padding=(1, 1, 1, 1))
    return builder.outputs(y=y)


def test_only_calls_that_take_long_enough_are_shared():
    from nascompiler.backends.tvm_adapter.lower import worth_sharing

    def shared(size: int) -> list[bool]:
        return [worth_sharing(node) for node in run_pipeline(network(size), "assign-kernels{fuse=never}").nodes]

    assert shared(4) == [False, False, False]
    assert shared(40) == [True, True, True]


def test_any_number_of_threads_has_the_same_results(tmp_path: Path):
    for size in (4, 23):
        folder = compile_graph(network(size), "cpu", tmp_path / str(size)).folder
        x = np.random.default_rng(1).standard_normal((1, size, size, 48)).astype(np.float32)
        one, two = (load_artifact(folder, threads=threads).run({"x": x})["y"] for threads in (1, 2))
        np.testing.assert_array_equal(one, two)
