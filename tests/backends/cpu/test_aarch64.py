"""The kernels that need nothing but vectors, compiled for aarch64 and run in an emulator, against the reference."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which

import numpy as np
import pytest

from nascompiler.backends.cpu.bound import Bound
from nascompiler.backends.cpu.implementation import Implementation, candidates
from nascompiler.backends.host import Host
from nascompiler.backends.kernels.numba_object import emit_object
from nascompiler.backends.target import parse_target
from nascompiler.ir import DType, Graph
from tests.backends.cpu.implementations.test_quantized_depthwise import convolution
from tests.backends.cpu.implementations.test_quantized_elementwise import pair, table
from tests.backends.cpu.implementations.test_quantized_pooling import pool
from tests.backends.cpu.implementations.test_quantized_product import Layer
from tests.backends.cpu.test_candidates import Case, cases
from tests.backends.replay import assert_close
from tests.backends.test_kernels import _fused

CORTEX_A72 = Host("aarch64", "Cortex-A72", frozenset({"asimd"}), 4, 32 << 10, 1 << 20)

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
        Layer(9, 13, 30).graph(0),
        Layer(1, 40, 10, x=DType.U8, result=DType.U8, activation="hard_swish").graph(1),
        convolution((1, 9, 10, 22), (3, 3), strides=(2, 2), padding=(1, 1, 1, 1), activation="relu"),
        convolution((1, 9, 10, 3), (3, 3), features=10, strides=(2, 2), padding=(0, 0, 1, 1), activation="hard_swish"),
        pair("qnn.add", ((1, 3, 3, 7), DType.I8), ((1, 3, 3, 7), DType.I8), DType.I8, "relu"),
        table((1, 3, 3, 7), DType.I8, DType.U8),
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


def test_kernels_are_right_on_aarch64(tmp_path: Path) -> None:
    target = parse_target("cpu{isa=neon}", host=CORTEX_A72)
    found: list[Case] = [case for graph in _graphs() for case in cases(graph)]
    calls = []
    for case in found:
        made = candidates(case.call, target)[0]
        calls.append((made, Bound(made, case.call, lambda *_: 0, case.operands, case.constants)))

    (tmp_path / "main.c").write_text(_source(calls, tmp_path))
    objects = {made.kernel.symbol: made.kernel for made, _ in calls}
    for symbol, kernel in objects.items():
        (tmp_path / f"{symbol}.o").write_bytes(emit_object(kernel))
    compiler = ["aarch64-linux-gnu-gcc", "-O1", "-static", "main.c", *(f"{s}.o" for s in objects), "-o", "program"]
    subprocess.run(compiler, cwd=tmp_path, check=True)
    subprocess.run(["qemu-aarch64", "-cpu", "cortex-a72", "./program"], cwd=tmp_path, check=True)

    for number, (case, (made, bound)) in enumerate(zip(found, calls, strict=True)):
        (expected,) = case.results
        result = np.fromfile(tmp_path / f"{number}.out", bound.arrays["result"].dtype).reshape(expected.shape)
        assert_close(result, expected, f"{case.label} by {made.variant}")
