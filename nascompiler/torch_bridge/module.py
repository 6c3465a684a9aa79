"""A graph as a trainable `torch.nn.Module`, and the trained weights back into a graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nascompiler.ir.errors import ModelError
from nascompiler.ir.graph import Graph, Node, Value
from nascompiler.ir.types import Array
from nascompiler.torch_bridge.dtypes import torch_dtype
from nascompiler.torch_bridge.errors import TorchError
from nascompiler.torch_bridge.planning import Planner
from nascompiler.torch_bridge.state import Binding, State
from nascompiler.torch_bridge.stateful import set_drop_path_progress


def to_module(
    graph: Graph, *, momentum: float | None = 0.1, modules: Mapping[Node, nn.Module] | None = None
) -> GraphModule:
    """A module that computes what an `nn` graph, fake-quantised or not, does, in training mode as new modules are.

    Inputs and outputs have the graph's names, order, layouts and element types; leading dimensions that the graph only
    passes on may be of any size. Float constants that count as parameters are `nn.Parameter`s, under their names in
    the graph (dots make submodules) and in torch's layouts: convolution weights OIHW, those of fully connected layers
    [outputs, inputs]. Other constants are buffers outside the state dict. A constant used several times is one tensor.

    Batch norm is torch's own module with the epsilon of its node and this `momentum`, the weight of the newest batch
    in the running statistics (TensorFlow's decay d is 1 - d here; None averages over all batches). Dropout and
    drop-path act in training mode only.

    Nodes in `modules` are run by the module given there, which takes their first operand in the graph's layout or, if
    it is an image, as NCHW. Fake quantisation passes gradients: see `lowering.quantized`.

    Raises UnsupportedOpsError listing every node that has no form in torch, ModelError when weights are not loaded.
    """
    return GraphModule(graph, momentum=momentum, modules=modules)


def from_module(graph: Graph, module: nn.Module) -> Graph:
    """A copy of the graph with the parameters and batch-norm statistics of the module that `to_module` made of it.

    The structure is the graph's; only the constants are others. A constant that the graph uses as several things that
    were trained apart (as a bias and as a mean) becomes several. Raises TorchError when the module is of another graph.
    """
    if not isinstance(module, GraphModule):
        raise TorchError(f"{type(module).__name__} was not made by to_module; import_torch imports other modules")
    copy = graph.clone()
    nodes = list(copy.nodes)
    if tuple(node.op.name for node in nodes) != module.ops:
        raise TorchError(f"the module was made of another graph than {graph.name!r}: their nodes differ")
    made: dict[tuple[int, str, Value], Value] = {}
    for binding in module.bindings:
        node = nodes[binding.node]
        old = node.operands[binding.operand]
        key = (id(binding.tied.owner), binding.tied.name, old)
        if key not in made:
            array = _array(binding, old)
            made[key] = copy.constant(array, old.name)
        copy.set_operand(node, binding.operand, made[key])
    trained = {old: new for (_, _, old), new in made.items()}
    named = zip(copy.output_names, copy.outputs, strict=True)
    copy.set_outputs({name: trained.get(value, value) for name, value in named})
    return copy


def _array(binding: Binding, old: Value) -> Array:
    """The tensor of a binding in the layout and element type of the constant it replaces."""
    tied = binding.tied
    tensor = tied.tensor.detach().to("cpu", torch_dtype(old.type.dtype))
    array: Array = tensor.permute([tied.permutation.index(axis) for axis in range(tensor.ndim)]).contiguous().numpy()
    if array.shape != old.type.shape:
        raise TorchError(f"the module's {tied.name} is {list(array.shape)} where the graph has {old!r}")
    return array


class GraphModule(nn.Module):
    """A graph in torch; see `to_module`."""

    def __init__(
        self, graph: Graph, *, momentum: float | None = 0.1, modules: Mapping[Node, nn.Module] | None = None
    ) -> None:
        super().__init__()
        self.input_names = tuple(value.name for value in graph.inputs)
        self.output_names = tuple(graph.output_names)
        self.ops = tuple(node.op.name for node in graph.nodes)
        """The ops of the graph in order, by which `from_module` knows it again."""
        state = State(graph, self)
        planner = Planner(graph, state, momentum, modules)
        self._program = planner.plan()
        self._loaded = tuple(planner.loaded)
        self.bindings = tuple(state.bindings)
        """Which operands of the graph are which tensors."""

    def forward(self, *inputs: Tensor, **named: Tensor) -> Any:
        """The output, or a tuple of them when there are several, for inputs in order or by name."""
        given = self._given(inputs, named)
        outputs = self._program.run([*given, *(tied.tensor for tied in self._loaded)])
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def _given(self, inputs: tuple[Tensor, ...], named: Mapping[str, Tensor]) -> list[Tensor]:
        values = dict(zip(self.input_names, inputs, strict=False))
        if len(inputs) > len(self.input_names) or values.keys() & named.keys():
            raise ModelError(f"too many inputs; this module takes {', '.join(self.input_names)}")
        values.update(named)
        if values.keys() != set(self.input_names):
            raise ModelError(f"inputs {', '.join(values) or 'none'}; this module takes {', '.join(self.input_names)}")
        return [values[name] for name in self.input_names]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """NumPy in and out by name, without gradients: as `nascompiler.ir.evaluate`."""
        device = next((t.device for t in (*self.parameters(), *self.buffers())), torch.device("cpu"))
        tensors = {name: torch.from_numpy(array.copy()).to(device) for name, array in inputs.items()}
        with torch.no_grad():
            made = self(**tensors)
        outputs = made if isinstance(made, tuple) else (made,)
        return {name: t.cpu().contiguous().numpy() for name, t in zip(self.output_names, outputs, strict=True)}

    def set_drop_path_progress(self, progress: float) -> None:
        """How much of the training is over, from 0 to 1: drop-path keeps 1 - progress * (1 - final) of the paths."""
        set_drop_path_progress(self, progress)
