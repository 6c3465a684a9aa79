"""Whether the programs of a quantised network compute what the reference does, to the last bit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nascompiler.backends.tpu.compiler.best import best_program
from nascompiler.backends.tpu.compiler.compile import emit_program
from nascompiler.backends.tpu.compiler.mapping import Mapping as Layout
from nascompiler.backends.tpu.machine import Machine
from nascompiler.backends.tpu.placement import assign, places
from nascompiler.backends.tpu.region import extract
from nascompiler.backends.tpu.running import LoadedRegion
from nascompiler.ir.evaluate import evaluate
from nascompiler.ir.graph import Graph, Value
from nascompiler.ir.types import Array


def differing_results(
    graph: Graph,
    machine: Machine,
    inputs: Mapping[str, Array],
    *,
    mappings: Mapping[str, Layout] | None = None,
) -> list[str]:
    """Run every region on what the reference gives it, and say which results differ from the reference, and by how
    much. `mappings` are those of layers that are decided."""
    graph = graph.clone()
    assign(graph, places(graph, machine), {})
    regions = extract(graph, str(machine))
    wanted = {value for region in regions for value in (*region.inputs, *region.outputs)}
    seen: dict[Value, Array] = {value: np.asarray(inputs[value.name]) for value in graph.inputs}

    def observe(value: Value, array: Array) -> None:
        if value in wanted:
            seen[value] = array

    evaluate(graph, inputs, observe=observe)
    faults = []
    for region in regions:
        plan = best_program(region.network, machine, mappings=mappings).plan
        program = emit_program(region.network, machine, plan)
        results = LoadedRegion(region.symbol, program, machine).run([seen[v] for v in region.inputs])
        for value, got in zip(region.outputs, results, strict=True):
            expected = np.asarray(seen[value])
            different = np.not_equal(got.reshape(expected.shape), expected)
            if different.any():
                faults.append(f"{value!r} of {region.symbol}: {int(different.sum())} of {different.size} differ")
    return faults
