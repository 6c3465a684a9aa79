"""What holds for every op of the dialect, by the table of examples."""

import numpy as np
import pytest

from nascompiler.ir.evaluate import decomposition, evaluate, evaluate_op
from nascompiler.ir.ops import OPS, Trait
from nascompiler.ir.types import TensorType
from nascompiler.ir.verify import verify
from tests.ir.op_examples import EXAMPLES

NN = sorted(name for name in OPS if name.startswith("nn."))


@pytest.mark.parametrize("name", NN)
def test_the_op_has_an_example_and_a_summary(name):
    assert any(example.op == name for example in EXAMPLES)
    assert OPS[name].summary.endswith(".")


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_inference_agrees_with_evaluation(example):
    for constant_parameters in (True, False):
        graph = example.graph(constant_parameters=constant_parameters)
        verify(graph)
        for value, array in zip(graph.outputs, example.results(), strict=True):
            assert value.type.accepts(TensorType.of(array))
            if constant_parameters and OPS[example.op].name not in ("nn.range", "nn.constant_of_shape"):
                assert value.type == TensorType.of(array)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_evaluating_the_graph_gives_the_results_and_leaves_the_operands(example):
    before = [None if a is None else a.copy() for a in example.operands]
    graph = example.graph()
    outputs = evaluate(graph, example.inputs(graph))
    for array, expected in zip(outputs.values(), example.results(), strict=True):
        np.testing.assert_array_equal(array, expected)
    for array, original in zip(example.operands, before, strict=True):
        np.testing.assert_array_equal(array, original)


@pytest.mark.parametrize("example", [e for e in EXAMPLES if OPS[e.op].has(Trait.COMMUTATIVE)], ids=str)
def test_a_commutative_op_does_not_care_about_the_order(example):
    a, b = example.operands
    swapped = evaluate_op(OPS[example.op], [b, a], OPS[example.op].complete_attributes(example.attributes))
    np.testing.assert_array_equal(swapped[0], example.results()[0])


@pytest.mark.parametrize("example", [e for e in EXAMPLES if OPS[e.op].has(Trait.IDENTITY)], ids=str)
def test_an_identity_returns_its_operand(example):
    np.testing.assert_array_equal(example.results()[0], example.operands[0])


@pytest.mark.parametrize("example", [e for e in EXAMPLES if OPS[e.op].is_composite], ids=str)
def test_a_composite_evaluates_as_its_decomposition(example):
    op = OPS[example.op]
    types = tuple(TensorType.of(a) for a in example.operands)
    graph = decomposition(op, types, tuple(op.complete_attributes(example.attributes).items()))
    verify(graph)
    inputs = {v.name: a for v, a in zip(graph.inputs, example.operands, strict=True)}
    for array, expected in zip(evaluate(graph, inputs).values(), example.results(), strict=True):
        np.testing.assert_allclose(array, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("example", [e for e in EXAMPLES if OPS[e.op].macs is not None], ids=str)
def test_cost_is_a_whole_number(example):
    node = next(example.graph().nodes)
    types = OPS[example.op].padded(tuple(v.type for v in node.operands))
    macs = OPS[example.op].macs(node.results[0].type, *types, **node.attributes)
    assert isinstance(macs, int)
    assert macs > 0


@pytest.mark.parametrize("example", [e for e in EXAMPLES if OPS[e.op].has(Trait.DYNAMIC)], ids=str)
def test_a_dynamic_op_equals_its_static_form(example):
    op = OPS[example.op]
    static = OPS[op.static_form[0]]
    operands = op.padded(example.operands)
    types = [None if a is None else TensorType.of(a) for a in operands]
    attributes = op.static_attributes(types, operands, op.complete_attributes(example.attributes))
    expected = evaluate_op(static, [example.operands[0]], attributes)
    np.testing.assert_array_equal(example.results()[0], expected[0])


def test_the_elementwise_trait_means_what_it_says():
    """Each result element depends on the operand elements at its own index: a part of the whole is the op on a part."""
    for example in EXAMPLES:
        op = OPS[example.op]
        if not op.has(Trait.ELEMENTWISE):
            continue
        shape = np.broadcast_shapes(*(a.shape for a in example.operands))
        whole = [np.broadcast_to(a, shape) for a in example.operands]
        part = [a[..., :1] for a in whole]
        attributes = op.complete_attributes(example.attributes)
        np.testing.assert_allclose(
            evaluate_op(op, part, attributes)[0],
            evaluate_op(op, whole, attributes)[0][..., :1],
            rtol=1e-6,
            err_msg=str(example),
        )
