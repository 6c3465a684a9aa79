"""The kernels that need nothing but vectors, compiled for aarch64 and run in an emulator, against the reference."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which

import numpy as np
import pytest

from nascompiler.backends.cpu.bound import Bound
from nascompiler.backends.cpu.implementation import Implementation, candidates
from nascompiler.backends.kernels.numba_object import emit_object
from nascompiler.backends.target import parse_target
from nascompiler.ir import DType, Graph
from tests.backends.cpu.implementations.test_quantized_depthwise import convolution
from tests.backends.cpu.implementations.test_quantized_elementwise import operation, pair, table
from tests.backends.cpu.implementations.test_quantized_pooling import pool
from tests.backends.cpu.implementations.test_quantized_product import Layer
from tests.backends.cpu.test_candidates import Case, cases
from tests.backends.replay import assert_close
from tests.backends.test_kernels import _fused

VARIANTS = 2
"""Of each call: the default and the next."""

pytestmark = pytest.mark.skipif(
    not which("qemu-aarch64") or not which("aarch64-linux-gnu-gcc"),
    reason="apt-get install qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
)

PREAMBLE = """
#include <stdio.h>
#include <stdlib.h>
static long read_file(const char *name, long size) {
  void *memory = aligned_alloc(64, (size + 63) / 64 * 64);
  FILE *file = fopen(name, "rb");
  if (file == NULL || fread(memory, 1, size, file) != (size_t)size) exit(2);
  fclose(file);
  return (long)memory;
}
static void write_file(const char *name, long memory, long size) {
  FILE *file = fopen(name, "wb");
  if (file == NULL || fwrite((void *)memory, 1, size, file) != (size_t)size || fclose(file) != 0) exit(3);
}
"""


def _graphs() -> list[Graph]:
    generator = np.random.default_rng(5)
    relu = {"activation": "relu"}
    return [
        _fused(generator, "cpu.conv2d", (1, 5, 7, 37), (1, 1, 37, 50), (50,), **relu),
        _fused(generator, "cpu.conv2d", (1, 3, 3, 16), (1, 1, 16, 6), (6,), residual=True),
        _fused(generator, "cpu.conv2d", (1, 9, 12, 3), (3, 3, 3, 10), (10,), strides=(2, 2), padding=(1, 0, 1, 2)),
        _fused(generator, "cpu.linear", (1, 40), (40, 70), (70,), **relu),
        _fused(generator, "cpu.depthwise_conv2d", (1, 9, 11, 22), (3, 3, 1, 22), (22,), padding=(1, 1, 1, 1), **relu),
        _fused(
            generator,
            "cpu.depthwise_conv2d",
            (1, 14, 14, 8),
            (5, 5, 1, 8),
            (8,),
            strides=(2, 2),
            padding=(1, 1, 2, 2),
            activation="hard_swish",
        ),
        # larger than a second-level cache: its lines of memory are touched first
        _fused(
            generator,
            "cpu.depthwise_conv2d",
            (1, 73, 70, 20),
            (3, 3, 1, 20),
            (20,),
            strides=(2, 2),
            padding=(1, 0, 1, 1),
        ),
        Layer(9, 13, 30).graph(0),
        Layer(1, 40, 10, x=DType.U8, result=DType.U8, activation="hard_swish").graph(1),
        convolution((1, 9, 10, 22), (3, 3), strides=(2, 2), padding=(1, 1, 1, 1), activation="relu"),
        convolution((1, 9, 10, 3), (3, 3), features=10, strides=(2, 2), padding=(0, 0, 1, 1), activation="hard_swish"),
        convolution((1, 9, 10, 3), (3, 3), features=32, strides=(2, 2), padding=(1, 1, 1, 1), zero_point=-128),
        convolution((1, 6, 7, 5), (2, 3), features=16, padding=(1, 0, 0, 1), dilation=(1, 2)),
        pair("qnn.add", ((1, 3, 3, 7), DType.I8), ((1, 3, 3, 7), DType.I8), DType.I8, "relu"),
        pair("qnn.mul", ((1, 5, 3, 24), DType.U8), ((1, 1, 1, 24), DType.I8), DType.I8, "none"),
        *(
            operation("qnn.requantize", ((1, 512), x), x_scale=0.5, x_zero_point=3, scale=1.0, zero_point=zero, dtype=x)
            for x, zero in ((DType.I8, 7), (DType.I8, -6), (DType.U8, 130))
        ),
        table((1, 3, 3, 7), DType.I8, DType.U8),
        *(Layer(23, k, 32, zero_point=zero, halves=True).graph(0) for k, zero in ((16, -128), (24, 7), (64, 2))),
        Layer(23, 36, 48, result=DType.U8, zero_point=0, halves=True, activation="relu6").graph(0),
        Layer(50, 67, 24, x=DType.U8, result=DType.I8).graph(2),
        Layer(17, 64, 37, activation="hard_swish").graph(3),
        Layer(2, 75, 12, x=DType.U8).graph(4),
        convolution((1, 9, 10, 40), (3, 3), padding=(1, 1, 1, 1), activation="relu6"),
        convolution((1, 8, 9, 17), (5, 5), strides=(2, 2), padding=(1, 1, 2, 2)),
        convolution((2, 7, 11, 35), (3, 3), padding=(1, 1, 1, 1), zero_point=-128, x=DType.U8),
        convolution((1, 9, 5, 16), (3, 3), strides=(2, 2), padding=(0, 2, 1, 3), activation="relu", zero_point=-128),
        convolution((1, 6, 6, 20), (4, 2), padding=(3, 1, 3, 1), result=DType.U8, activation="hard_swish"),
        convolution((1, 1, 3, 32), (2, 3), strides=(1, 2), padding=(1, 1, 1, 2), weight_scale=1e4),
        table((1, 5, 7, 9), DType.U8, DType.I8),
        pair("qnn.mul", ((1, 5, 3, 17), DType.U8), ((1, 5, 3, 17), DType.I8), DType.U8, "none"),
        pool("qnn.average_pool2d", 19, kernel=(3, 3), padding=(1, 1, 1, 1)),
    ]


def _source(calls: list[tuple[Implementation, Bound]], folder: Path) -> str:
    """A C program that makes every call with the arrays it finds in files, and writes the results to files."""
    body, declared = [], {}
    for number, (made, bound) in enumerate(calls):
        names = []
        for name, array in bound.arrays.items():
            array.tofile(folder / f"{number}.{name}")
            body.append(f'  long {name}{number} = read_file("{number}.{name}", {array.nbytes});')
            names.append(f"{name}{number}")
        symbol = made.kernel.symbol
        count = len(names) + len(made.sizes) + 2
        declared[symbol] = f"int {symbol}({', '.join(['long'] * count)});"
        values = ", ".join([*names, *(f"{size}L" for size in made.sizes.values())])
        body.append(f"  for (long c = 0; c < {made.chunks}; c++) {symbol}({values}, c, {made.chunks}L);")
        body.append(f'  write_file("{number}.out", result{number}, {bound.arrays["result"].nbytes});')
    return "\n".join([PREAMBLE, *declared.values(), "int main(void) {", *body, "  return 0;", "}", ""])


@pytest.mark.parametrize("core", ["cortex-a72", "cortex-a76", "neoverse-v1"])
def test_kernels_are_right_on_aarch64(tmp_path: Path, core: str) -> None:
    """Every core by kernels of its own, emulated with its features."""
    target = parse_target(f"arm:{core}")
    assert target.core is not None
    found: list[Case] = []
    calls = []
    for case in (case for graph in _graphs() for case in cases(graph)):
        for candidate in candidates(case.call, target)[:VARIANTS]:
            made = candidate.fitting(case.constants)
            calls.append((made, Bound(made, case.call, lambda *_: 0, case.operands, case.constants)))
            found.append(case)

    (tmp_path / "main.c").write_text(_source(calls, tmp_path))
    objects = {made.kernel.symbol: made.kernel for made, _ in calls}
    for symbol, kernel in objects.items():
        (tmp_path / f"{symbol}.o").write_bytes(emit_object(kernel))
    compiler = ["aarch64-linux-gnu-gcc", "-O1", "-static", "main.c", *(f"{s}.o" for s in objects), "-o", "program"]
    subprocess.run(compiler, cwd=tmp_path, check=True)
    subprocess.run(["qemu-aarch64", "-cpu", target.core.emulator.cpu, "./program"], cwd=tmp_path, check=True)

    for number, (case, (made, bound)) in enumerate(zip(found, calls, strict=True)):
        (expected,) = case.results
        result = np.fromfile(tmp_path / f"{number}.out", bound.arrays["result"].dtype).reshape(expected.shape)
        assert_close(result, expected, f"{case.label} by {made.variant}")
