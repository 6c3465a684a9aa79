"""LSTM against torch; shapes, cost and messages."""

import numpy as np
import pytest

from nascompiler.ir.builder import Builder
from nascompiler.ir.ops import OPS, InferenceError
from nascompiler.ir.types import TensorType
from tests.ir.dialects.nn.running import close, infer, run
from tests.ir.op_examples import normal


def weights(inputs, hidden):
    return normal(inputs, 4 * hidden, scale=0.5), normal(hidden, 4 * hidden, scale=0.5), normal(4 * hidden)


def torch_lstm(x, h, c, w, r, b):
    """torch has the same gate order i, f, g, o; its weights are transposed and its bias comes in two parts."""
    torch = pytest.importorskip("torch")
    lstm = torch.nn.LSTM(x.shape[2], h.shape[1])
    parameters = {"weight_ih_l0": w.T, "weight_hh_l0": r.T, "bias_ih_l0": b, "bias_hh_l0": np.zeros_like(b)}
    lstm.load_state_dict({name: torch.from_numpy(a.copy()) for name, a in parameters.items()})
    with torch.no_grad():
        y, (h, c) = lstm(torch.from_numpy(x), (torch.from_numpy(h)[None], torch.from_numpy(c)[None]))
    return y.numpy(), h.numpy()[0], c.numpy()[0]


@pytest.mark.parametrize(("steps", "batch", "inputs", "hidden"), [(1, 1, 3, 5), (7, 3, 5, 4), (12, 2, 1, 1)])
def test_a_sequence_equals_torch(steps, batch, inputs, hidden):
    x, h, c = normal(steps, batch, inputs), normal(batch, hidden), normal(batch, hidden)
    matrices = weights(inputs, hidden)
    for ours, expected in zip(run("lstm", x, h, c, *matrices), torch_lstm(x, h, c, *matrices), strict=True):
        close(ours, expected)


def test_a_reversed_sequence_is_the_sequence_reversed():
    x, h, c, matrices = normal(6, 2, 3), normal(2, 4), normal(2, 4), weights(3, 4)
    y, last_h, last_c = run("lstm", x, h, c, *matrices, reverse=True)
    expected = run("lstm", x[::-1].copy(), h, c, *matrices)
    close(y, expected[0][::-1])
    close(last_h, y[0])
    close(last_c, expected[2])


def test_a_cell_is_a_sequence_of_one():
    x, h, c, matrices = normal(2, 3), normal(2, 4), normal(2, 4), weights(3, 4)
    for ours, expected in zip(
        run("lstm_cell", x, h, c, *matrices), run("lstm", x[None], h, c, *matrices)[1:], strict=True
    ):
        close(ours, expected)


def test_an_empty_sequence_leaves_the_state():
    h, c = normal(2, 4), normal(2, 4)
    y, last_h, last_c = run("lstm", normal(0, 2, 3), h, c, *weights(3, 4))
    assert y.shape == (0, 2, 4)
    close(last_h, h)
    close(last_c, c)


def test_what_is_known_of_the_shape_is_inferred():
    matrices = ((3, 16), (4, 16), (16,))
    assert infer("lstm", ("T", "N", 3), ("N", 4), ("N", 4), *matrices) == ("T", "N", 4)
    assert infer("lstm", ("T", None, 3), (2, 4), (None, 4), *matrices) == ("T", 2, 4)
    assert infer("lstm_cell", ("N", 3), ("N", 4), ("N", 4), *matrices) == ("N", 4)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((2, 3), (2, 4), (2, 4), (5, 16), (4, 16), (16,)), r"w has shape \[5, 16\]; its dimension 0 must be 3"),
        (((2, 3), (2, 4), (2, 4), (3, 12), (4, 16), (16,)), r"w .* dimension 1 must be 16 \(4 gates of hidden size 4"),
        (((2, 3), (2, 4), (2, 4), (3, 16), (4, 12), (16,)), r"r .* dimension 1 must be 16"),
        (((2, 3), (2, 4), (2, 4), (3, 16), (4, 16), (8,)), r"b has shape \[8\]; its dimension 0 must be 16"),
        (((2, 3), (1, 4), (2, 4), (3, 16), (4, 16), (16,)), r"h has shape \[1, 4\]; its dimension 0 must be 2"),
        (((2, 3), (2, 4), (2, 5), (3, 16), (4, 16), (16,)), r"c has shape \[2, 5\]; its dimension 1 must be 4"),
    ],
)
def test_what_does_not_fit_is_named(shapes, message):
    with pytest.raises(InferenceError, match=message):
        infer("lstm_cell", *shapes)


def test_cost_counts_multiply_accumulates():
    op = OPS["nn.lstm"]
    types = tuple(map(TensorType, [(5, 2, 3), (2, 4), (2, 4), (3, 16), (4, 16), (16,)]))
    assert op.macs(op.infer(*types, reverse=False)[0], *types, reverse=False) == 5 * 2 * (3 + 4) * 16


def test_expanding_a_cell_needs_the_hidden_size():
    builder = Builder()
    shapes = [("N", 3), ("N", "H"), ("N", "H"), (3, None), ("H", None), (None,)]
    values = [builder.input(f"x{i}", shape) for i, shape in enumerate(shapes)]
    with pytest.raises(InferenceError, match="hidden size"):
        OPS["nn.lstm_cell"].decompose(builder, *values)
