"""Cells and stacks of cells (NASNet, arXiv:1707.07012, sections 3.1 and 4; details by the released code)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from nascompiler.ir import Graph, ModelError, Node, Value
from nascompiler.passes.expansion.cell_ops import CELL_OPS, match_previous, match_unused, relu_conv_bn
from nascompiler.passes.expansion.context import Expansion, image_size

DROP_PATH_KEEP = "drop_path_keep"
"""The attribute of an architecture that says with which probability its last cell keeps a path; see `keep_of`."""

DROP_PATH_STEPS = "drop_path_steps"
"""The attribute that says over how many steps of training it falls to that."""

CELL_USES = ("arch.cell", "arch.stack")
"""The ops that apply cells."""

States = list[Value]


def expand_cell(expansion: Expansion, node: Node, current: Value, previous: Value | None) -> Value:
    """One application of a cell."""
    return Application(expansion, node, node["stride"]).output(current, previous)


def expand_stack(expansion: Expansion, node: Node, current: Value, previous: Value | None) -> tuple[Value, Value]:
    """Applications of a cell one after the other, each to the outputs of the two before it."""
    before = current
    for index in range(node["repeats"]):
        with expansion.scope(str(index + 1)):
            before = current
            current = Application(expansion, node, 1).output(current, previous)
            previous = before
    return current, before


@dataclass
class Application:
    """A cell as it is applied at one place: `filters` channels in each hidden state, edges by name."""

    expansion: Expansion
    node: Node
    stride: int
    cell: Graph = field(init=False)
    filters: int = field(init=False)
    name: str = field(init=False)
    """Name of the cell and how many times it has been applied before: `normal[3]`."""
    keep: float = field(init=False)

    def __post_init__(self) -> None:
        applied = self.expansion.applied
        symbol = self.node["cell"].name
        self.cell = self.expansion.cells[symbol]
        if len(self.cell.inputs) != 2 or len(self.cell.outputs) != 1:
            raise ModelError(f"cell @{symbol}: a cell has two inputs, current and previous, and one output")
        self.filters = self.node["filters"]
        self.name = f"{symbol}[{applied[symbol]}]"
        applied[symbol] += 1
        self.keep = keep_of(self.expansion)

    def output(self, current: Value, previous: Value | None) -> Value:
        """The cell's output from the current and the previous [N, H, W, C]."""
        if self.stride > 1 and min(image_size(current)) < 2:
            height, width = image_size(current)
            raise ModelError(
                f"stride is {self.stride}, but an image of {height}x{width} cannot be halved; use a higher resolution"
            )
        states = dict(zip(self.cell.inputs, self._inputs(current, previous), strict=True))
        used: set[Value] = set()
        block = 0
        for node in self.cell.nodes:
            if node.op.name == "arch.combine":
                left, right = self._operand(node, "left", block), self._operand(node, "right", block)
                used |= {left, right}
                states[node.result] = self._combined(node, states, left, right, f"b{block}")
                block += 1
            elif node.op.name == "arch.concat":
                states[node.result] = self._concatenated(node, states, used)
            else:
                raise ModelError(f"cell @{self.cell.name}: {node!r}; accepted: arch.combine and arch.concat")
        return states[self.cell.outputs[0]]

    def _inputs(self, current: Value, previous: Value | None) -> States:
        """States 0 and 1: the current output projected, the previous one matched to it, itself where there is none."""
        with self._edge("current"):
            state = relu_conv_bn(self.expansion, current, self.filters)
        if previous is None:
            return [state, current]
        with self._edge("previous"):
            return [state, match_previous(self.expansion, previous, self.filters, image_size(current))]

    def _operand(self, node: Node, side: str, block: int) -> Value:
        index: int = node[side]
        if index >= len(node.operands):
            raise ModelError(
                f"cell @{self.cell.name}, block {block}: {side} is {index}; accepted: 0 to {len(node.operands) - 1}"
            )
        return node.operands[index]

    def _combined(self, node: Node, states: dict[Value, Value], left: Value, right: Value, block: str) -> Value:
        sides = [
            self._operation(node[f"{side}_op"], states[value], value in self.cell.inputs, f"{block}.{side}")
            for side, value in (("left", left), ("right", right))
        ]
        with self._edge(block):
            name = self.expansion.named(node["combiner"])
            if node["combiner"] == "add":
                return self._value("add", sides, name)
            return self._value("concat", sides, name, axis=3)

    def _operation(self, op: str, x: Value, is_input: bool, edge: str) -> Value:
        """`op` on x, with the stride only on the cell's inputs; all but the identity may be dropped in training."""
        with self._edge(edge):
            y = CELL_OPS[op](self.expansion, x, self.filters, self.stride if is_input else 1)
            if op == "identity" or self.keep >= 1:
                return y
            return self._value("drop_path", [y], self.expansion.named("drop_path"), keep_probability=self.keep)

    def _concatenated(self, node: Node, states: dict[Value, Value], used: set[Value]) -> Value:
        """The states of the mask, or without one those not used; the cell's inputs brought to the size of the rest."""
        mask: Sequence[int] = node["mask"]
        if any(index >= len(node.operands) for index in mask):
            raise ModelError(
                f"cell @{self.cell.name}: mask is {list(mask)}; accepted: indices from 0 to {len(node.operands) - 1}"
            )
        chosen = [node.operands[i] for i in sorted(set(mask))] or [v for v in node.operands if v not in used]
        if not chosen:
            raise ModelError(f"cell @{self.cell.name}: every state is used, none is left for its output; give a mask")
        size = image_size(states[node.operands[-1]])
        parts: States = []
        for value in chosen:
            part = states[value]
            if value in self.cell.inputs:
                with self._edge(f"concat.{self.cell.inputs.index(value)}"):
                    part = match_unused(self.expansion, part, self.filters, size)
            parts.append(part)
        if len(parts) == 1:
            return parts[0]
        with self._edge("concat"):
            return self._value("concat", parts, self.expansion.named(""), axis=3)

    def _value(self, op: str, operands: States, name: str, **attributes: Any) -> Value:
        result: Value = self.expansion.builder.op(f"nn.{op}", *operands, name=name, **attributes)
        return result

    @contextmanager
    def _edge(self, edge: str) -> Iterator[None]:
        """Nodes made inside come from this edge of the cell."""
        builder = self.expansion.builder
        outer, builder.origin = builder.origin, f"{self.name}.{edge}"
        try:
            with self.expansion.scope(edge):
                yield
        finally:
            builder.origin = outer


def keep_of(expansion: Expansion) -> float:
    """With which probability the cell applied last keeps each path at the end of training.

    ScheduledDropPath lets it fall linearly from 1 at the input of the network to the attribute DROP_PATH_KEEP in its
    last cell, cells of stems counted (section 4.1 names the fall over time only, the released code has both).
    """
    graph = expansion.builder.graph
    keep = graph.attributes.get(DROP_PATH_KEEP, 1.0)
    if not isinstance(keep, float) or not 0 < keep <= 1:
        raise ModelError(f"{DROP_PATH_KEEP} is {keep!r}; accepted: numbers above 0 and up to 1")
    if keep == 1:
        return 1.0
    return 1 - expansion.applied.total() / _total(expansion) * (1 - keep)


def _total(expansion: Expansion) -> int:
    """How many applications of cells the network has; found at the first one, before any node is gone."""
    if not expansion.total_applications:
        for node in expansion.builder.graph.nodes:
            if node.op.name in CELL_USES:
                expansion.total_applications += node["repeats"] if node.op.name == "arch.stack" else 1
    return expansion.total_applications


EXPANDERS: dict[str, Callable[..., Value | tuple[Value, ...]]] = {"arch.cell": expand_cell, "arch.stack": expand_stack}
