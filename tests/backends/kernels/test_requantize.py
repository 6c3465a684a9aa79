"""Sums to results, bit for bit as the reference, on every instruction set of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from nascompiler.backends.errors import DeviceError
from nascompiler.backends.kernels.emitter import Emitter, Index, Pointer
from nascompiler.backends.kernels.kernel import Kernel
from nascompiler.backends.kernels.numba_object import emit_assembly, jit
from nascompiler.backends.kernels.requantize import Requantization
from nascompiler.backends.target import Isa, parse_target
from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.ir.types import DType

ISAS = ("avx512_vnni", "avx512", "avx2", "sse2")

KINDS = [
    Requantization(DType.I8),
    Requantization(DType.U8),
    Requantization(DType.I16),
    Requantization(DType.I8, "hard_swish"),
    Requantization(DType.U8, "hard_sigmoid"),
    Requantization(DType.F32),
    Requantization(DType.F32, "relu6"),
    Requantization(DType.F32, "hard_swish"),
]


def machine_isa(name: str) -> Isa:
    """An instruction set of this machine; skips the test where it lacks it."""
    try:
        return parse_target(f"cpu{{isa={name}}}").isa
    except DeviceError as error:
        pytest.skip(str(error))


@dataclass(frozen=True)
class Requantize(Kernel):
    """result [count] of sums [count], each with a scale of its own; count is a multiple of the lanes."""

    kind: Requantization

    name: ClassVar[str] = "requantize"

    @property
    def pointers(self) -> Mapping[str, DType]:
        return {"sums": DType.I32, **self.kind.pointers, "result": self.kind.dtype}

    @property
    def sizes(self) -> tuple[str, ...]:
        return ("count", *self.kind.sizes)

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        lanes = e.isa.lanes
        requantizer = self.kind.prepare(e, p, n, lanes)
        with e.loop(0, n["count"], lanes) as loop:
            sums, scale = (e.load(p[name] + loop.index, lanes) for name in ("sums", "scale"))
            e.store(requantizer(sums, scale), p["result"] + loop.index)


def _sums(scale: float) -> np.ndarray:
    """Sums of all sizes, and those whose quotient is a half."""
    generator = np.random.default_rng(1)
    large = generator.integers(-(2**31), 2**31, 512)
    small = generator.integers(-3000, 3000, 1024)
    halves = np.arange(-256, 256) * round(0.5 / scale)
    return np.concatenate([large, small, halves, [0, 1, -1, 2**31 - 1, -(2**31), 6, 7, 8]] * 2).astype(np.int32)


@pytest.mark.parametrize("isa", ISAS)
def test_every_step_is_rounded_as_in_the_reference(isa):
    lanes = machine_isa(isa).lanes
    for kind in KINDS:
        kernel = Requantize(machine_isa(isa), kind)
        function = jit(kernel)
        for x_scale, weight_scale, scale, zero_point in ((0.25, 0.125, 1.0, 3), (0.013, 0.0021, 0.037, 7)):
            sums = _sums(x_scale * weight_scale)
            sums = np.resize(sums, -(-sums.size // lanes) * lanes)
            weight_scales = np.full(sums.size, weight_scale, np.float32)
            for activation in ("none", "relu", "relu6") if kind.activation == "none" else (kind.activation,):
                if kind.dtype.is_float and activation != kind.activation:
                    continue
                expected = arithmetic.requantize(
                    sums, x_scale, weight_scales, scale=scale, zero_point=zero_point, dtype=kind.dtype,
                    activation=activation,
                )  # fmt: skip
                factors = np.multiply(weight_scales, np.float32(x_scale))
                low = high = 0
                if not kind.dtype.is_float:
                    narrowing = activation if activation.startswith("relu") else "none"
                    low, high = arithmetic.clamp_limits(kind.dtype, narrowing, scale, zero_point)
                    if kind.activation == "none":
                        factors = np.divide(factors, np.float32(scale))
                made = np.empty_like(expected)
                arrays = {"sums": sums, "scale": factors, "result": made}
                arrays["inverse_scale"] = np.asarray([arithmetic.ratio(1, scale)], np.float32)
                numbers = {"count": sums.size, "zero_point": zero_point, "low": low, "high": high}
                addresses = [arrays[name].ctypes.data for name in kernel.pointers]
                function(*addresses, *(numbers[name] for name in kernel.sizes), 0, 1)
                np.testing.assert_array_equal(made, expected, err_msg=f"{kind} {activation}")


def test_nothing_is_contracted():
    text = emit_assembly(Requantize(machine_isa("avx2"), Requantization(DType.I8, "hard_swish")))
    assert "mulps" in text
    assert "fmadd" not in text
