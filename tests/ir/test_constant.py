import numpy as np
import pytest

from nascompiler.ir import Constant, DType, ModelError, Quantization, TensorType


def test_nobody_can_write_to_a_constant():
    source = np.arange(4, dtype=np.float32)
    constant = Constant.of(source)
    source[0] = 9
    assert constant.array[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        constant.array[0] = 1
    with pytest.raises(ValueError, match="cannot set WRITEABLE flag"):
        constant.array.flags.writeable = True


def test_a_read_only_view_of_what_can_be_written_is_copied():
    source = np.arange(4, dtype=np.float32)
    view = source.view()
    view.flags.writeable = False
    constant = Constant.of(view)
    source[0] = 9
    assert constant.array[0] == 0


def test_what_is_read_only_already_is_shared():
    content = np.arange(4, dtype=np.float32).tobytes()
    array = np.frombuffer(content, np.float32)
    assert np.shares_memory(Constant.of(array).array, array)
    assert np.shares_memory(Constant.of(Constant.of(array).array).array, array)
    frozen = np.arange(4)
    frozen.flags.writeable = False
    assert np.shares_memory(Constant.of(frozen).array, frozen)


def test_order_and_byte_order_are_normalised():
    array = np.arange(6, dtype=">f4").reshape(2, 3)
    constant = Constant.of(array.T)
    assert constant.array.flags.c_contiguous
    assert constant.array.dtype == np.float32
    assert np.array_equal(constant.array, array.T)
    assert constant == Constant.of(np.ascontiguousarray(array.T.astype(np.float32)))


def test_equal_content_is_equal():
    assert Constant.of([1.0, 2.0]) == Constant.of(np.array([1.0, 2.0]))
    assert len({Constant.of([1.0]), Constant.of([1.0]), Constant.of([2.0])}) == 2
    assert Constant.of(np.zeros((2, 3))) != Constant.of(np.zeros((3, 2)))
    assert Constant.of(np.zeros(1, np.int8)) != Constant.of(np.zeros(1, np.uint8))
    assert Constant.of(np.float32([0.0])) != Constant.of(np.float32([-0.0]))


def test_the_digest_is_stable():
    # SHA-256 of "f32[2]" and the bytes 00 00 80 3f 00 00 00 40; files written once must be found for ever
    assert Constant.of(np.float32([1, 2])).digest == "5867bc14a224f5b1792af34b00288963"
    assert len(Constant.of(np.float32([])).digest) == 32


def test_a_type_may_add_quantisation_but_not_contradict():
    quantized = TensorType((2,), DType.I8, Quantization.per_tensor(0.5))
    constant = Constant.of(np.int8([1, 2]), quantized)
    assert constant.type == quantized
    assert constant != Constant.of(np.int8([1, 2]))
    with pytest.raises(ModelError, match=r"constant of type i8\[2\] declared as f32\[2\]"):
        Constant.of(np.int8([1, 2]), TensorType((2,)))
    with pytest.raises(ModelError, match=r"constant of type i8\[2\] declared as i8\[3\]"):
        Constant.of(np.int8([1, 2]), TensorType((3,), DType.I8))


def test_placeholders():
    constant = Constant(TensorType((2,)), digest="ab" * 16)
    assert constant.is_placeholder
    assert constant == Constant(TensorType((2,)), digest="ab" * 16)
    with pytest.raises(ModelError, match=r"the values of constant abab.* \(f32\[2\]\) are not loaded"):
        constant.array
    for arguments in ({}, {"array": np.zeros(2), "digest": "ab" * 16}):
        with pytest.raises(ValueError, match="either its array or"):
            Constant(TensorType((2,)), **arguments)


@pytest.mark.parametrize("values", [np.array(["a"]), np.array([1j]), np.array([object()])])
def test_element_types_that_the_ir_lacks(values):
    with pytest.raises(TypeError, match="is not supported"):
        Constant.of(values)
