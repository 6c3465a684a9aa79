"""From a program of torch.export to a graph of the nn dialect."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind, TensorArgument
from torch.fx import Node

from nascompiler.ir.builder import Builder
from nascompiler.ir.errors import ModelError
from nascompiler.ir.graph import Graph, Value
from nascompiler.ir.types import DType, TensorType
from nascompiler.torch_bridge.dtypes import ir_dtype
from nascompiler.torch_bridge.errors import Refusal, TorchError, Unknown, UnsupportedOp, UnsupportedOpsError
from nascompiler.torch_bridge.importing.capture import as_program, functional
from nascompiler.torch_bridge.importing.conversion import Conversion, OpenSize, Scope
from nascompiler.torch_bridge.importing.converters.registry import converted_name
from nascompiler.torch_bridge.importing.converters.table import CONVERTERS
from nascompiler.torch_bridge.importing.naming import output_names


def import_torch(
    source: ExportedProgram | nn.Module,
    example: Sequence[Any] | Mapping[str, Any] | torch.Tensor | None = None,
    *,
    dynamic_shapes: Any = None,
    name: str = "",
) -> Graph:
    """The graph of a program of `torch.export`, or of a module traced (in eval mode) with example inputs.

    Inputs keep torch's names and layouts (NCHW as a rule); outputs are named by the keys of a dictionary that the
    module returns, else `output` or `output_0`, ... Inside, spatial ops are NHWC: each stands between
    `transpose{permutation=(0, 2, 3, 1)}` and its inverse, and weights are HWIO; the pass propagate-layout moves the
    transposes to the edges. Weights keep their names in the state dict, also where their layout changes, so that
    `to_module` of the graph has the names of the module. The origin of a node is `torch:`, the path of the submodule
    and the call. Dropout stays in the graph unless torch has to decompose the program first, which drops it.

    `dynamic_shapes` is handed to torch.export; sizes that it opens are symbolic in the graph.

    Raises:
        UnsupportedOpsError: operators, inputs and weights that we cannot import, all of them.
        TorchError: torch cannot trace or decompose the module.
        UsageError: a source that is no module or program, or a module without example.
    """
    program = functional(as_program(source, example, dynamic_shapes))
    title = name or (type(source).__name__ if isinstance(source, nn.Module) else "program")
    return _Importer(program, title).run()


_ARITHMETIC = {operator.mul: "mul", operator.add: "add", operator.sub: "sub", operator.floordiv: "div"}
_IMPOSSIBLE = (ValueError, TypeError, LookupError, ArithmeticError, AssertionError)
"""What Python and NumPy say of a call whose arguments make no sense together."""


class _Refused:
    """Stands for a value that cannot be had; what uses it is not looked at."""


_REFUSED = _Refused()


class _Importer:
    def __init__(self, program: ExportedProgram, title: str) -> None:
        self.program = program
        self.title = title
        self.builder = Builder(title)
        self.scope = Scope(self.builder)
        self.values: dict[Node, Any] = {}
        self.faults: list[UnsupportedOp] = []

    def run(self) -> Graph:
        placeholders = {node.name: node for node in self.program.graph.nodes if node.op == "placeholder"}
        for spec in self.program.graph_signature.input_specs:
            self._add_input(spec, placeholders.get(spec.arg.name))
        live = _live(self.program)
        for node in self.program.graph.nodes:
            if node.op == "call_function" and node in live:
                self._add(node)
            elif node.op not in ("call_function", "placeholder", "output"):
                self._refuse(node, f"a node of kind {node.op} is not supported")
        return self._finish()

    # -- inputs and weights

    def _add_input(self, spec: Any, node: Node | None) -> None:
        if node is None:
            return
        if not isinstance(spec.arg, TensorArgument):
            self.values[node] = getattr(spec.arg, "value", None)  # numbers and None are part of the calls that use them
            return
        try:
            if spec.kind is InputKind.USER_INPUT:
                self.values[node] = self.builder.graph.add_input(node.name, _type(node.meta["val"]))
            else:
                self.values[node] = self._constant(spec)
        except Refusal as error:
            if node.users:
                self.faults.append(UnsupportedOp(spec.target or node.name, spec.kind.name.lower(), str(error)))
            self.values[node] = _REFUSED

    def _constant(self, spec: Any) -> Value:
        found = self.program.state_dict.get(spec.target, self.program.constants.get(spec.target))
        if not isinstance(found, torch.Tensor):
            raise Refusal(f"{type(found).__name__} instead of a tensor")
        _type(found)
        tensor = found.detach().to("cpu").contiguous()
        return self.builder.constant(tensor.numpy(), spec.target)

    # -- calls

    def _add(self, node: Node) -> None:
        arguments = _mapped((*node.args, *node.kwargs.values()), self.values)
        if _contains_refused(arguments):
            self.values[node] = _REFUSED
            return
        path = _module_path(node)
        self.builder.origin = f"torch:{path + '/' if path else ''}{node.name}"
        try:
            self.values[node] = self._convert(node)
        except (Refusal, ModelError, *_IMPOSSIBLE) as error:
            self._refuse(node, str(error) or type(error).__name__)

    def _refuse(self, node: Node, reason: str) -> None:
        path = _module_path(node)
        self.faults.append(UnsupportedOp(f"{path}/{node.name}" if path else node.name, str(node.target), reason))
        self.values[node] = _REFUSED

    def _convert(self, node: Node) -> Any:
        args = [_mapped(argument, self.values) for argument in node.args]
        if node.target is operator.getitem:
            return _item(*args)
        if node.target in _ARITHMETIC or getattr(node.target, "__module__", "") in ("_operator", "math"):
            return self._arithmetic(node, args)
        name = converted_name(node.target)
        if name == "sym_size":
            return self._size(*args)
        if name is None or name not in CONVERTERS:
            raise Refusal("this operator is not supported")
        expected = _expected(node.meta.get("val"))
        kwargs = {key: _mapped(value, self.values) for key, value in node.kwargs.items()}
        conversion = Conversion(self.scope, name, _bound(node.target, args, kwargs), expected)
        made = CONVERTERS[name](conversion)
        results = made if isinstance(made, tuple) else (made,)
        self._check(results, expected)
        for place, value in enumerate(results):
            if value is not None and not value.name and value.producer is not None:
                value.name = node.name if place == 0 else f"{node.name}_{place}"
        return results[0] if isinstance(node.meta.get("val"), torch.Tensor) else results

    def _check(self, results: Sequence[Value | None], expected: Sequence[TensorType | None]) -> None:
        """Compare what was built with what torch says it is."""
        for value, wanted in zip(results, expected, strict=False):
            if value is not None and wanted is not None and not wanted.accepts(value.type):
                raise Refusal(f"torch makes {wanted}, but the converted node {value.type}: this is a fault of ours")

    def _size(self, value: Value, axis: int) -> int | OpenSize:
        size = value.type.shape[axis] if value.type.shape is not None else None
        if isinstance(size, int):
            return size
        axis %= value.type.rank or 1
        return OpenSize(self.builder.nn.shape(value, start=axis, end=axis + 1))

    def _arithmetic(self, node: Node, args: list[Any]) -> Any:
        """Arithmetic on sizes."""
        target: Any = node.target
        if all(isinstance(a, (int, float)) for a in args):
            return target(*args)
        op = _ARITHMETIC.get(target)
        if op is None:
            raise Unknown("this arithmetic on open sizes is not supported: export with a fixed shape")
        conversion = Conversion(self.scope, op, {}, ())
        values = [a.value if isinstance(a, OpenSize) else conversion.constant([a], DType.I64) for a in args]
        return OpenSize(conversion.op(op, *values))

    # -- outputs

    def _finish(self) -> Graph:
        outputs: dict[str, Value] = {}
        specs = self.program.graph_signature.output_specs
        by_name = {node.name: node for node in self.program.graph.nodes}
        returned = [spec for spec in specs if spec.kind is OutputKind.USER_OUTPUT]
        for spec in specs:
            if spec.kind is not OutputKind.USER_OUTPUT:
                reason = "the program changes it: export the module in eval mode"
                self.faults.append(UnsupportedOp(spec.target or spec.arg.name, spec.kind.name.lower(), reason))
        for name, spec in zip(output_names(self.program, len(returned)), returned, strict=True):
            value = self.values.get(by_name[spec.arg.name]) if isinstance(spec.arg, TensorArgument) else None
            if isinstance(value, Value):
                outputs[name] = value
            elif value is not _REFUSED:
                self.faults.append(UnsupportedOp(name, "output", "it is no tensor"))
        if self.faults:
            raise UnsupportedOpsError(f"{self.title}: cannot import", self.faults)
        if not outputs:
            raise TorchError(f"{self.title} returns no tensors")
        graph = self.builder.outputs(**outputs)
        for node in reversed(list(graph.nodes)):
            if not any(value.use_count for value in node.results):
                graph.erase(node)
        graph.attributes["source"] = "torch"
        return graph


def _live(program: ExportedProgram) -> set[Node]:
    """The nodes that outputs depend on; assertions and their comparisons are not among them."""
    live: set[Node] = set()
    for node in reversed(list(program.graph.nodes)):
        if node.op == "output" or any(user in live for user in node.users):
            live.add(node)
    return live


def _type(tensor: Any) -> TensorType:
    """The type of a real or fake tensor; open sizes by torch's name of them where they have one."""
    if not isinstance(tensor, torch.Tensor) or tensor.layout is not torch.strided or tensor.is_quantized:
        raise Refusal("only dense tensors are supported")
    dtype = ir_dtype(tensor.dtype)
    if dtype is None:
        raise Refusal(f"element type {tensor.dtype} is not supported; accepted: {', '.join(map(str, DType))}")
    shape = [int(s) if isinstance(s, int) else str(s) if str(s).isidentifier() else None for s in tensor.shape]
    return TensorType(tuple(shape), dtype)


