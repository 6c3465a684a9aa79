"""Squeeze-and-excitation against torch's own; shapes and messages."""

import pytest

from nascompiler.ir.ops import InferenceError
from tests.ir.dialects.nn.running import NCHW_TO_NHWC, NHWC_TO_NCHW, close, infer, run
from tests.ir.op_examples import normal


@pytest.mark.parametrize(
    ("activation", "torch_activation"),
    [("relu", "relu"), ("relu6", "relu6"), ("hard_swish", "hardswish"), ("swish", "silu")],
)
@pytest.mark.parametrize(("gate", "torch_gate"), [("hard_sigmoid", "hardsigmoid"), ("sigmoid", "sigmoid")])
def test_it_equals_torch(activation, torch_activation, gate, torch_gate):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    x, w1, b1, w2, b2 = normal(2, 5, 4, 7), normal(7, 3), normal(3), normal(3, 7), normal(7)
    image = torch.from_numpy(x.transpose(NHWC_TO_NCHW).copy())
    squeezed = functional.adaptive_avg_pool2d(image, 1).flatten(1)
    hidden = getattr(functional, torch_activation)(
        functional.linear(squeezed, torch.from_numpy(w1.T.copy()), torch.from_numpy(b1))
    )
    factor = getattr(functional, torch_gate)(
        functional.linear(hidden, torch.from_numpy(w2.T.copy()), torch.from_numpy(b2))
    )
    expected = (image * factor[:, :, None, None]).numpy().transpose(NCHW_TO_NHWC)
    close(run("squeeze_excite", x, w1, b1, w2, b2, activation=activation, gate=gate), expected)


def test_the_slope_of_the_gate_is_an_attribute():
    x, w1, b1, w2, b2 = normal(1, 2, 2, 3), normal(3, 2), normal(2), normal(2, 3), normal(3)
    hidden = run("relu", run("linear", run("global_average_pool", x), w1, b1))
    factor = run("hard_sigmoid", run("linear", hidden, w2, b2), alpha=0.2, beta=0.4)
    close(run("squeeze_excite", x, w1, b1, w2, b2, alpha=0.2, beta=0.4), x * factor)


def test_shapes_and_messages():
    assert infer("squeeze_excite", ("N", None, "W", 8), (8, 2), (2,), (2, 8), (8,)) == ("N", None, "W", 8)
    with pytest.raises(InferenceError, match=r"w1 has shape \[6, 2\]; its dimension 0 must be 8 \(the channels of x\)"):
        infer("squeeze_excite", (1, 4, 4, 8), (6, 2), (2,), (2, 8), (8,))
    with pytest.raises(InferenceError, match=r"w2 has shape \[3, 8\]; its dimension 0 must be 2"):
        infer("squeeze_excite", (1, 4, 4, 8), (8, 2), (2,), (3, 8), (8,))
