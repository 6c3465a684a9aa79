"""From a graph to a program: slots for values, layouts of images, and what has no form in torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from nascompiler.image_layouts import TO_CHANNELS_FIRST, TO_CHANNELS_LAST
from nascompiler.ir.errors import ModelError
from nascompiler.ir.evaluate import decomposition
from nascompiler.ir.graph import Graph, Node, Value
from nascompiler.ir.types import DType
from nascompiler.torch_bridge.dtypes import torch_dtype
from nascompiler.torch_bridge.errors import Refusal, UnsupportedOp, UnsupportedOpsError
from nascompiler.torch_bridge.lowering.registry import Layout, Permutation
from nascompiler.torch_bridge.lowering.table import LOWERINGS
from nascompiler.torch_bridge.program import ABSENT, Program, Step, with_frees
from nascompiler.torch_bridge.state import State, Tied
from nascompiler.torch_bridge.stateful import DropPath, batch_norm

_HINTS = {
    "arch": "; expand-cells makes nn ops of it",
    "qnn": "; of integers it has quantize and dequantize only, so take the fake-quantised graph",
}
_CARRIED = (DType.I8, DType.U8, DType.I16, DType.U16)
"""Integers that may be carried as floats: see `lowering.quantized`."""
_FIRST_AXES = (0, 2, 3, 1)
"""Axis of NHWC -> the same axis of NCHW."""


class Planner:
    """Plans a graph node by node.

    Images (values of four dimensions) exist as NHWC or NCHW, whichever their producer made; a permuted view is added
    once where a user needs the other. With `state`, constants become its tensors; without it (inside a decomposition)
    there are none.
    """

    def __init__(
        self, graph: Graph, state: State, momentum: float | None, modules: Mapping[Node, nn.Module] | None = None
    ) -> None:
        self.graph = graph
        self.state = state
        self.momentum = momentum
        self.modules = modules or {}
        self.steps: list[Step] = []
        self.loaded: dict[Tied, int] = {}
        """Tensor of the module -> its slot."""
        self._slots = ABSENT + 1
        self._forms: dict[tuple[Value, bool], int] = {}
        """(value, whether channels first) -> its slot."""
        self._faults: list[UnsupportedOp] = []

    def plan(self) -> Program:
        """The program; its inputs are the graph's, then the slots of `loaded`. Raises UnsupportedOpsError."""
        inputs = tuple(self._new(value, first=False) for value in self.graph.inputs)
        for place, node in enumerate(self.graph.nodes):
            try:
                self._add(node, place)
            except (Refusal, ModelError) as error:
                name = node.results[0].name if node.results else ""
                self._faults.append(UnsupportedOp(f"%{name or '?'}", node.op.name, str(error)))
                for value in node.results:
                    self._new(value, first=False)
        if self._faults:
            raise UnsupportedOpsError(f"graph {self.graph.name!r} cannot become a torch module", self._faults)
        outputs = tuple(self._output(value) for value in self.graph.outputs)
        slots = (*inputs, *self.loaded.values())
        return Program(self._slots, slots, with_frees(self.steps, outputs), outputs)

    # -- slots

    def _slot(self) -> int:
        self._slots += 1
        return self._slots - 1

    def _new(self, value: Value, *, first: bool) -> int:
        return self._forms.setdefault((value, first), self._slot())

    def _has(self, value: Value, *, first: bool) -> bool:
        return (value, first) in self._forms

    def _read(self, value: Value, *, first: bool) -> int:
        """The slot of a value that a node made or an input, in the layout wanted."""
        if not self._has(value, first=first):
            self._forms[value, first] = self._permuted(
                self._forms[value, not first], TO_CHANNELS_FIRST if first else TO_CHANNELS_LAST
            )
        return self._forms[value, first]

    def _permuted(self, slot: int, permutation: Permutation) -> int:
        result = self._slot()
        self.steps.append(Step("nn.transpose", (slot,), (result,), {"permutation": permutation}))
        return result

    def _cast(self, slot: int, value: Value) -> int:
        result = self._slot()
        self.steps.append(Step("nn.cast", (slot,), (result,), {"to": value.type.dtype}))
        return result

    def _constant(self, tied: Tied, wanted: Permutation | None) -> int:
        slot = self.loaded.setdefault(tied, self._slot())
        identity = tuple(range(len(tied.permutation)))
        order = tuple(tied.permutation.index(axis) for axis in (wanted or identity))
        return slot if order == identity else self._permuted(slot, order)

    def _output(self, value: Value) -> int:
        if not value.is_constant:
            slot = self._read(value, first=False)
            return self._cast(slot, value) if value.type.dtype in _CARRIED else slot
        return self._constant(self.state.tie_output(value), None)

    # -- nodes

    def _add(self, node: Node, place: int) -> None:
        if node.op.is_open(node.attributes):
            raise Refusal("it waits for a choice; close it with decide")
        name = node.op.name
        if node in self.modules:
            self._add_follower(node, place, self.modules[node])
        elif name == "nn.batch_norm" and all(v.is_constant for v in node.operands[1:]):
            self._add_batch_norm(node, place)
        elif name == "nn.dropout":
            self._add_follower(node, place, nn.Dropout(node["rate"]))
        elif name == "nn.drop_path":
            self._add_follower(node, place, DropPath(node["keep_probability"]))
        elif name in LOWERINGS:
            self._add_lowered(node, place)
        elif node.op.is_composite:
            self._add_composite(node, place)
        else:
            hint = _HINTS.get(node.op.dialect, "")
            raise Refusal(f"torch has no form of this op{hint}")

    def _add_lowered(self, node: Node, place: int) -> None:
        lowering = LOWERINGS[node.op.name]
        attributes: dict[str, Any] = dict(node.attributes) if lowering.prepare is None else lowering.prepare(node)
        first = lowering.layout is Layout.CHANNELS_FIRST or (
            lowering.layout is Layout.FOLLOW and self._prefers_first(node)
        )
        if first and lowering.layout is Layout.FOLLOW and "axis" in attributes:
            attributes["axis"] = _FIRST_AXES[attributes["axis"] % 4]
        operands = []
        for index in range(len(node.operands)):
            is_image = first and (index == 0 or lowering.layout is Layout.FOLLOW)
            operands.append(self._operand(node, place, index, first=is_image, wanted=lowering.weights.get(index)))
        operands += [ABSENT] * (len(node.op.padded(node.operands)) - len(operands))
        self._append(node, tuple(operands), attributes, first=first)

    def _operand(self, node: Node, place: int, index: int, *, first: bool, wanted: Permutation | None) -> int:
        value = node.operands[index]
        if value.is_constant:
            if first and value.type.rank == 4:
                wanted = TO_CHANNELS_FIRST
            return self._constant(self.state.tie(node, place, index, wanted), wanted)
        if first and value.type.rank == 4:
            return self._read(value, first=True)
        slot = self._read(value, first=False)
        return slot if wanted is None else self._permuted(slot, wanted)

    def _prefers_first(self, node: Node) -> bool:
        """Whether an op that takes either layout takes NCHW: when it can, and an operand exists only so."""
        if any(value.type.rank != 4 for value in node.results):
            return False
        if any(v.type.rank != 4 and not (v.type.is_static and v.type.size == 1) for v in node.operands):
            return False
        made = [v for v in node.operands if not v.is_constant and v.type.rank == 4]
        return any(not self._has(v, first=False) for v in made)

    def _append(self, node: Node, operands: tuple[int, ...], attributes: dict[str, Any], **how: Any) -> None:
        first = how.pop("first", False)
        results = tuple(self._new(value, first=first) for value in node.results)
        self.steps.append(Step(node.op.name, operands, results, attributes, **how))

    def _add_follower(self, node: Node, place: int, module: nn.Module) -> None:
        """A module of the first operand that takes any layout."""
        first = self._prefers_first(node)
        slot = self._operand(node, place, 0, first=first, wanted=None)
        self._append(node, (slot,), {}, first=first, module=self.state.add_module(node, module))

    def _add_batch_norm(self, node: Node, place: int) -> None:
        """torch's module takes channels as axis 1."""
        x = node.operands[0]
        rank = x.type.rank or 0
        if not 2 <= rank <= 5:
            raise Refusal(f"batch norm of {x.type}; torch's has 2 to 5 dimensions")
        axis = node["axis"] % rank
        if axis == 0:
            raise Refusal("batch norm along axis 0, where torch has the batch")
        dtype = torch_dtype(x.type.dtype)
        channels = node.operands[1].type.static_shape[0]
        module = batch_norm(rank, channels, epsilon=node["epsilon"], momentum=self.momentum, dtype=dtype)
        self.state.tie_batch_norm(node, place, module)
        first = rank == 4 and axis == 3
        slot = self._operand(node, place, 0, first=first, wanted=None)
        if first or axis == 1:
            self._append(node, (slot,), {}, first=first, module=module)
            return
        to_front = (0, axis, *(a for a in range(1, rank) if a != axis))
        moved = self._permuted(slot, to_front)
        made = self._slot()
        self.steps.append(Step(node.op.name, (moved,), (made,), {}, module=module))
        back = self._permuted(made, tuple(to_front.index(a) for a in range(rank)))
        self._forms[node.result, False] = back

    def _add_composite(self, node: Node, place: int) -> None:
        """By its decomposition for the types in the graph."""
        graph = decomposition(node.op, tuple(v.type for v in node.operands), tuple(node.attributes.items()))
        inner = Planner(graph, State(graph, nn.Module()), self.momentum)
        body = inner.plan()
        if inner.loaded:
            raise Refusal("its decomposition has constants of its own")
        operands = tuple(
            self._operand(node, place, index, first=False, wanted=None) for index in range(len(node.operands))
        )
        self._append(node, operands, {}, body=body)