def _expected(found: Any) -> tuple[TensorType | None, ...]:
    """The types of a call's results."""
    tensors = found if isinstance(found, (list, tuple)) else (found,)
    return tuple(_type(t) if isinstance(t, torch.Tensor) else None for t in tensors)


def _bound(target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by their names in the operator's schema, with its defaults."""
    declared = target._schema.arguments
    found = {argument.name: argument.default_value for argument in declared if argument.has_default_value()}
    found.update({argument.name: None for argument in declared if not argument.has_default_value()})
    given = dict(zip((argument.name for argument in declared), args, strict=False))
    return {argument.name: {**found, **given, **kwargs}[argument.name] for argument in declared}


def _mapped(argument: Any, values: Mapping[Node, Any]) -> Any:
    """An argument with what its nodes became in their place."""
    return torch.fx.node.map_arg(argument, lambda node: values[node])


def _contains_refused(argument: Any) -> bool:
    if isinstance(argument, (list, tuple)):
        return any(_contains_refused(a) for a in argument)
    return isinstance(argument, _Refused)


def _item(results: Sequence[Value | None], index: int) -> Value:
    value = results[index]
    if value is None:
        raise Refusal(f"result {index} of the call is not supported")
    return value


def _module_path(node: Node) -> str:
    """The submodule that made a call, as `named_modules` names it."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]) if stack else ""
