"""More channels and larger inputs are never faster."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from nascompiler.backends.arm.estimate.cost import Cycles
from nascompiler.backends.arm.estimate.estimator import Estimator
from nascompiler.backends.cpu.choice import Choice, variants
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.target import parse_target
from nascompiler.ir.graph import Graph
from nascompiler.ir.random_values import random_array
from tests.backends.arm.estimate.test_estimator import only_call, pointwise

pytestmark = pytest.mark.usefixtures("_tools")


def cycles(graphs: list[Graph], target: str, folder: Path) -> list[Cycles]:
    """The estimate of the only call of each graph by its default variant."""
    from nascompiler.backends.tvm_adapter.definition import graph_of
    from nascompiler.backends.tvm_adapter.variants import compile_variant

    chosen = parse_target(target)
    estimator = Estimator(chosen)
    found = []
    for number, graph in enumerate(graphs):
        node = only_call(graph)
        alone = graph_of(node)
        name, made = next(iter(variants(KernelCall.of(node), chosen).items()))
        place = folder / str(number)
        place.mkdir()
        compiled = compile_variant(alone, Choice(name, made, ""), chosen, place)
        inputs = [random_array(value.type, np.random.default_rng(0)) for value in alone.inputs]
        found.append(estimator.estimate(compiled, inputs, place).cycles)
    return found


GRIDS = {
    "features": [pointwise(49, 32, n) for n in (8, 16, 24, 32, 48, 64, 96)],
    "channels": [pointwise(49, k, 32) for k in (8, 16, 24, 32, 48, 64, 96)],
    "pixels": [pointwise(m, 32, 32) for m in (9, 16, 25, 36, 49, 64, 81, 100)],
}


@pytest.mark.parametrize("target", ["arm:cortex-a72", "arm:cortex-a76"])
@pytest.mark.parametrize("grid", GRIDS)
def test_more_work_is_never_faster(tmp_path, grid, target):
    found = [made.total for made in cycles(GRIDS[grid], target, tmp_path)]
    assert all(a <= b for a, b in pairwise(found)), found


@pytest.mark.parametrize(("target", "peak"), [("arm:cortex-a72", 4), ("arm:cortex-a76", 8)])
def test_pointwise_layers_come_near_the_peak_of_the_model(tmp_path, target, peak):
    sizes = [(49, 64, 64), (49, 160, 96), (196, 80, 184)]
    found = cycles([pointwise(*size) for size in sizes], target, tmp_path)
    for (m, k, n), made in zip(sizes, found, strict=True):  # operands are near: what memory takes is apart
        assert m * k * n / made.compute >= 0.85 * peak, (m, k, n)
