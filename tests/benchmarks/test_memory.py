from __future__ import annotations

import runpy
from pathlib import Path

from nascompiler.ir.builder import Builder

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "memory.py"


def test_live_values_are_those_that_are_still_needed_and_views_are_their_source():
    builder = Builder("net")
    x = builder.input("x", (1, 4, 4, 2))  # 128 bytes, as are a and b
    a = builder.nn.relu(x)
    b = builder.nn.add(builder.nn.exp(a), a)  # a, what is added to it, and the sum
    y = builder.nn.relu(builder.nn.reshape(b, shape=(1, 32)))
    graph = builder.outputs(y=y)
    assert runpy.run_path(str(SCRIPT))["largest_live_bytes"](graph) == 3 * 128
