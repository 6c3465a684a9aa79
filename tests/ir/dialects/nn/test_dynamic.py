"""Dynamic ops: what is inferred with and without constants, and the attributes of the static form."""

import numpy as np
import pytest

from nascompiler.ir.ops import OPS, InferenceError
from nascompiler.ir.types import DType, TensorType
from tests.ir.dialects.nn.running import infer, typed
from tests.ir.op_examples import i64


def sizes(count):
    return typed((count,), DType.I64)


SCALES = np.asarray([2, 0.5], np.float32)


@pytest.mark.parametrize(
    ("op", "operands", "attributes", "shape"),
    [
        ("reshape", ((2, 3, 4), i64(0, -1)), {}, (2, 12)),
        ("reshape", (("N", 3, 4), i64(0, -1)), {}, ("N", 12)),
        ("reshape", (("N", "M", 4), i64(0, 0, 2, 2)), {}, ("N", "M", 2, 2)),
        ("reshape", (("N", "M", 4), i64(0, -1)), {}, ("N", None)),
        ("reshape", ((None, 8), i64(0, -1)), {}, (None, None)),
        ("reshape", ((0, 3), i64(3, 0)), {"allow_zero": True}, (3, 0)),
        ("reshape", ((2, 3), sizes(3)), {}, (None, None, None)),
        ("reshape", ((2, 3), sizes(None)), {}, None),
        ("slice", (("N", 6, 5), i64(1), i64(-1), i64(1)), {}, ("N", 4, 5)),
        ("slice", ((4, 6), i64(1, 2), i64(3, 9)), {}, (2, 4)),
        ("slice", ((4, 6), i64(0), i64(4), i64(0), i64(-1)), {}, (0, 6)),
        ("slice", ((4, 6, 5), sizes(1), sizes(1), i64(-2)), {}, (4, None, 5)),
        ("slice", ((4, 6, 5), sizes(1), sizes(1)), {}, (None, 6, 5)),
        ("slice", ((4, 6, 5), i64(1), i64(2), sizes(1)), {}, (None, None, None)),
        ("expand", (("N", 1), i64(2, 1, 4)), {}, (2, "N", 4)),
        ("expand", (("N", 3), sizes(3)), {}, (None, None, 3)),
        ("expand", ((3,), sizes(None)), {}, None),
        ("tile", (("N", 3), i64(1, 2)), {}, ("N", 6)),
        ("tile", (("N", 3), sizes(2)), {}, (None, None)),
        ("pad", (("N", 3), i64(0, 1, 0, 2)), {}, ("N", 6)),
        ("pad", (("N", 3), sizes(4)), {}, (None, None)),
        ("resize", (("N", 4, 5, 3), i64(8, 9)), {}, ("N", 8, 9, 3)),
        ("resize", (("N", 4, 5, 3), sizes(2)), {}, ("N", None, None, 3)),
        ("resize_scales", (("N", 4, 5, 3), SCALES), {}, ("N", 8, 2, 3)),
        ("resize_scales", (("N", "H", 5, 3), SCALES), {}, ("N", None, None, 3)),
        ("resize_scales", (("N", 4, 5, 3), (2,)), {}, ("N", None, None, 3)),
    ],
)
def test_shapes_are_known_as_far_as_the_operands_are(op, operands, attributes, shape):
    assert infer(f"dynamic_{op}", *operands, **attributes) == shape


def static(op, x, *constants, **attributes):
    record = OPS[f"nn.dynamic_{op}"]
    operands = record.padded((TensorType(x), *(TensorType.of(c) for c in constants)))
    return record.static_attributes(operands, record.padded((None, *constants)), record.complete_attributes(attributes))


def test_static_attributes():
    assert static("reshape", (2, 3, 4), i64(0, -1)) == {"shape": (2, 12)}
    assert static("reshape", ("N", 3, 4), i64(0, -1)) == {"shape": (-1, 12)}
    assert static("reshape", ("N", "M", 4), i64(0, 0, 4)) is None
    assert static("slice", (4, 6), i64(1, 2), i64(3, 9)) == {
        "axes": (0, 1), "starts": (1, 2), "ends": (3, 9), "steps": (1, 1),
    }  # fmt: skip
    assert static("tile", ("N", 6), i64(1, 2)) == {"repeats": (1, 2)}
    assert static("expand", ("N", 6), i64(1, 6)) == {"shape": (1, 6)}
    assert static("pad", ("N", 6), i64(0, 1, 0, 2), value=3) == {
        "before": (0, 1), "after": (0, 2), "mode": "constant", "value": 3.0,
    }  # fmt: skip
    resized = static("resize", (1, 4, 4, 3), i64(8, 9), mode="linear")
    assert (resized["size"], resized["scales"], resized["mode"]) == ((8, 9), (), "linear")
    scaled = static("resize_scales", (1, 4, 4, 3), SCALES, coordinates="asymmetric")
    assert (scaled["size"], scaled["scales"], scaled["coordinates"]) == ((8, 2), (2.0, 0.5), "asymmetric")
    assert static("resize_scales", (1, "H", 4, 3), SCALES) is None


def test_an_operand_that_is_not_known_leaves_the_form_open():
    record = OPS["nn.dynamic_slice"]
    types = (TensorType((4, 6)), sizes(1), sizes(1), None, None)
    assert record.static_attributes(types, (None, i64(1), None, None, None), {}) is None
    assert record.static_attributes(types, (None, i64(1), i64(2), None, None), {}) is not None


@pytest.mark.parametrize(
    ("op", "operands", "message"),
    [
        ("reshape", ((2, 3), i64(4, -1)), r"x \[2, 3\] does not fit shape \[4, -1\]"),
        ("reshape", ((2, 3), i64(2, 3, 0)), r"shape \[2, 3, 0\] copies dimension 2, which x \[2, 3\] lacks"),
        ("pad", ((2, 3), i64(1, 2)), r"pads has 2 entries; x \[2, 3\] needs 4"),
        ("pad", ((2, 3), sizes(3)), r"pads has shape \[3\]; its dimension 0 must be 4 \(two for each dimension of x\)"),
        ("resize_scales", ((1, 2, 2, 3), np.asarray([2, 0], np.float32)), r"scales are \[2.0, 0.0\]; accepted: 2 num"),
        ("expand", ((2, 3), i64(2)), "the shapes do not broadcast"),
    ],
)
def test_what_does_not_fit_is_named(op, operands, message):
    with pytest.raises(InferenceError, match=rf"nn\.dynamic_{op}: {message}"):
        infer(f"dynamic_{op}", *operands)
