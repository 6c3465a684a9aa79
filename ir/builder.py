"""Building nodes one after the other: `b = Builder(graph); y = b.nn.relu(x)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from nascompiler.ir.constant import Constant
from nascompiler.ir.graph import Graph, Node, Value
from nascompiler.ir.ops import OPS
from nascompiler.ir.types import DType, TensorType


class Dialect:
    """The ops of one dialect as functions: `builder.nn.conv2d(x, weight, strides=(2, 2))`."""

    def __init__(self, builder: Builder, name: str) -> None:
        self._builder, self._name = builder, name

    def __getattr__(self, op: str) -> Callable[..., Any]:
        return lambda *operands, **options: self._builder.op(f"{self._name}.{op}", *operands, **options)

    def __dir__(self) -> list[str]:
        return [name.partition(".")[2] for name in OPS if name.partition(".")[0] == self._name]


class Builder:
    """Adds nodes to a graph, at its end or before a given node.

    `origin` is stamped on every node made, for messages about it (an ONNX node's name, a cell's edge).
    """

    def __init__(self, graph: Graph | str = "main", *, before: Node | None = None, origin: str = "") -> None:
        self.graph = Graph(graph) if isinstance(graph, str) else graph
        self.before = before
        self.origin = origin
        self.nn = Dialect(self, "nn")
        self.qnn = Dialect(self, "qnn")
        self.arch = Dialect(self, "arch")

    def input(self, name: str, shape: Any, dtype: DType = DType.F32) -> Value:
        """An input of the graph; `shape` as in TensorType, or a whole TensorType."""
        return self.graph.add_input(name, shape if isinstance(shape, TensorType) else TensorType(shape, dtype))

    def constant(self, values: ArrayLike | Constant, name: str = "") -> Value:
        """A constant; see `Graph.constant`."""
        return self.graph.constant(values, name)

    def op(
        self, op: str, /, *operands: Value | None, name: str = "", names: tuple[str, ...] = (), **attributes: Any
    ) -> Any:
        """Make a node; returns its result, or a tuple when the op has several results.

        Optional operands at the end may be None. Raises ModelError when operands or attributes do not fit.
        """
        present = tuple(v for v in operands if v is not None)
        if operands[: len(present)] != present:
            raise ValueError(f"{op}: only the last operands may be None")
        node = self.graph.insert(
            op, present, attributes, before=self.before, names=names or ((name,) if name else ()), origin=self.origin
        )
        return node.results[0] if len(node.results) == 1 else node.results

    def outputs(self, **outputs: Value) -> Graph:
        """Set the outputs and return the finished graph."""
        self.graph.set_outputs(outputs)
        return self.graph
