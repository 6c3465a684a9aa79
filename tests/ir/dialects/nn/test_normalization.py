"""Normalisation and softmax against torch; shapes and messages."""

import numpy as np
import pytest

from nascompiler.ir.ops import InferenceError
from nascompiler.ir.types import DType
from tests.ir.dialects.nn.running import NCHW_TO_NHWC, NHWC_TO_NCHW, close, infer, run, typed
from tests.ir.op_examples import normal, positive


def tensors(*arrays):
    torch = pytest.importorskip("torch")
    return [torch.from_numpy(a.copy()) for a in arrays]


@pytest.mark.parametrize("epsilon", [1e-5, 1e-3])
@pytest.mark.parametrize("shape", [(2, 3, 4, 7), (4, 7), (1, 1, 1, 7)])
def test_batch_norm_equals_torch(shape, epsilon):
    torch = pytest.importorskip("torch")
    x, scale, bias, mean, variance = normal(*shape), normal(7), normal(7), normal(7), positive(7)
    expected = torch.nn.functional.batch_norm(
        *tensors(np.moveaxis(x, -1, 1), mean, variance, scale, bias), training=False, eps=epsilon
    ).numpy()
    close(run("batch_norm", x, scale, bias, mean, variance, epsilon=epsilon), np.moveaxis(expected, 1, -1))
    along_1 = run("batch_norm", np.moveaxis(x, -1, 1), scale, bias, mean, variance, axis=1, epsilon=epsilon)
    close(along_1, expected)


@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_layer_norm_equals_torch(axis):
    torch = pytest.importorskip("torch")
    x = normal(2, 3, 4, 5)
    normalized = x.shape[axis:]
    scale, bias = normal(*normalized), normal(*normalized)
    expected = torch.nn.functional.layer_norm(*tensors(x), normalized, *tensors(scale, bias), eps=1e-4).numpy()
    close(run("layer_norm", x, scale, bias, axis=axis, epsilon=1e-4), expected)
    plain = torch.nn.functional.layer_norm(*tensors(x), normalized).numpy()
    close(run("layer_norm", x, axis=axis), plain)


def test_layer_norm_keeps_small_differences_beside_a_large_mean():
    x = np.float32(4096) + np.arange(8, dtype=np.float32)
    wide = x.astype(np.float64)
    expected = ((wide - wide.mean()) / np.sqrt(wide.var() + 1e-5)).astype(np.float32)
    close(run("layer_norm", x), expected, tolerance=1e-6)


def test_instance_norm_equals_torch():
    torch = pytest.importorskip("torch")
    x, scale, bias = normal(2, 5, 4, 3), normal(3), normal(3)
    image, weight, offset = tensors(x.transpose(NHWC_TO_NCHW), scale, bias)
    expected = torch.nn.functional.instance_norm(image, weight=weight, bias=offset, eps=1e-4).numpy()
    close(run("instance_norm", x, scale, bias, epsilon=1e-4), expected.transpose(NCHW_TO_NHWC))


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_softmax_equals_torch(op, axis):
    torch = pytest.importorskip("torch")
    x = normal(4, 5, 6, scale=20)
    close(run(op, x, axis=axis), getattr(torch, op)(*tensors(x), dim=axis).numpy())
    assert run(op, x.astype(np.float16), axis=axis).dtype == np.float16


def test_softmax_of_large_numbers_does_not_overflow():
    close(run("softmax", np.asarray([1e30, 1e30], np.float32)), np.asarray([0.5, 0.5], np.float32))


def test_shapes_stay():
    assert infer("batch_norm", ("N", 4, None, "C"), (7,), (7,), (7,), (7,)) == ("N", 4, None, "C")
    assert infer("layer_norm", ("N", None, 8), (8,)) == ("N", None, 8)
    assert infer("instance_norm", ("N", "H", "W", 3), (3,), (3,)) == ("N", "H", "W", 3)
    assert infer("softmax", ("N", 5)) == ("N", 5)


@pytest.mark.parametrize(
    ("op", "operands", "attributes", "message"),
    [
        ("batch_norm", ((1, 7), (7,), (7,), (6,), (7,)), {}, r"mean has shape \[6\]; its dimension 0 must be 7"),
        ("batch_norm", ((1, 7), (7,), (7,), (7,), (7,)), {"axis": 2}, "axis 2 is out of range for 2 dim.* -2 to 1"),
        ("batch_norm", ((7,), (7,), (7,), typed((7,), DType.F16), (7,)), {}, "mean is f16 but x is f32"),
        ("layer_norm", ((2, 8), (2, 8)), {}, r"scale has shape \[2, 8\], which does not broadcast to \[8\]"),
        ("instance_norm", ((2, 4, 4, 3), (3,), (4,)), {}, r"bias has shape \[4\]; its dimension 0 must be 3"),
        ("softmax", ((2, 3),), {"axis": -3}, "axis -3 is out of range"),
    ],
)
def test_what_does_not_fit_is_named(op, operands, attributes, message):
    with pytest.raises(InferenceError, match=f"nn.{op}: {message}"):
        infer(op, *operands, **attributes)
