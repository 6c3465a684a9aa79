"""Tables with an entry for each integer."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir import Builder, DType, InferenceError
from nascompiler.ir.dialects.qnn.lookup import function_table
from tests.ir.dialects.qnn.by_hand import limits, run

SCALES = {"x_scale": 0.05, "x_zero_point": 10, "scale": 0.01, "zero_point": -100}


@pytest.mark.parametrize("x_dtype", [DType.I8, DType.U8, DType.I16])
def test_every_integer_finds_its_entry(x_dtype):
    low, high = limits(x_dtype)
    table = np.random.default_rng(0).integers(-128, 128, high - low + 1).astype(np.int8)
    x = np.arange(low, high + 1).astype(x_dtype.numpy)
    made = run("qnn.lookup", x[::-1], table, **SCALES)
    np.testing.assert_array_equal(made, table[::-1])
    assert made.dtype == np.int8


def test_a_table_holds_the_function_rounded_once():
    table = function_table("nn.leaky_relu", (0.25,), x_dtype=DType.I8, dtype=DType.I8, **SCALES)
    for q, entry in zip(range(-128, 128), table, strict=True):
        x = float(np.float32(0.05)) * (q - 10)
        wanted = round((x if x > 0 else 0.25 * x) / float(np.float32(0.01))) - 100
        assert entry == min(max(wanted, -128), 127)


def test_a_table_of_another_length_is_refused():
    build = Builder()
    x = build.input("x", (3,), DType.I8)
    table = build.constant(np.zeros(255, np.int8))
    with pytest.raises(InferenceError, match=r"table has shape \[255\]; it must be \[256\] \(one entry for each value"):
        build.op("qnn.lookup", x, table, **SCALES)
    with pytest.raises(InferenceError, match=r"\[65536\]"):
        build.op("qnn.lookup", build.input("w", (3,), DType.U16), build.constant(np.zeros(256, np.int8)), **SCALES)
