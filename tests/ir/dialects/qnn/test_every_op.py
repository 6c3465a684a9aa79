"""What holds for every op of the dialect, by the table of examples."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir.evaluate import evaluate, evaluate_op
from nascompiler.ir.ops import OPS, Trait
from nascompiler.ir.text import parse, print_graph, structurally_equal
from nascompiler.ir.types import TensorType
from nascompiler.ir.verify import verify
from tests.ir.qnn_examples import EXAMPLES

QNN = sorted(name for name in OPS if name.startswith("qnn."))


@pytest.mark.parametrize("name", QNN)
def test_the_op_has_an_example_and_a_summary(name):
    assert any(example.op == name for example in EXAMPLES)
    assert OPS[name].summary.endswith(".")


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_inference_text_and_evaluation_agree(example):
    before = [None if a is None else a.copy() for a in example.operands]
    graph = example.graph()
    verify(graph)
    for value, array in zip(graph.outputs, example.results(), strict=True):
        assert value.type.with_dtype(value.type.dtype) == TensorType.of(array)
    outputs = evaluate(graph, example.inputs(graph))
    for array, expected in zip(outputs.values(), example.results(), strict=True):
        np.testing.assert_array_equal(array, expected)
    for array, original in zip(example.operands, before, strict=True):
        np.testing.assert_array_equal(array, original)
    assert structurally_equal(parse(print_graph(graph)), graph)


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.op.startswith("qnn.")], ids=str)
def test_results_show_something(example):
    """An example whose results are all alike, or mostly clamped, would hide faults."""
    (result,) = example.results()
    _, counts = np.unique(result, return_counts=True)
    assert result.size < 16 or (len(counts) >= 7 and counts.max() <= 0.85 * result.size)


def test_the_elementwise_trait_means_what_it_says():
    for example in EXAMPLES:
        op = OPS[example.op]
        if not op.has(Trait.ELEMENTWISE):
            continue
        shape = np.broadcast_shapes(*(a.shape for a in example.operands))
        whole = [np.broadcast_to(a, shape) for a in example.operands]
        attributes = op.complete_attributes(example.attributes)
        part = evaluate_op(op, [a[..., :1] for a in whole], attributes)[0]
        np.testing.assert_array_equal(part, evaluate_op(op, whole, attributes)[0][..., :1], err_msg=str(example))
