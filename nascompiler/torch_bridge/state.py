"""The constants of a graph as parameters and buffers of a module, under the names that they have in the graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from nascompiler.ir.cost import parameters
from nascompiler.ir.graph import Graph, Node, Value
from nascompiler.torch_bridge.lowering.registry import Permutation

BATCH_NORM_NAMES = {"weight": 1, "bias": 2, "running_mean": 3, "running_var": 4}
"""Tensor of torch's batch norm -> operand of nn.batch_norm."""


@dataclass(frozen=True)
class Tied:
    """A tensor of the module: attribute `name` of `owner`, a constant's values permuted by `permutation`."""

    owner: nn.Module
    name: str
    permutation: Permutation

    @property
    def tensor(self) -> Tensor:
        tensor: Tensor = getattr(self.owner, self.name)
        return tensor


@dataclass(frozen=True)
class Binding:
    """Operand `operand` of the graph's node number `node` is the tensor `tied`."""

    node: int
    operand: int
    tied: Tied


class State:
    """Registers constants in `root` as they are met.

    Dots in names make submodules: `features.0.weight` is found under that name in `root.state_dict()`.
    """

    def __init__(self, graph: Graph, root: nn.Module) -> None:
        self.root = root
        self.bindings: list[Binding] = []
        # Scales of weights are none of the network's parameters, but can be trained.
        scales = [n.operands[1] for n in graph.nodes if n.op.name == "qnn.quantize_per_axis"]
        self._trainable = {id(v.constant) for v in (*parameters(graph), *scales)}
        self._tied: dict[Value, Tied] = {}

    def is_trainable(self, value: Value) -> bool:
        """Whether a constant is a float parameter, by the rule that counts parameters."""
        return id(value.constant) in self._trainable and value.type.dtype.is_float

    def tie(self, node: Node, place: int, index: int, permutation: Permutation | None) -> Tied:
        """The tensor of a constant operand; a new one is kept in the permuted layout, an old one where it is."""
        value = node.operands[index]
        if value not in self._tied:
            self._register(value, value.name or default_name(node, index), permutation)
        return self._bind(value, place, index)

    def tie_output(self, value: Value) -> Tied:
        """The tensor of a constant that the graph returns."""
        if value not in self._tied:
            self._register(value, value.name or "output", None)
        return self._tied[value]

    def _register(self, value: Value, path: str, permutation: Permutation | None) -> None:
        tensor = tensor_of(value)
        order = permutation if permutation is not None else tuple(range(tensor.ndim))
        tensor = tensor.permute(order).contiguous()
        owner, name = self._free_place(path)
        if self.is_trainable(value):
            owner.register_parameter(name, nn.Parameter(tensor))
        else:
            owner.register_buffer(name, tensor, persistent=False)
        self._tied[value] = Tied(owner, name, order)

    def tie_batch_norm(self, node: Node, place: int, module: nn.Module) -> nn.Module:
        """Register a batch norm module with the constants of `node`; statistics belong to it alone."""
        owner, name = self._free_place(self._batch_norm_name(node))
        owner.add_module(name, module)
        for name, index in BATCH_NORM_NAMES.items():
            value = node.operands[index]
            if index >= 3:
                setattr(module, name, tensor_of(value))
                self.bindings.append(Binding(place, index, Tied(module, name, (0,))))
                continue
            if value in self._tied:
                setattr(module, name, self._tied[value].tensor)
            else:
                setattr(module, name, nn.Parameter(tensor_of(value)))
                self._tied[value] = Tied(module, name, (0,))
            self._bind(value, place, index)
        return module

    def add_module(self, node: Node, module: nn.Module) -> nn.Module:
        """Register a module without constants under the name of the node's result."""
        owner, name = self._free_place(node.result.name or node.op.name.partition(".")[2])
        owner.add_module(name, module)
        return module

    def _bind(self, value: Value, place: int, index: int) -> Tied:
        tied = self._tied[value]
        if self.is_trainable(value):
            self.bindings.append(Binding(place, index, tied))
        return tied

    def _batch_norm_name(self, node: Node) -> str:
        """What the names of the four constants have in common, else that of the node's result."""
        names = {node.operands[index].name.rpartition(".")[0] for index in BATCH_NORM_NAMES.values()}
        common = names.pop() if len(names) == 1 else ""
        return common or node.result.name or "batch_norm"

    def _free_place(self, path: str) -> tuple[nn.Module, str]:
        """The module and the attribute for a dotted path; with a number appended where that is taken."""
        found = self._descend(path)
        flat, count = path.replace(".", "_"), 1
        while found is None:
            count += 1
            found = self._descend(f"{flat}_{count}")
        return found

    def _descend(self, path: str) -> tuple[nn.Module, str] | None:
        *outer, name = path.split(".")
        owner = self.root
        for part in outer:
            inner = owner._modules.get(part)
            if inner is None:
                if not part or hasattr(owner, part):
                    return None
                inner = nn.Module()
                owner.add_module(part, inner)
            owner = inner
        return None if not name or hasattr(owner, name) else (owner, name)


def default_name(node: Node, index: int) -> str:
    """A name for a constant that has none."""
    declared = node.op.operand_at(index)
    operand = declared.name if declared is not None else str(index)
    return f"{node.results[0].name or node.op.name.partition('.')[2]}.{operand}"


def tensor_of(value: Value) -> Tensor:
    """A copy of a constant's values; raises ModelError when they are not loaded."""
    assert value.constant is not None
    return torch.from_numpy(np.array(value.constant.array))
