"""Products of few rows, on sizes that fill no vector, no stream and no step."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.backends.cpu.implementations import fully_connected
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.kernels.gemv import MOST_ROWS, Gemv
from nascompiler.backends.kernels.numba_object import emit_object
from nascompiler.backends.target import Isa, Target, describe, parse_target
from nascompiler.ir.types import TensorType
from tests.backends.kernels.implementations import run_implementation

ISAS = [isa["name"] for isa in describe("cpu")["isa"]]
SHAPES = [(17, 33), (129, 100), (1, 16), (30, 1), (2, 5), (200, 131)]
NEON = Isa("neon", "aarch64", lanes=4, accumulators=24, processor="generic", features=frozenset({"asimd"}))


def target_of(isa: str) -> Target:
    try:
        return parse_target(f"cpu{{isa={isa}}}")
    except DeviceError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("rows", [1, 3, MOST_ROWS])
def test_products_of_few_rows(isa, rows):
    target = target_of(isa)
    generator = np.random.default_rng(rows)
    for k, n in SHAPES if rows == 1 else SHAPES[:3]:
        shapes = [(rows, k), (k, n), (n,), (rows, n)]
        operands = {i: generator.standard_normal(shape).astype(np.float32) for i, shape in enumerate(shapes)}
        types = tuple(TensorType.of(array) for array in operands.values())
        attributes = (("activation", "clip"), ("activation_parameters", (-0.5, 6.0)))
        (made,) = fully_connected.gemv(KernelCall("cpu.linear", attributes, types, (types[3],)), target)
        x, weight, bias, residual = (a.astype(np.float64) for a in operands.values())
        expected = np.clip(x @ weight + bias + residual, -0.5, 6)
        for chunks in (1, 3):
            got = run_implementation(made, operands, {"result": types[3]}, chunks)["result"]
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.sqrt(k), err_msg=f"{k}x{n}, {chunks}")


def test_it_compiles_for_aarch64():
    assert emit_object(Gemv(NEON, rows=2, activation=("hard_swish", ()))).startswith(b"\x7fELF")
