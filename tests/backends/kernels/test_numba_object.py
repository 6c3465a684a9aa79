"""Kernels as objects without Python, as functions of users' `@njit` code, and as objects for another processor."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numba import njit

from nascompiler.backends.kernels.gemm import Gemm, Panels
from nascompiler.backends.kernels.native import load
from nascompiler.backends.kernels.numba_object import emit_assembly, emit_object, jit
from nascompiler.backends.target import Isa, parse_target

M, N, K = 23, 50, 37

NEON = Isa("neon", "aarch64", 4, 24, "cortex-a72", frozenset({"asimd"}))


def _problem(kernel: Gemm) -> tuple[dict[str, np.ndarray], list[int], np.ndarray]:
    """Arrays by pointer name, sizes, and the product expected."""
    generator = np.random.default_rng(0)
    x, weight = (generator.standard_normal(shape).astype(np.float32) for shape in ((M, K), (K, N)))
    bias = generator.standard_normal(N).astype(np.float32)
    panels = Panels.of(N, kernel.isa.lanes, kernel.vectors)
    assert panels is not None
    arrays = {"x": x, "weight": panels.pack(weight), "bias": bias, "result": np.zeros((M, N), np.float32)}
    return arrays, [M, N, K, panels.wide, panels.narrow, 2], np.maximum(x.astype(np.float64) @ weight + bias, 0)


def _arguments(arrays: dict[str, np.ndarray], sizes: list[int]) -> list[int]:
    return [*(a.ctypes.data for a in arrays.values()), *sizes]


@pytest.fixture(scope="module")
def kernel() -> Gemm:
    return Gemm(parse_target("cpu").isa, rows=4, vectors=2, activation=("relu", ()))


def test_an_object_has_one_symbol_and_needs_none(kernel: Gemm, tmp_path: Path) -> None:
    path = tmp_path / "kernel.o"
    path.write_bytes(emit_object(kernel))
    listed = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout.split("\n")
    symbols = [line.split()[-2:] for line in listed if line]
    assert [name for kind, name in symbols if kind == "T"] == [kernel.symbol]
    assert {name for kind, name in symbols if kind == "U"} <= {"_GLOBAL_OFFSET_TABLE_"}


def test_both_faces_compute_the_same_to_the_bit(kernel: Gemm) -> None:
    arrays, sizes, expected = _problem(kernel)
    function = load([kernel])[kernel.symbol]
    for chunk in (2, 0, 1):
        assert function(*_arguments(arrays, sizes), chunk, 3) == 0
    np.testing.assert_allclose(arrays["result"], expected, atol=1e-5)

    again, sizes, _ = _problem(kernel)
    jit(kernel)(*_arguments(again, sizes), 0, 1)
    np.testing.assert_array_equal(again["result"], arrays["result"])


def test_a_users_own_compiled_code_calls_a_kernel(kernel: Gemm) -> None:
    arrays, sizes, expected = _problem(kernel)
    product = jit(kernel)

    @njit
    def total(x, weight, bias, result, sizes):
        m, n, k, wide, narrow, block = sizes
        product(
            x.ctypes.data, weight.ctypes.data, bias.ctypes.data, result.ctypes.data, m, n, k, wide, narrow, block, 0, 1
        )
        return result.sum()

    np.testing.assert_allclose(total(*arrays.values(), tuple(sizes)), expected.sum(), rtol=1e-5)


def test_symbols_differ_with_every_field(kernel: Gemm) -> None:
    others = [replace(kernel, rows=3), replace(kernel, activation=("none", ())), replace(kernel, residual=True)]
    assert len({k.symbol for k in (kernel, *others)}) == 4
    assert kernel.symbol == replace(kernel).symbol
    assert kernel.symbol.isidentifier()


def test_code_for_another_processor_multiplies_by_element() -> None:
    assembly = emit_assembly(Gemm(NEON, rows=7, vectors=3, activation=("relu", ())))
    assert "fmla\tv" in assembly
    assert ".s[0]" in assembly
    called = {line.split()[1] for line in assembly.splitlines() if line.startswith("\tbl\t")}
    assert all("gemm_f32" in name for name in called), "a call of a library function"


def test_symbols_are_the_same_in_every_process(kernel: Gemm) -> None:
    script = (
        "from nascompiler.backends.kernels.gemm import Gemm; from nascompiler.backends.target import parse_target;"
        "print(Gemm(parse_target('cpu').isa, rows=4, vectors=2, activation=('relu', ())).symbol)"
    )
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == kernel.symbol
