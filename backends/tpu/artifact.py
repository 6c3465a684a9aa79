"""What an artifact has for the TPU: a program for each region, its weight memory, and the placement table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nascompiler.backends.cpu.choice import Choices
from nascompiler.backends.cpu.placement import Placement, placement_table
from nascompiler.backends.tpu.compiler.best import best_program
from nascompiler.backends.tpu.compiler.compile import emit_program
from nascompiler.backends.tpu.dialect import original_name
from nascompiler.backends.tpu.isa import Program
from nascompiler.backends.tpu.machine import Machine
from nascompiler.backends.tpu.region import Region
from nascompiler.backends.tpu.target import TpuTarget
from nascompiler.ir.cost import node_cost
from nascompiler.ir.errors import ModelError
from nascompiler.ir.graph import Graph
from nascompiler.ir.labels import node_labels
from nascompiler.ir.types import Array

PROGRAM, WEIGHT_MEMORY = ".tpu", ".weights"
"""Endings of a region's files: the program, and what its weight memory holds."""


@dataclass
class RegionBuild:
    """A region that is compiled when TVM asks for it. The program is there afterwards."""

    region: Region
    machine: Machine
    program: Program | None = None

    def compile(self) -> None:
        """Compile it, values and all."""
        network = self.region.network
        self.program = emit_program(network, self.machine, best_program(network, self.machine).plan)

    def write(self, folder: Path) -> None:
        """Write program and weight memory."""
        assert self.program is not None
        (folder / f"{self.region.symbol}{PROGRAM}").write_bytes(self.program.to_bytes())
        (folder / f"{self.region.symbol}{WEIGHT_MEMORY}").write_bytes(self.program.weights.tobytes())


def read_program(symbol: str, files: Mapping[str, bytes]) -> Program:
    """The program of a region from the contents of its files by name; raises ModelError for what is none."""
    try:
        program, weights = files[f"{symbol}{PROGRAM}"], files[f"{symbol}{WEIGHT_MEMORY}"]
    except KeyError as error:
        raise ModelError(f"the artifact lacks the file {error.args[0]}") from None
    return Program.from_bytes(program, np.frombuffer(weights, np.uint8))


def tpu_placement(
    assigned: Graph, host: Graph, target: TpuTarget, choices: Choices, regions: Sequence[Region]
) -> list[Placement]:
    """The placement table: the nodes of the regions as they were assigned, then what the host computes, by kernel."""
    labels = node_labels(assigned)
    why: dict[str, str] = {}
    rows = []
    for node, label in labels.items():
        name = original_name(node.op) if node.op.dialect in ("tpu", "host") else node.op.name
        if node.op.dialect == "tpu":
            symbol = regions[node["region"]].symbol
            kernel = f"{symbol}: {node['mapping']}" if node["mapping"] else symbol
            rows.append(Placement(label, name, str(target), kernel, node["reason"]))
        elif node.op.dialect == "host":
            why[label] = node["reason"]
    for row in placement_table(host, target.host_target, choices):
        if row.op != "tpu.region":
            reason = f"{why[row.node]}; {row.reason}" if row.node in why else row.reason
            rows.append(Placement(row.node, row.op, "host cpu", row.kernel, reason))
    return rows


@dataclass(frozen=True)
class RegionFigures:
    """What a region is to the manifest: labels and ops of its nodes, multiply-adds, bytes."""

    nodes: tuple[str, ...]
    ops: tuple[str, ...]
    macs: int
    bytes: int
    weight_bytes: int


def figures_of(region: Region) -> RegionFigures:
    """The sums over a region's nodes; of bytes, those that cross its edge, and its weights."""
    costs = [node_cost(node) for node in region.graph.nodes]
    weights = sum(v.type.bytes for node in region.graph.nodes for v in node.operands if v.is_constant)
    edge = sum(v.type.bytes for v in (*region.inputs, *region.outputs))
    macs = sum(cost.macs or 0 for cost in costs)
    return RegionFigures(region.labels, region.ops, macs, edge + weights, weights)


def inputs_by_name(program: Program, arrays: Sequence[Array]) -> dict[str, Array]:
    """Inputs of a program in their order, by the names it gives them."""
    return {
        name: np.ascontiguousarray(array).reshape(tensor.shape)
        for (name, tensor), array in zip(program.inputs.items(), arrays, strict=True)
    }
