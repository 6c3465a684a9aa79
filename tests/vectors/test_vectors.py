"""The vectors are what the script writes, small, and what the reference and cpu compute."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir.ops import OPS
from tests.backends.replay import run_merged
from tests.vectors.generate import INDEX, TENSORS, contents
from tests.vectors.vectors import vectors


def test_generating_them_again_gives_the_same_bytes():
    index, tensors = contents()
    assert index == INDEX.read_text(encoding="utf-8"), "run python -m tests.vectors.generate if a change is meant"
    assert tensors == TENSORS.read_bytes(), "run python -m tests.vectors.generate if a change is meant"


def test_they_are_small_and_cover_every_op():
    assert INDEX.stat().st_size + TENSORS.stat().st_size < 500_000
    assert {example.op for example, _ in vectors()} >= {name for name in OPS if name.startswith("qnn.")}


def test_the_reference_gives_the_results():
    for example, expected in vectors():
        for made, wanted in zip(example.results(), expected, strict=True):
            assert (made.dtype, made.shape) == (wanted.dtype, wanted.shape), example
            np.testing.assert_array_equal(made, wanted, err_msg=str(example))


@pytest.mark.slow
@pytest.mark.parametrize("target", ["cpu"])
def test_a_target_gives_the_results(target, tmp_path):
    graphs = [example.graph() for example, _ in vectors()]
    inputs = [example.inputs(graph) for graph, (example, _) in zip(graphs, vectors(), strict=True)]
    _, results = run_merged(graphs, inputs, tmp_path / "all", target=target)
    for made, (example, expected) in zip(results, vectors(), strict=True):
        for array, wanted in zip(made.values(), expected, strict=True):
            assert (array.dtype, array.shape) == (wanted.dtype, wanted.shape), example
            np.testing.assert_array_equal(array, wanted, err_msg=str(example))
