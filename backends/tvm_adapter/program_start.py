"""What it takes to start a program and to come back from it, as a part of each inference beside the kernel calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from nascompiler.backends.artifact import load_artifact
from nascompiler.backends.compile import compile_graph
from nascompiler.backends.target import Target
from nascompiler.ir.builder import Builder


def program_start(target: Target, folder: Path) -> Callable[[], tuple[float, ...]]:
    """A program of one small call, compiled to `folder`: each turn starts it twice and returns the second time, ns."""
    builder = Builder("start")
    graph = builder.outputs(y=builder.nn.relu(builder.input("x", (1, 1, 1, 16))))
    compile_graph(graph, target, folder)
    artifact = load_artifact(folder, threads=1)

    def turn() -> tuple[float, ...]:
        artifact.step()
        start = time.perf_counter_ns()
        artifact.step()
        return (float(time.perf_counter_ns() - start),)

    return turn
