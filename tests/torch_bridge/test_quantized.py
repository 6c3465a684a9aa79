"""Fake quantisation in torch: the reference's numbers forward, straight through backward."""

import numpy as np
import pytest
import torch

from nascompiler.ir import Builder, DType, evaluate
from nascompiler.torch_bridge import UnsupportedOpsError, to_module
from tests.ir.qnn_examples import EXAMPLES

CONVERSIONS = [e for e in EXAMPLES if e.op.removeprefix("qnn.").removesuffix("_per_axis") in ("quantize", "dequantize")]


@pytest.mark.parametrize("constant_parameters", [True, False], ids=["constants", "inputs"])
@pytest.mark.parametrize("example", CONVERSIONS, ids=str)
def test_conversions_are_the_reference_to_the_last_bit(example, constant_parameters):
    graph = example.graph(constant_parameters=constant_parameters)
    inputs = example.inputs(graph)
    made, expected = to_module(graph).run(inputs), evaluate(graph, inputs)
    for name, wanted in expected.items():
        assert made[name].dtype == wanted.dtype
        np.testing.assert_array_equal(made[name], wanted)


def test_halves_go_to_the_even_integer_and_clamping_comes_first():
    b = Builder()
    x = b.input("x", (8,))
    graph = b.outputs(
        y=b.nn.relu(b.qnn.dequantize(b.qnn.quantize(x, scale=0.5, zero_point=100), x_scale=0.5, x_zero_point=100))
    )
    values = np.array([0.25, 0.75, -0.25, 1e30, -1e30, np.inf, -np.inf, np.nan], np.float32)
    made = to_module(graph).run({"x": values})["y"]
    np.testing.assert_array_equal(made, np.array([0, 1, 0, 13.5, 0, 13.5, 0, 0], np.float32))
    np.testing.assert_array_equal(made, evaluate(graph, {"x": values})["y"])


def test_integers_between_quantize_and_dequantize_may_be_moved():
    b = Builder()
    x = b.input("x", (1, 4, 4, 2))
    q = b.qnn.quantize(b.nn.max_pool2d(x, kernel=(1, 1)), scale=0.1, zero_point=-3)
    moved = b.nn.max_pool2d(b.nn.pad(q, before=(0, 1, 1, 0), after=(0, 1, 1, 0), value=-3.0), kernel=(2, 2))
    graph = b.outputs(integers=moved, real=b.qnn.dequantize(moved, x_scale=0.1, x_zero_point=-3))
    inputs = {"x": np.random.default_rng(0).standard_normal((1, 4, 4, 2)).astype(np.float32)}
    made, expected = to_module(graph).run(inputs), evaluate(graph, inputs)
    assert made["integers"].dtype == np.int8
    for name in expected:
        np.testing.assert_array_equal(made[name], expected[name])


def test_gradients_pass_where_numbers_are_within_the_limits():
    b = Builder()
    x = b.input("x", (4,))
    q = b.qnn.quantize(x, scale=0.1, zero_point=-128, dtype=DType.I8)
    module = to_module(b.outputs(y=b.qnn.dequantize(q, x_scale=0.1, x_zero_point=-128)))
    given = torch.tensor([-0.5, 0.04, 12.0, 30.0], requires_grad=True)
    module(given).sum().backward()
    torch.testing.assert_close(given.grad, torch.tensor([0.0, 1.0, 1.0, 0.0]))


def test_scales_of_weights_get_the_gradient_of_lsq():
    b = Builder()
    x = b.input("x", (1, 4))
    weight = b.constant(np.array([[0.26], [-0.3], [20.0], [-20.0]], np.float32), "weight")
    scale = b.constant(np.array([0.1], np.float32), "scale")
    q = b.qnn.quantize_per_axis(weight, scale, axis=1)
    module = to_module(b.outputs(y=b.nn.linear(x, b.qnn.dequantize_per_axis(q, scale, axis=1))))
    module(torch.ones(1, 4)).sum().backward()
    within = (3 - 2.6) + (-3 + 3.0)
    torch.testing.assert_close(
        module.get_parameter("scale").grad, torch.tensor([within + 127 - 127]), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(module.get_parameter("weight").grad[:, 0], torch.tensor([1.0, 1.0, 0.0, 0.0]))


def test_arithmetic_on_integers_has_no_form_in_torch_and_the_error_says_what_has():
    b = Builder()
    x = b.input("x", (3,), DType.I8)
    graph = b.outputs(y=b.qnn.add(x, x, a_scale=0.1, b_scale=0.1, scale=0.2))
    with pytest.raises(UnsupportedOpsError, match="take the fake-quantised graph"):
        to_module(graph)
