"""Activations against torch; bounds on integers; composites against their definitions."""

import numpy as np
import pytest

from nascompiler.ir.ops import InferenceError
from nascompiler.ir.types import DType
from tests.ir.dialects.nn.running import close, infer, onnx_run, run, typed
from tests.ir.op_examples import normal

GRID = np.concatenate([np.linspace(-9, 9, 181, dtype=np.float32), np.asarray([-100, 100, 0, -0.0], np.float32)])


@pytest.mark.parametrize(
    ("op", "attributes", "torch_name", "arguments"),
    [
        ("relu", {}, "relu", ()),
        ("relu6", {}, "relu6", ()),
        ("sigmoid", {}, "sigmoid", ()),
        ("tanh", {}, "tanh", ()),
        ("softplus", {}, "softplus", ()),
        ("hard_sigmoid", {}, "hardsigmoid", ()),
        ("hard_swish", {}, "hardswish", ()),
        ("swish", {}, "silu", ()),
        ("elu", {}, "elu", ()),
        ("elu", {"alpha": 0.3}, "elu", (0.3,)),
        ("leaky_relu", {}, "leaky_relu", ()),
        ("leaky_relu", {"alpha": 0.2}, "leaky_relu", (0.2,)),
        ("clip", {"min": -1.0, "max": 2.0}, "hardtanh", (-1.0, 2.0)),
    ],
)
def test_activations_equal_torch(op, attributes, torch_name, arguments):
    torch = pytest.importorskip("torch")
    expected = getattr(torch.nn.functional, torch_name)(torch.from_numpy(GRID), *arguments).numpy()
    close(run(op, GRID, **attributes), expected, tolerance=2e-6)
    assert run(op, GRID.astype(np.float16), **attributes).dtype == np.float16


def test_hard_sigmoid_takes_onnx_parameters():
    pytest.importorskip("onnxruntime")
    close(run("hard_sigmoid", GRID, alpha=0.2, beta=0.4), onnx_run("HardSigmoid", GRID, alpha=0.2, beta=0.4))


def test_hard_swish_is_x_times_relu6_of_x_plus_3_by_6():
    close(run("hard_swish", GRID), GRID * run("relu6", GRID + 3) / 6)


def test_clip_has_open_ends_and_crossed_bounds_give_the_upper_one():
    x = normal(20, scale=5)
    close(run("clip", x), x)
    close(run("clip", x, min=0), np.maximum(x, 0))
    close(run("clip", x, max=1), np.minimum(x, 1))
    close(run("clip", x, min=2, max=1), np.full(20, 1, np.float32))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
def test_clip_of_integers_rounds_its_bounds_inwards(dtype):
    x = np.arange(10).astype(dtype)
    assert run("clip", x, min=1.5, max=6.5).tolist() == [2, 2, 2, 3, 4, 5, 6, 6, 6, 6]
    assert run("clip", x).tolist() == x.tolist()
    assert run("clip", x, min=-1e30, max=1e30).dtype == dtype


def test_dropout_and_identity_do_nothing():
    x = normal(3, 4)
    assert run("dropout", x, rate=0.9) is not None
    close(run("dropout", x, rate=0.9), x)
    close(run("identity", x), x)


def test_drop_path_does_nothing_and_wants_a_probability():
    x = normal(3, 4)
    close(run("drop_path", x, keep_probability=0.6), x)
    assert infer("drop_path", ("N", 7), keep_probability=1.0) == ("N", 7)
    for probability in (0.0, -0.5, 1.5):
        with pytest.raises(
            InferenceError, match=r"nn\.drop_path: keep_probability is .*; accepted: above 0 and up to 1"
        ):
            infer("drop_path", (2, 3), keep_probability=probability)


def test_shapes_stay_and_integers_are_refused_where_they_make_no_sense():
    assert infer("hard_swish", ("N", None, 3)) == ("N", None, 3)
    assert infer("relu", typed((2,), DType.I8)) == (2,)
    with pytest.raises(InferenceError, match=r"nn\.sigmoid: x is i8; accepted: f16, f32, f64"):
        infer("sigmoid", typed((2,), DType.I8))
