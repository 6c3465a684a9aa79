"""What operands, scales and result types the ops of the dialect accept."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir import DType, InferenceError, Quantization
from nascompiler.ir.dialects.qnn import declarations
from nascompiler.ir.ops import OPS
from nascompiler.ir.types import TensorType

QNN = sorted(name for name in OPS if name.startswith("qnn."))


def test_a_result_is_quantised_or_float():
    made = declarations.result_type((2, 3), DType.I8, 0.5, 7)
    assert made == TensorType((2, 3), DType.I8, Quantization.per_tensor(0.5, 7))
    assert declarations.result_type((2,), DType.F32, 1.0, 0) == TensorType((2,), DType.F32)
    with pytest.raises(InferenceError, match="dtype is i32"):
        declarations.result_type((2,), DType.I32, 1.0, 0)


def test_types_without_a_quantisation_are_taken_at_the_attributes_word():
    declarations.require_scale("x", TensorType((2,), DType.I8), 0.25, 3)
    quantized = TensorType((2,), DType.I8, Quantization.per_tensor(0.25, 3))
    declarations.require_scale("x", quantized, 0.25, 3)
    with pytest.raises(InferenceError, match=r"x has scale 0.25 and zero point 3 .* they must be the same"):
        declarations.require_scale("x", quantized, 0.25, 4)


def test_scales_are_compared_in_float32():
    quantized = TensorType((2,), DType.I8, Quantization.per_tensor(0.1))
    declarations.require_scale("x", quantized, 0.1, 0)
    declarations.require_scale("x", quantized, float(np.float32(0.1)), 0)


@pytest.mark.parametrize("name", QNN)
def test_activations_have_8_or_16_bits(name):
    activations = [o for o in OPS[name].operands if not o.parameter and o.name in ("x", "a", "b")]
    for operand in activations:
        expected = {DType.F32} if name == "qnn.quantize" else declarations.ACTIVATION_TYPES
        assert operand.dtypes == expected
