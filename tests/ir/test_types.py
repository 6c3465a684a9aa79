import numpy as np
import pytest

from nascompiler.ir import DType, Quantization, TensorType
from nascompiler.ir.types import join_dims, join_types


@pytest.mark.parametrize("dtype", DType)
def test_element_types_and_numpy_agree(dtype):
    assert DType.of(dtype.numpy) is dtype
    assert dtype.bytes == dtype.numpy.itemsize
    assert dtype.is_float == (dtype.numpy.kind == "f")
    assert dtype.is_integer == (dtype.numpy.kind in "iu")
    assert str(dtype) == dtype.value


@pytest.mark.parametrize("name", ["complex64", "str", "object", "datetime64[s]"])
def test_other_element_types_are_refused(name):
    with pytest.raises(TypeError, match="is not supported; accepted: float16, float32"):
        DType.of(name)


def test_byte_order_does_not_matter():
    assert DType.of(">f4") is DType.F32


def test_sizes():
    type = TensorType((2, 3, 4), DType.F16)
    assert (type.rank, type.size, type.bytes, type.is_static) == (3, 24, 48, True)
    assert TensorType(()).size == 1
    assert TensorType((0, 5)).bytes == 0
    assert TensorType([2, 3]).shape == (2, 3)
    assert TensorType.of(np.zeros((2, 0), np.uint8)) == TensorType((2, 0), DType.U8)


@pytest.mark.parametrize("type", [TensorType(None), TensorType(("N", 2)), TensorType((None,))])
def test_open_types_have_no_size(type):
    assert not type.is_static
    with pytest.raises(ValueError, match="has open dimensions"):
        type.size
    with pytest.raises(ValueError, match="has open dimensions"):
        type.static_shape


def test_negative_dimensions_are_refused():
    with pytest.raises(ValueError, match="negative dimension -1"):
        TensorType((2, -1))


def test_changing():
    type = TensorType(("N", 3, None), DType.I8, Quantization.per_tensor(0.5))
    assert type.with_shape(None).rank is None
    assert type.with_shape([1]).quantization == type.quantization
    assert type.with_dtype(DType.F32) == TensorType(("N", 3, None))
    assert type.substitute({"N": 5, "M": 6}).shape == (5, 3, None)
    assert TensorType(None).substitute({"N": 5}) == TensorType(None)


@pytest.mark.parametrize(
    "a, b, accepts",
    [
        ((2, 3), (2, 3), True),
        ((2, 3), (2, 4), False),
        ((2, 3), (2, 3, 1), False),
        ((2, None), (2, 4), True),
        (("N", 4), (2, None), True),
        (None, (1, 2), True),
        ((1, 2), None, True),
    ],
)
def test_what_a_declaration_accepts(a, b, accepts):
    assert TensorType(a).accepts(TensorType(b)) is accepts
    assert not TensorType(a).accepts(TensorType(b, DType.I32))


def test_joining():
    assert [join_dims(*pair) for pair in [(3, None), (None, 3), ("N", 3), ("N", None), (None, None), ("N", "M")]] == [
        3,
        3,
        3,
        "N",
        None,
        "N",
    ]
    assert join_types(TensorType(("N", None)), TensorType((None, 3))) == TensorType(("N", 3))
    assert join_types(TensorType(None), TensorType((1,))) == TensorType((1,))
    assert join_types(TensorType((2,)), TensorType((3,))) is None
    assert join_types(TensorType((2,)), TensorType((2,), DType.F64)) is None
    quantized = TensorType((2,), DType.I8, Quantization.per_tensor(0.5))
    assert join_types(TensorType((2,), DType.I8), quantized) == quantized


def test_quantisation_is_kept_in_single_precision():
    assert Quantization.per_tensor(0.1).scale == (float(np.float32(0.1)),)
    assert Quantization.per_axis([1, 2], [0, 3], 1) == Quantization((1.0, 2.0), (0, 3), 1)


@pytest.mark.parametrize(
    "scale, zero, axis, message",
    [
        ((), (), None, "0 scales but 0 zero points"),
        ((1.0,), (0, 0), 0, "1 scales but 2 zero points"),
        ((1.0, 2.0), (0, 0), None, "2 scales without an axis"),
        ((0.0,), (0,), None, "must be positive and finite"),
        ((-1.0,), (0,), None, "must be positive and finite"),
        ((float("inf"),), (0,), None, "must be positive and finite"),
        ((float("nan"),), (0,), None, "must be positive and finite"),
        ((1e-60,), (0,), None, "must be positive and finite"),
        ((1e60,), (0,), None, "must be positive and finite"),
    ],
)
def test_quantisations_that_make_no_sense(scale, zero, axis, message):
    with pytest.raises(ValueError, match=message):
        Quantization(scale, zero, axis)


def test_types_print_as_text():
    assert str(TensorType(("N", None, 3))) == "f32[N,?,3]"
    assert str(TensorType(None, DType.I8, Quantization.per_tensor(0.5, 3))) == "i8[*]<scale=0.5, zero_point=3>"
