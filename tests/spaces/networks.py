"""Networks of a search space small enough to evaluate, and how they are held against torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from nascompiler.ir import Graph, evaluate, verify
from nascompiler.passes import run_pipeline
from nascompiler.passes.expansion.statistics import natural_images
from nascompiler.torch_bridge import to_module
from tests.torch_bridge.comparing import assert_agrees

SMALL = {
    "nasnet": "set-resolution{size=8},scale-width{multiplier=0.125}",
    "mnasnet": "set-resolution{size=64},scale-width{multiplier=0.25}",
    "mobilenet-v3-layers": "set-resolution{size=64},scale-width{multiplier=0.25}",
}
"""What makes the architectures of a space small."""

TOLERANCE = 1e-4
"""Of the largest logit: random networks of up to a hundred layers amplify the rounding of their first ones."""


def agrees_with_torch(architecture: Graph, shrink: str) -> None:
    """Expand a shrunk architecture, its stacks of one cell each, and hold the reference evaluator against torch."""
    architecture = run_pipeline(architecture, shrink)
    for node in architecture.nodes:
        if node.op.name == "arch.stack":
            architecture.set_attributes(node, repeats=1)
    network = run_pipeline(architecture, "expand-cells")
    verify(network)
    shape = network.inputs[0].type.static_shape
    image = natural_images(shape, np.random.default_rng(1)).astype(np.float32)
    with one_thread():
        actual = to_module(network).eval().run({"image": image})
    expected = evaluate(network, {"image": image})
    assert all(np.isfinite(values).all() for values in expected.values())
    assert_agrees(actual, expected, tolerance=TOLERANCE)


@contextmanager
def one_thread() -> Iterator[None]:
    """Tensors this small are slower on several, above all beside other tests."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
