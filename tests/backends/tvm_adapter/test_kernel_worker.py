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
from nascompiler.backends.measure.kernels import PROGRAM_START
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


def test_calls_are_timed_together_with_the_start_of_a_program():
    from nascompiler.backends.tvm_adapter.kernel_worker import Worker

    builder = Builder("net")
    generator = np.random.default_rng(0)
    wide = builder.constant(generator.standard_normal((1, 1, 64, 256)).astype(np.float32))
    narrow = builder.constant(generator.standard_normal((1, 1, 64, 8)).astype(np.float32))
    x = builder.input("x", (1, 16, 16, 64))
    graph = run_pipeline(
        builder.outputs(y=builder.nn.conv2d(x, wide), z=builder.nn.conv2d(x, narrow)), "assign-kernels"
    )
    wire = io.StringIO()
    few, many = sorted(choice.calls_of(graph), key=lambda key: "64,256" in key)
    Worker(graph, parse_target("cpu"), wire).measure_together({few: "template", many: "template"}, 0.0)
    times = json.loads(wire.getvalue().splitlines()[-1])["times"]
    assert set(times) == {PROGRAM_START, few, many}
    assert all(time["median_ns"] > 0 and time["repeats"] >= 15 for time in times.values())
    assert times[few]["median_ns"] < times[many]["median_ns"]
    assert times[few]["warm_ns"] > 0
