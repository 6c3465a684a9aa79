"""From our graph to Relax, natively in NHWC: kernels called by name, the rest as tensor expressions for TVM to fuse.

Weights are no constants of the program: they are elements of one tuple that the caller passes, so that they stay in a
blob outside the code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tvm import relax, te

from nascompiler.backends.cpu.choice import METASCHEDULE, TEMPLATE, TVM, Choices, settle
from nascompiler.backends.cpu.implementation import WRITTEN, Implementation
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.placement import is_view
from nascompiler.backends.cpu.plans import pack
from nascompiler.backends.kernels.kernel import Kernel
from nascompiler.backends.store.generator import generator_hash
from nascompiler.backends.target import Target
from nascompiler.backends.tvm_adapter.caller import caller, caller_symbol
from nascompiler.backends.tvm_adapter.definition import Definition
from nascompiler.backends.tvm_adapter.fuse import fuse
from nascompiler.backends.tvm_adapter.generate import TEMPLATES, generator_fingerprint
from nascompiler.backends.tvm_adapter.leftovers import has_rule, refusal, tables_of, tensors_of
from nascompiler.backends.tvm_adapter.leftovers.expressions import scalar, shape_of
from nascompiler.backends.tvm_adapter.lowered import LEFTOVER, Call, Lowered, Weights
from nascompiler.backends.tvm_adapter.regions import REGION, RegionCode, composite, run_codegen
from nascompiler.backends.tvm_adapter.schedules import scheduled
from nascompiler.backends.tvm_versions import ACCEPTED
from nascompiler.ir.builder import Builder
from nascompiler.ir.cost import node_cost
from nascompiler.ir.errors import Fault, VerificationError
from nascompiler.ir.graph import Graph, Node, Value
from nascompiler.ir.labels import node_labels
from nascompiler.ir.types import Array, TensorType
from nascompiler.ir.verify import verify
from nascompiler.passes.fuse_activations import detach_activations


def lower(
    graph: Graph,
    target: Target,
    choices: Choices | None = None,
    *,
    regions: Mapping[str, RegionCode] | None = None,
) -> Lowered:
    """The program of a graph whose kernels are assigned; VerificationError lists every node it cannot lower.

    `choices` say how each call of a graph that is settled is computed; default: as measurements have it. `regions` are
    those of another machine, by the names of their programs.
    """
    legality = replace(target.legality, ops=target.legality.ops | {REGION}) if regions else target.legality
    verify(graph, legality)
    graph, chosen = settle(graph, target) if choices is None else (graph.clone(), choices)
    detach_activations(graph)
    fold_known(graph)
    expand_composites(graph, chosen)
    faults = [
        Fault(repr(node), f"{reason} on {target.name}", node.origin)
        for node in graph.nodes
        if node.op.name != REGION and not _has_kernel(node, chosen) and (reason := refusal(node)) is not None
    ]
    if faults:
        raise VerificationError(faults, title=f"graph {graph.name!r} cannot be compiled for {target.name}")
    return _Lowering(graph, target, chosen, regions or {}).run()


def fold_known(graph: Graph) -> None:
    """Make constants of results that need no computing: those without elements, and shapes, which are known here."""
    for node in graph.nodes:
        known: dict[Value, Array] = {
            v: np.zeros(v.type.static_shape, v.type.dtype.numpy) for v in node.results if v.type.size == 0
        }
        if node.op.name == "nn.shape":
            shape = node.operands[0].type.static_shape
            known[node.result] = np.asarray(shape[node["start"] : node["end"]], np.int64)
        for value, array in known.items():
            graph.replace_all_uses(value, graph.constant(array))
        if len(known) == len(node.results):
            graph.erase(node)


def expand_composites(graph: Graph, choices: Choices) -> None:
    """Replace composite ops that have neither kernel nor rule, or are left to TVM, by the nodes that define them."""
    changed = True
    while changed:
        changed = False
        for node in graph.nodes:
            if node.op.decompose is None or has_rule(node) or _has_kernel(node, choices):
                continue
            builder = Builder(graph, before=node, origin=node.origin)
            made = node.op.decompose(builder, *node.op.padded(node.operands), **node.attributes)
            for old, new in zip(node.results, made if isinstance(made, tuple) else (made,), strict=True):
                graph.replace_all_uses(old, new)
            graph.erase(node)
            changed = True


def _has_kernel(node: Node, choices: Choices) -> bool:
    """Whether one of our kernels computes a node: by choice, or by its template where nothing is chosen."""
    choice = choices.get(KernelCall.of(node).text)
    return node.op.name in TEMPLATES if choice is None else choice.variant != TVM


def relax_type(type: TensorType) -> Any:
    """A static tensor type in Relax."""
    return relax.TensorType(type.static_shape, str(type.dtype.numpy))


SHARED_FROM_NS = 5000.0
"""About how long a call takes that is worth sharing: both threads fetch what the other wrote, and wait for each other."""

_MACS_PER_NS, _BYTES_PER_NS = 50.0, 25.0


def worth_sharing(node: Node) -> bool:
    """Whether threads should share the work of a node, by what it takes one of them."""
    cost = node_cost(node)
    return max((cost.macs or 0) / _MACS_PER_NS, (cost.bytes or 0) / _BYTES_PER_NS) >= SHARED_FROM_NS


def _constants(node: Node) -> dict[int, Array]:
    """The constant operands of a node by index."""
    return {i: v.constant.array for i, v in enumerate(node.operands) if v.constant is not None}


class _Lowering:
    def __init__(self, graph: Graph, target: Target, choices: Choices, regions: Mapping[str, RegionCode]) -> None:
        self.graph, self.target, self.regions = graph, target, regions
        self.labels = node_labels(graph)
        self.builder = relax.BlockBuilder()
        self.weights = Weights()
        self.kernels: dict[str, Callable[[], Any]] = {}
        self.objects: dict[str, Kernel] = {}
        self.implementations = {
            node: choice.implementation.fitting(_constants(node))
            for node in graph.nodes
            if (choice := choices.get(KernelCall.of(node).text)) is not None and choice.implementation is not None
        }
        self.schedules = {
            node: choice.schedule
            for node in graph.nodes
            if (choice := choices.get(KernelCall.of(node).text)) is not None and choice.variant == METASCHEDULE
        }
        self.definitions: dict[Node, Definition] = {}
        self.calls: dict[str, Call] = {}
        self.values: dict[Value, Any] = {}
        self.uses: dict[int, Any] = {}
        versions = [f"{package} {version}" for package, version in ACCEPTED.items()]
        self.generator = [target.fingerprint, generator_fingerprint(), *versions]

    def run(self) -> Lowered:
        inputs = [relax.Var(f"input{i}", relax_type(v.type)) for i, v in enumerate(self.graph.inputs)]
        self.values.update(zip(self.graph.inputs, inputs, strict=True))
        weights = self._weight_types()
        packed = relax.Var("weights", relax.TupleType(weights))
        with self.builder.function("main", [*inputs, packed]):
            with self.builder.dataflow():
                self.packed = packed
                for node in self.graph.nodes:
                    self._node(node)
                outputs = relax.Tuple([self._value(v) for v in self.graph.outputs])
                result = self.builder.emit_output(outputs)
            self.builder.emit_func_output(result)
        lowered = Lowered(None, self.kernels, self.objects, self.weights, [])
        module = self.builder.get()
        if self.regions:
            module, lowered.external = run_codegen(module, self.regions)
        return fuse(module, lowered, self.calls, self.generator, self.target.isa)

    def _weight_types(self) -> list[Any]:
        """Collect all weights first: the type of the tuple is part of the signature."""
        self.operands: dict[Node, dict[int, int]] = {}
        self.tables: dict[Node, list[int]] = {}
        self.constants: dict[Node, dict[str, int]] = {}
        for node in self.graph.nodes:
            constants = _constants(node)
            if node in self.implementations:
                made = self.implementations[node].constants(constants)
                self.constants[node] = {name: self.weights.add(array) for name, array in made.items()}
                self.tables[node] = []
                continue
            if node in self.schedules:
                definition = Definition.of(node)
                assert definition is not None, node  # it had one when the schedule was found
                self.definitions[node] = definition
                self.tables[node] = [self.weights.add(array) for array in definition.constants]
                continue
            if node.op.name in TEMPLATES:
                constants = pack(KernelCall.of(node), self.target, constants)
            elif not is_view(node):
                constants = {i: a for i, a in constants.items() if a.size != 1}  # single numbers go into the code
            self.operands[node] = {i: self.weights.add(a) for i, a in constants.items()}
            self.tables[node] = [self.weights.add(table) for table in tables_of(node)]
        self.outputs = {v: self.weights.add(v.constant.array) for v in self.graph.outputs if v.constant is not None}
        return [relax_type(TensorType.of(a)) for a in self.weights.arrays]

    def _weight(self, number_: int) -> Any:
        if number_ not in self.uses:
            self.uses[number_] = self.builder.emit(relax.TupleGetItem(self.packed, number_), name_hint="w")
        return self.uses[number_]

    def _value(self, value: Value) -> Any:
        """An output of the graph."""
        return self._weight(self.outputs[value]) if value in self.outputs else self.values[value]

    def _node(self, node: Node) -> None:
        name = node.op.name
        if node in self.implementations:
            self._implementation(node, self.implementations[node])
        elif node in self.schedules:
            self._scheduled(node, self.definitions[node], self.schedules[node])
        elif name in TEMPLATES:
            self._kernel(node)
        elif is_view(node):
            self._view(node)
        elif name == REGION:
            self._region(node)
        else:
            self._leftover(node)

    def _region(self, node: Node) -> None:
        """A call of the composite function that our compiler for the TPU is given."""
        symbol = str(node["program"])
        self.calls[symbol] = Call(symbol, (self.labels[node],), (node.op.name,), REGION)
        function = self.builder.add_func(composite(symbol, self.regions[symbol].graph), symbol)
        result = self.builder.emit(relax.Call(function, [self.values[v] for v in node.operands]), name_hint="region")
        for number_, value in enumerate(node.results):
            single = len(node.results) == 1
            self.values[value] = result if single else self.builder.emit(relax.TupleGetItem(result, number_))

    def _implementation(self, node: Node, made: Implementation) -> None:
        """A call of a PrimFunc that takes the kernel's arrays and sizes and shares its chunks among threads."""
        kernel = made.kernel
        symbol = caller_symbol(kernel)
        self.kernels.setdefault(symbol, lambda: caller(kernel))
        self.objects[kernel.symbol] = kernel
        arrays = {name: self.values[node.operands[index]] for name, index in made.operands.items()}
        arrays |= {name: self._weight(number_) for name, number_ in self.constants[node].items()}
        arguments = [arrays[name] for name in kernel.pointers if name not in WRITTEN]
        chunks = made.chunks if worth_sharing(node) else 1
        arguments += [relax.prim_value(size) for size in (*made.sizes.values(), chunks)]
        scratch = [TensorType((made.workspace,), kernel.pointers["workspace"])] if made.workspace else []
        self._call(node, symbol, made.variant, arguments, scratch)

    def _scheduled(self, node: Node, definition: Definition, schedule: str) -> None:
        """A call of the definition's PrimFunc by a schedule that was searched for."""
        text = "\n".join([KernelCall.of(node).text, definition.text, schedule, generator_hash(), *self.generator])
        symbol = f"{LEFTOVER}{METASCHEDULE}_{hashlib.sha256(text.encode()).hexdigest()[:24]}"
        self.kernels.setdefault(symbol, lambda: scheduled(definition.function(), schedule))
        arguments = [self.values[node.operands[index]] for index in definition.operands]
        arguments += [self._weight(number_) for number_ in self.tables[node]]
        self._call(node, symbol, METASCHEDULE, arguments)

    def _call(
        self, node: Node, symbol: str, variant: str, arguments: Sequence[Any], scratch: Sequence[TensorType] = ()
    ) -> None:
        """A call that writes the results of a node, and scratch memory that nobody reads."""
        outputs = [relax_type(type) for type in (*(v.type for v in node.results), *scratch)]
        place = self._register(node, symbol, variant)
        result = self.builder.emit(
            relax.call_dps_packed(symbol, arguments, out_ty=outputs if len(outputs) > 1 else outputs[0]),
            name_hint=place,
        )
        for number_, value in enumerate(node.results):
            part = relax.TupleGetItem(result, number_)
            self.values[value] = result if len(outputs) == 1 else self.builder.emit(part, name_hint="r")

    def _kernel(self, node: Node) -> None:
        call = KernelCall.of(node)
        symbol = f"{call.op.replace('.', '_')}_{call.digest(*self.generator)}"
        self.kernels.setdefault(symbol, lambda: TEMPLATES[call.op](symbol, call, self.target))
        arguments = [
            self._weight(self.operands[node][i]) if i in self.operands[node] else self.values[v]
            for i, v in enumerate(node.operands)
        ]
        self._call(node, symbol, TEMPLATE, arguments)

    def _register(self, node: Node, symbol: str, variant: str) -> str:
        """The name by which the call of a node is found again after fusion."""
        place = f"call{len(self.calls)}"
        self.calls[place] = Call(symbol, (self.labels[node],), (node.op.name,), variant)
        return place

    def _view(self, node: Node) -> None:
        (operand,) = node.operands
        source = self._operand(node, 0, operand)
        if operand.type.shape != node.result.type.shape:
            source = self.builder.emit(relax.op.reshape(source, node.result.type.static_shape), name_hint="v")
        self.values[node.result] = source

    def _operand(self, node: Node, index: int, value: Value) -> Any:
        if value.constant is None:
            return self.values[value]
        return self._weight(self.operands[node][index])

    def _leftover(self, node: Node) -> None:
        """One PrimFunc for each result, named so that its calls are known again after fusion."""
        arguments: list[Any] = []
        tensors: list[Any] = []

        def placeholder(argument: Any, type: TensorType) -> Any:
            for known, tensor in zip(arguments, tensors, strict=True):
                if known.same_as(argument):
                    return tensor
            tensors.append(te.placeholder(shape_of(type.static_shape), str(type.dtype.numpy), name=f"p{len(tensors)}"))
            arguments.append(argument)
            return tensors[-1]

        operands = []
        for index, value in enumerate(node.operands):
            if value.constant is not None and index not in self.operands[node]:
                operands.append(scalar(value.constant.array))
            else:
                operands.append(placeholder(self._operand(node, index, value), value.type))
        for weight in self.tables[node]:
            operands.append(placeholder(self._weight(weight), TensorType.of(self.weights.arrays[weight])))
        for value, tensor in zip(node.results, tensors_of(node, operands), strict=True):
            place = self._register(node, "", "tvm")
            function = te.create_prim_func([*tensors, tensor]).with_attr("nascompiler.call", place)
            symbol = self.builder.add_func(function, place)
            assert symbol.name_hint == place
            result = relax.call_tir(symbol, arguments, out_ty=relax_type(value.type))
            self.values[value] = self.builder.emit(result, name_hint="t")
