"""Every example of every op, through TVM, against the reference. One program holds them all."""

from __future__ import annotations

import pytest

from nascompiler.ir import DType, Trait
from tests.backends.replay import assert_like_reference, run_merged
from tests.ir.op_examples import EXAMPLES

NEEDS_FOLDING = "fixpoint(canonicalize,fold-constants,eliminate-dead-code),unroll-lstm"

NEVER_STATIC = {"nn.constant_of_shape", "nn.range"}
"""Their result's shape depends on values; what is left of them after folding is refused."""


def _compilable(example):
    if example.op in NEVER_STATIC or example.op.startswith("arch."):
        return False
    integer_power = example.op == "nn.pow" and DType.of(example.operands[0].dtype).is_integer
    return not integer_power


def _is_late(example):
    """Whether passes must run first."""
    graph = example.graph()
    return any(node.op.has(Trait.DYNAMIC) or node.op.name == "nn.lstm" for node in graph.nodes)


@pytest.mark.parametrize("late", [False, True], ids=["as-they-are", "after-passes"])
def test_every_example_computes_what_the_reference_does(late, tmp_path):
    chosen = [e for e in EXAMPLES if _compilable(e) and _is_late(e) == late]
    assert len(chosen) > (10 if late else 200)
    graphs = [e.graph() for e in chosen]
    inputs = [e.inputs(g) for e, g in zip(chosen, graphs, strict=True)]
    _, results = run_merged(graphs, inputs, tmp_path / "all", pipeline=NEEDS_FOLDING if late else "")
    assert_like_reference(graphs, results, inputs, chosen)
