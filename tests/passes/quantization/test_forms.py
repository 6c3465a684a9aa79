"""Which ops have an integer form, and what an op takes up before it rounds."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir import Builder, DType
from nascompiler.passes.quantization.forms import Form, absorbs, activations, form_of, parameters_of


class _Ops:
    def __init__(self) -> None:
        self.b = Builder()
        self.nn = self.b.nn
        self.x = self.b.input("x", (1, 4, 4, 4))
        self.z = self.b.input("z", (1, 4, 4, 4))

    def weights(self, *shape):
        return self.b.constant(np.ones(shape, np.float32))


FORMS = {
    "conv2d": (Form.SUM, lambda o: o.nn.conv2d(o.x, o.weights(1, 1, 4, 4))),
    "transposed": (Form.SUM, lambda o: o.nn.conv2d_transpose(o.x, o.weights(2, 2, 4, 4))),
    "linear": (Form.SUM, lambda o: o.nn.linear(o.x, o.weights(4, 2), o.weights(2))),
    "matmul": (Form.SUM, lambda o: o.nn.matmul(o.x, o.z)),
    "add": (Form.ARITHMETIC, lambda o: o.nn.add(o.x, o.z)),
    "average": (Form.ARITHMETIC, lambda o: o.nn.average_pool2d(o.x, kernel=(2, 2))),
    "linear resize": (Form.ARITHMETIC, lambda o: o.nn.resize(o.x, size=(8, 8), mode="linear")),
    "nearest resize": (Form.PASSIVE, lambda o: o.nn.resize(o.x, size=(8, 8), mode="nearest")),
    "max": (Form.PASSIVE, lambda o: o.nn.max_pool2d(o.x, kernel=(2, 2))),
    "concat": (Form.PASSIVE, lambda o: o.nn.concat(o.x, o.z, axis=3)),
    "identity": (Form.PASSIVE, lambda o: o.nn.identity(o.x)),
    "pad": (Form.PASSIVE, lambda o: o.nn.pad(o.x, before=(0, 1, 0, 0), after=(0, 0, 0, 0))),
    "sigmoid": (Form.LOOKUP, lambda o: o.nn.sigmoid(o.x)),
    "elu": (Form.LOOKUP, lambda o: o.nn.elu(o.x)),
    "relu": (Form.LOOKUP, lambda o: o.nn.relu(o.x)),
    "computed weights": (
        "its weights are computed",
        lambda o: o.nn.matmul(o.x, o.z) and o.nn.linear(o.x, o.b.input("w", (4, 2))),
    ),
    "computed bias": ("its bias is computed", lambda o: o.nn.linear(o.x, o.weights(4, 2), o.b.input("b", (2,)))),
    "constant factor": (
        "its constant operand is no weight matrix",
        lambda o: o.nn.matmul(o.x, o.weights(4, 4)),
    ),
    "softmax": ("nn.softmax has no integer form", lambda o: o.nn.softmax(o.x)),
    "integers": ("it computes i64, not f32", lambda o: o.nn.argmax(o.x, axis=3)),
    "fused": (
        "its activation is fused: prepare the graph first",
        lambda o: o.nn.conv2d(o.x, o.weights(1, 1, 4, 4), activation="relu"),
    ),
    "half": ("it computes f16, not f32", lambda o: o.nn.neg(o.b.input("h", (2,), DType.F16))),
    "pad with 1": (
        "it pads with 1; accepted: 0",
        lambda o: o.nn.pad(o.x, before=(0, 1, 0, 0), after=(0, 0, 0, 0), value=1),
    ),
    "part constant": ("a part of it is constant", lambda o: o.nn.concat(o.x, o.weights(1, 4, 4, 2), axis=3)),
    "open size": ("its sizes are not known", lambda o: o.nn.neg(o.b.input("n", ("n", 3)))),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(name):
    wanted, build = FORMS[name]
    assert form_of(build(_Ops()).producer) == wanted


def test_weights_behind_fake_quantisation_are_weights():
    o = _Ops()
    scales = o.weights(2)
    weight = o.b.qnn.dequantize_per_axis(o.b.qnn.quantize_per_axis(o.weights(4, 2), scales, axis=1), scales, axis=1)
    assert form_of(o.nn.linear(o.x, weight).producer) is Form.SUM


def test_activations_are_operands_without_weights():
    o = _Ops()
    assert activations(o.nn.linear(o.x, o.weights(4, 2), o.weights(2)).producer) == [o.x]
    assert activations(o.nn.matmul(o.x, o.z).producer) == [o.x, o.z]
    assert activations(o.nn.concat(o.x, o.z, o.x, axis=3).producer) == [o.x, o.z, o.x]


ABSORBED = [
    ("conv", "relu", False, True),
    ("conv", "relu6", True, True),
    ("conv", "hard_swish", False, True),
    ("conv", "hard_swish", True, False),
    ("conv", "hard_sigmoid", False, True),
    ("conv", "sigmoid", False, False),
    ("add", "relu", False, True),
    ("add", "hard_swish", False, False),
    ("matmul", "relu", False, True),
    ("pool", "relu", False, False),
]


@pytest.mark.parametrize("op, activation, tables, absorbed", ABSORBED)
def test_what_an_op_absorbs(op, activation, tables, absorbed):
    o = _Ops()
    made = {
        "conv": lambda: o.nn.conv2d(o.x, o.weights(1, 1, 4, 4)),
        "add": lambda: o.nn.add(o.x, o.z),
        "matmul": lambda: o.nn.matmul(o.x, o.z),
        "pool": lambda: o.nn.average_pool2d(o.x, kernel=(2, 2)),
    }[op]()
    y = o.b.op(f"nn.{activation}", made)
    assert absorbs(made.producer, tables=tables) is (y.producer if absorbed else None)


def test_nothing_is_absorbed_that_others_see_before():
    o = _Ops()
    made = o.nn.add(o.x, o.z)
    o.nn.relu(made)
    o.nn.neg(made)
    assert absorbs(made.producer, tables=False) is None
    returned = o.nn.add(o.x, o.z)
    o.nn.relu(returned)
    o.b.outputs(y=returned)
    assert absorbs(returned.producer, tables=False) is None


def test_a_matmul_and_gates_of_another_slope_are_apart():
    o = _Ops()
    made = o.nn.matmul(o.x, o.z)
    o.nn.hard_swish(made)
    assert absorbs(made.producer, tables=False) is None
    made = o.nn.conv2d(o.x, o.weights(1, 1, 4, 4))
    gate = o.nn.hard_sigmoid(made, alpha=0.2, beta=0.5)
    assert absorbs(made.producer, tables=False) is None
    assert form_of(gate.producer) is Form.LOOKUP
    assert parameters_of(gate.producer) == (0.2, 0.5)
