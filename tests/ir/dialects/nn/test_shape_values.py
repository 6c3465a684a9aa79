"""Computing with shapes: values, and the shapes that constants give."""

import numpy as np
import pytest

from nascompiler.ir.ops import InferenceError
from nascompiler.ir.types import DType
from tests.ir.dialects.nn.running import close, infer, onnx_run, run, typed
from tests.ir.op_examples import i64, normal

SCALAR = typed((), DType.I64)


@pytest.mark.parametrize(
    ("start", "end", "sizes"), [(0, 99, [2, 3, 4]), (1, 3, [3, 4]), (-2, -1, [3]), (2, 1, []), (-9, 2, [2, 3])]
)
def test_shape_is_sliced_as_by_python(start, end, sizes):
    assert run("shape", normal(2, 3, 4), start=start, end=end).tolist() == sizes
    assert infer("shape", ("N", None, 4), start=start, end=end) == (len(sizes),)
    assert run("shape", normal(2, 3, 4)).tolist() == [2, 3, 4]


def test_constant_of_shape():
    close(run("constant_of_shape", i64(2, 3), value=1.5), np.full((2, 3), 1.5, np.float32))
    close(run("constant_of_shape", i64(), value=3, dtype=DType.I64), np.asarray(3))
    assert infer("constant_of_shape", i64(2, 3)) == (2, 3)
    assert infer("constant_of_shape", typed((2,), DType.I64)) == (None, None)
    assert infer("constant_of_shape", typed((None,), DType.I64)) is None
    with pytest.raises(InferenceError, match=r"shape is \[2, -1\]; accepted: sizes >= 0"):
        infer("constant_of_shape", i64(2, -1))


@pytest.mark.parametrize("bounds", [(0, 5, 1), (2, 11, 3), (5, 0, -2), (0, 0, 1), (3, 1, 1), (-4, 4, 4)])
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float32])
def test_range_equals_onnxruntime(bounds, dtype):
    pytest.importorskip("onnxruntime")
    operands = [np.asarray(v, dtype) for v in bounds]
    result = run("range", *operands)
    close(result, onnx_run("Range", *operands))
    assert infer("range", *operands) == result.shape


def test_a_range_of_unknown_bounds_has_unknown_length():
    assert infer("range", SCALAR, SCALAR, SCALAR) == (None,)
    with pytest.raises(InferenceError, match="delta is 0; accepted: any other number"):
        infer("range", *[np.asarray(0)] * 3)
