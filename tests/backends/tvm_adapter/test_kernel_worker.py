"""The worker on a real call, with ways to compute it that do not compile or are wrong among the right ones."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nascompiler.backends.cpu import choice, implementation
from nascompiler.backends.cpu.implementation import Implementation
from nascompiler.backends.cpu.implementations.pointwise import gemm
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.target import Target, parse_target
from nascompiler.ir.builder import Builder
from nascompiler.passes import run_pipeline


def broken_ways(call: KernelCall, target: Target) -> list[Implementation]:
    right = gemm(call, target)[0]

    def wrong(operands: Any) -> Any:
        return {name: array * 2 for name, array in right.constants(operands).items()}

    def impossible(operands: Any) -> Any:
        raise ValueError("cannot pack")

    return [
        replace(right, variant="right"),
        replace(right, variant="wrong", constants=wrong),
        replace(right, variant="impossible", constants=impossible),
    ]


def test_variants_are_checked_before_they_are_timed(monkeypatch: pytest.MonkeyPatch):
    from nascompiler.backends.tvm_adapter.kernel_worker import Worker

    monkeypatch.setitem(implementation.IMPLEMENTATIONS, "cpu.conv2d", [broken_ways])
    builder = Builder("net")
    weight = builder.constant(np.random.default_rng(0).standard_normal((1, 1, 8, 16)).astype(np.float32))
    graph = builder.outputs(y=builder.nn.conv2d(builder.input("x", (1, 4, 4, 8)), weight))
    graph = run_pipeline(graph, "assign-kernels")
    wire = io.StringIO()
    (call,) = choice.calls_of(graph)
    Worker(graph, parse_target("cpu"), wire).measure(call, ["tvm"], 0.0)
    messages = [json.loads(line) for line in wire.getvalue().splitlines()]
    failed = {m["failed"]: (m["outcome"], m["detail"]) for m in messages if "failed" in m}
    assert failed["impossible"] == ("compile error", "ValueError: cannot pack")
    assert failed["wrong"][0] == "wrong result"
    assert "from the reference evaluation; accepted" in failed["wrong"][1]
    assert {row["variant"]: row["repeats"] > 0 for row in messages[-1]["rows"]} == {"right": True, "template": True}
    assert next(row["warm_ns"] for row in messages[-1]["rows"] if row["variant"] == "right") > 0
    assert {"at": "check", "variant": "wrong"} in messages
