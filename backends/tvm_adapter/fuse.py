"""Fusion of leftovers by TVM, and their PrimFuncs turned into kernels called by name like all others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import tvm
from tvm import relax

from nascompiler.backends.target import Isa
from nascompiler.backends.tvm_adapter.lowered import LEFTOVER, Call, Lowered, bindings, result_types
from nascompiler.backends.tvm_adapter.schedule import schedule_leftover

_CALL_TIR = "relax.call_tir"


def fuse(module: Any, lowered: Lowered, calls: Mapping[str, Call], generator: Sequence[str], isa: Isa) -> Lowered:
    """Let TVM fuse the tensor expressions of `module`; fills in module, kernels and calls of `lowered`.

    `calls` are the calls before fusion by the name under which lowering registered them.
    """
    members: dict[str, tuple[str, ...]] = {}
    if len(module.functions) > 1:
        module = relax.transform.AnnotateTIROpPattern()(module)
        module = relax.transform.FuseOps()(module)
        for symbol, function in module.functions.items():
            if isinstance(function, relax.Function) and symbol.name_hint != "main":
                members[symbol.name_hint] = tuple(v.args[0].name_hint for _, v in bindings(function) if _is_tir_call(v))
        module = relax.transform.FuseTIR()(module)
    rewriter = _Rewriter(module, lowered, calls, members, generator, isa)
    lowered.module = rewriter.run()
    return lowered


def _is_tir_call(value: Any) -> bool:
    return isinstance(value, tvm.ir.Call) and str(getattr(value.op, "name", "")) == _CALL_TIR


class _Rewriter:
    """Rebuilds `main` with every PrimFunc called by the symbol of its content."""

    def __init__(
        self,
        module: Any,
        lowered: Lowered,
        calls: Mapping[str, Call],
        members: Mapping[str, tuple[str, ...]],
        generator: Sequence[str],
        isa: Isa,
    ) -> None:
        self.module, self.lowered, self.registered = module, lowered, calls
        self.members, self.generator, self.isa = members, generator, isa
        self.builder = relax.BlockBuilder()
        self.mapped: dict[Any, Any] = {}

    def run(self) -> Any:
        main = self.module["main"]
        parameters = list(main.params)
        self.mapped = {p: p for p in parameters}
        with self.builder.function("main", parameters):
            with self.builder.dataflow():
                for variable, value in bindings(main):
                    self.mapped[variable] = self._binding(variable, value)
                result = self.builder.emit_output(self.mapped[main.body.body])
            self.builder.emit_func_output(result)
        return self.builder.get()

    def _binding(self, variable: Any, value: Any) -> Any:
        if isinstance(value, relax.Tuple):
            return relax.Tuple([self.mapped[field] for field in value.fields])
        if isinstance(value, relax.TupleGetItem):
            return self.builder.emit(relax.TupleGetItem(self.mapped[value.tuple_value], value.index))
        if isinstance(value, relax.Var):
            return self.mapped[value]
        if _is_tir_call(value):
            return self._tir_call(value)
        if str(value.op.name) == "relax.call_dps_packed":
            symbol, arguments = str(value.args[0].global_symbol), value.args[1]
            self.lowered.calls.append(self.registered.get(symbol) or self.registered[variable.name])
            return self._emit_call(symbol, arguments, value.ty_args)
        assert str(value.op.name) == "relax.reshape", value.op
        return self.builder.emit(relax.op.reshape(self.mapped[value.args[0]], value.args[1]))

    def _tir_call(self, value: Any) -> Any:
        name = value.args[0].name_hint
        function = self.module[name]
        for attribute in ("nascompiler.call", "global_symbol", "op_pattern"):
            function = function.without_attr(attribute)
        text = "\n".join([function.script(), *self.generator])
        symbol = f"{LEFTOVER}{hashlib.sha256(text.encode()).hexdigest()[:24]}"
        self.lowered.kernels.setdefault(symbol, lambda: schedule_leftover(function, self.isa))
        parts = [self.registered[member] for member in self.members.get(name, (name,))]
        self.lowered.calls.append(
            Call(
                symbol,
                tuple(dict.fromkeys(node for part in parts for node in part.nodes)),
                tuple(op for part in parts for op in part.ops),
            )
        )
        return self._emit_call(symbol, value.args[1], value.ty_args)

    def _emit_call(self, symbol: str, arguments: Any, types: Any) -> Any:
        fields = [self.mapped.get(field, field) for field in arguments.fields]  # numbers stand for themselves
        results = result_types(types)
        return self.builder.emit(relax.call_dps_packed(symbol, fields, out_ty=results))
