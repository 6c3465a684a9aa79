"""Matrix products against torch and NumPy; shapes, costs and messages."""

import numpy as np
import pytest

from nascompiler.ir.ops import OPS, InferenceError
from nascompiler.ir.types import TensorType
from tests.ir.dialects.nn.running import close, infer, run
from tests.ir.op_examples import normal, whole

SHAPES = [
    ((3, 4), (4, 5)),
    ((4,), (4, 5)),
    ((3, 4), (4,)),
    ((4,), (4,)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (7, 4, 5)),
    ((2, 1, 3, 4), (6, 4, 5)),
    ((1, 3, 4), (2, 4)),
    ((0, 4), (4, 5)),
    ((3, 0), (0, 5)),
]


@pytest.mark.parametrize(("a", "b"), SHAPES[:-3] + SHAPES[-2:])
def test_matmul_equals_torch(a, b):
    torch = pytest.importorskip("torch")
    x, y = normal(*a), normal(*b)
    result = run("matmul", x, y)
    close(result, torch.matmul(torch.from_numpy(x), torch.from_numpy(y)).numpy())
    assert infer("matmul", a, b) == result.shape


def test_matmul_of_integers_is_exact_and_of_halves_accumulates_in_single():
    assert run("matmul", whole(3, 4), whole(4, 5)).dtype == np.int32
    assert run("matmul", np.ones((1, 4096), np.float16), np.ones((4096, 1), np.float16)).item() == 4096


@pytest.mark.parametrize("shape", [(7,), (3, 7), (2, 3, 7), (1, 1, 1, 7)])
@pytest.mark.parametrize("with_bias", [False, True])
def test_linear_equals_torch(shape, with_bias):
    torch = pytest.importorskip("torch")
    x, weight, bias = normal(*shape), normal(7, 5), normal(5) if with_bias else None
    expected = torch.nn.functional.linear(
        torch.from_numpy(x), torch.from_numpy(weight.T.copy()), None if bias is None else torch.from_numpy(bias)
    )
    result = run("linear", x, weight, bias)
    close(result, expected.numpy())
    assert infer("linear", shape, (7, 5), (5,) if with_bias else None) == result.shape


def test_what_is_known_of_the_shape_is_inferred():
    assert infer("matmul", ("N", 1, 3, 4), (None, 4, "K")) == ("N", None, 3, "K")
    assert infer("matmul", ("N", 2, 4), ("N", "K", 5)) == ("N", 2, 5)
    assert infer("linear", ("N", None, 8), (8, 3)) == ("N", None, 3)
    assert infer("linear", ("N", "C"), (8, None), (3,)) == ("N", 3)


@pytest.mark.parametrize(
    ("op", "operands", "message"),
    [
        ("matmul", ((3, 4), (5, 6)), r"a \[3, 4\] has 4 columns but b \[5, 6\] has 5 rows; they must be equal"),
        ("matmul", ((2, 3, 4), (3, 4, 5)), r"the batch dimensions of a \[2, 3, 4\] and b \[3, 4, 5\] do not broadcast"),
        ("matmul", ((), (4,)), r"a \[\] and b \[4\] must both have at least one dimension"),
        (
            "linear",
            ((3, 4), (5, 6)),
            r"weight has shape \[5, 6\]; its dimension 0 must be 4 \(the last dimension of x\)",
        ),
        ("linear", ((3, 4), (4, 6), (5,)), r"bias has shape \[5\]; its dimension 0 must be 6"),
        ("linear", ((), (4, 6)), "x is a scalar"),
    ],
)
def test_what_does_not_fit_is_named(op, operands, message):
    with pytest.raises(InferenceError, match=f"nn.{op}: {message}"):
        infer(op, *operands)


def test_cost_counts_multiply_accumulates():
    def cost(op, *shapes):
        types = OPS[op].padded(tuple(map(TensorType, shapes)))
        return OPS[op].macs(OPS[op].infer(*types), *types)

    assert cost("nn.matmul", (2, 3, 4), (4, 5)) == 2 * 3 * 4 * 5
    assert cost("nn.matmul", (4,), (4,)) == 4
    assert cost("nn.linear", (2, 3, 7), (7, 5)) == 2 * 3 * 7 * 5
