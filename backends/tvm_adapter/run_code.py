"""Code for runs of kernel calls: a table of the calls, and one function that goes through it.

A run is called as TVM calls anything: with tensors. An argument of a kernel is the address of one of them, or nothing,
plus a number; so each takes one word of the table. TVM's threads share the chunks of a call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from nascompiler.backends.kernels.kernel import Kernel
from nascompiler.backends.kernels.object_code import TRIPLES, argument_names
from nascompiler.backends.target import Isa
from nascompiler.backends.tvm_runtime.program import CLOCK

_BASE_BITS = 16
"""Bits of a word that say which tensor is meant."""

_PREFIX = "__tvm_ffi_"
_TENSOR, _OBJECT_BYTES, _ANY_BYTES, _DATA, _BYTE_OFFSET = 70, 24, 16, 0, 40
"""TVM FFI 0.1: the number of the type Tensor, the header of an object, the size of an argument, fields of DLTensor."""

_MONOTONIC = 1
_I8, _I32, _I64, _ADDRESS = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.PointerType()


@dataclass(frozen=True)
class Step:
    """A kernel call. An argument, of its arrays and sizes in order, is (base, offset): base 0 is nothing, base i is the
    address of tensor i - 1 of the run."""

    kernel: Kernel
    arguments: tuple[tuple[int, int], ...]
    chunks: int


@dataclass(frozen=True)
class Run:
    """Calls that come one after the other, with so many tensors, those that are read first."""

    tensors: int
    steps: tuple[Step, ...]


def emit_runs(runs: Mapping[str, Run], isa: Isa) -> bytes:
    """An object file with a function for each run, by its name, and the one by the name of CLOCK."""
    triple = TRIPLES[isa.architecture]
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=isa.processor, opt=1, reloc="pic", codemodel="small"
    )
    code = _Code()
    for name, run in runs.items():
        code.run(name, run.tensors, run.steps)
    code.clock()
    code.module.triple, code.module.data_layout = triple, str(machine.target_data)
    module = llvm.parse_assembly(str(code.module))
    module.verify()
    return bytes(machine.emit_object(module))


class _Code:
    """A module under construction."""

    def __init__(self) -> None:
        self.module = ir.Module("runs")
        self.place = self._global("nascompiler_clock_place", "internal")
        # the runtime fills in the address of its function when it loads a library
        self.launcher = self._global("__TVMBackendParallelLaunch", "weak")
        self.thunks: dict[Kernel, Any] = {}
        self.record = self._record()
        self.execute = self._execute(self._share())

    def _global(self, name: str, linkage: str) -> Any:
        made = ir.GlobalVariable(self.module, _ADDRESS, name)
        made.linkage, made.initializer = linkage, ir.Constant(_ADDRESS, None)
        return _Pointer(made)

    def _function(self, name: str, result: Any, *arguments: Any, internal: bool = True) -> tuple[Any, Any]:
        function = ir.Function(self.module, ir.FunctionType(result, arguments), name)
        if internal:
            function.linkage = "internal"
        return function, ir.IRBuilder(function.append_basic_block("entry"))

    def run(self, name: str, tensors: int, steps: Sequence[Step]) -> None:
        """The function of a run."""
        words: list[Any] = []
        for step in steps:
            words += [self._thunk(step.kernel).ptrtoint(_I64), ir.Constant(_I64, step.chunks)]
            words.append(ir.Constant(_I64, len(step.arguments)))
            words += [ir.Constant(_I64, offset << _BASE_BITS | base) for base, offset in step.arguments]
        type = ir.ArrayType(_I64, len(words))
        table = ir.GlobalVariable(self.module, type, f"{name}_table")
        table.linkage, table.global_constant, table.initializer = "internal", True, ir.Constant(type, words)
        most = max(len(step.arguments) for step in steps)

        function, b = self._function(_PREFIX + name, _I32, _ADDRESS, _ADDRESS, _I32, _ADDRESS, internal=False)
        _, arguments, _, result = function.args
        bases = _room(b, tensors + 1)
        b.store(ir.Constant(_I64, 0), bases)
        with _loop(b, ir.Constant(_I64, tensors)) as i:
            data = _data(b, _at(b, arguments, b.mul(i, ir.Constant(_I64, _ANY_BYTES))))
            b.store(data, b.gep(bases, [b.add(i, ir.Constant(_I64, 1))], source_etype=_I64))
        b.call(self.record, [ir.Constant(_I64, -1)])
        values = _room(b, most)
        status = b.call(self.execute, [_Pointer(table), ir.Constant(_I64, len(steps)), bases, values])
        _return_nothing(b, result, status)

    def clock(self) -> None:
        """The function by the name of CLOCK."""
        function, b = self._function(_PREFIX + CLOCK, _I32, _ADDRESS, _ADDRESS, _I32, _ADDRESS, internal=False)
        arguments = function.args[1]
        b.store(ir.Constant(_ADDRESS, None), self.place)
        is_array = b.icmp_signed("!=", b.load(arguments, typ=_I32), ir.Constant(_I32, 0))
        with b.if_then(is_array):
            b.store(b.inttoptr(_data(b, arguments), _ADDRESS), self.place)
        _return_nothing(b, function.args[3], ir.Constant(_I32, 0))

    def _thunk(self, kernel: Kernel) -> Any:
        """A function (arguments, chunk, chunks) that calls a kernel with what is in an array."""
        if kernel not in self.thunks:
            count = len(argument_names(kernel))
            called = ir.Function(self.module, ir.FunctionType(_I32, [_I64] * count), kernel.symbol)
            function, b = self._function(f"{kernel.symbol}_step", _I32, _ADDRESS, _I64, _I64)
            values, *share = function.args
            given = [b.load(_word(b, values, i), typ=_I64) for i in range(count - len(share))]
            b.ret(b.call(called, [*given, *share]))
            self.thunks[kernel] = function
        return self.thunks[kernel]

    def _share(self) -> Any:
        """What a thread does of a call: part `task` of as many as there are threads, if there are so many chunks."""
        function, b = self._function("share", _I32, _I32, _ADDRESS, _ADDRESS)
        task, environment, call = function.args
        thunk, values, chunks = (b.load(_word(b, call, i), typ=t) for i, t in enumerate((_ADDRESS, _ADDRESS, _I64)))
        threads = b.sext(b.load(_at(b, environment, ir.Constant(_I64, 8)), typ=_I32), _I64)
        parts = b.select(b.icmp_signed("<", threads, chunks), threads, chunks)
        task = b.sext(task, _I64)
        with b.if_then(b.icmp_signed("<", task, parts)):
            b.ret(_call(b, thunk, _I32, values, task, parts))
        b.ret(ir.Constant(_I32, 0))
        return function

    def _execute(self, share: Any) -> Any:
        """The calls of a table, one after the other, with the addresses of tensors; `values` holds arguments."""
        function, b = self._function("execute", _I32, _ADDRESS, _I64, _ADDRESS, _ADDRESS)
        table, steps, bases, values = function.args
        call, cursor = _room(b, 3), _room(b, 1)
        b.store(table, cursor)
        with _loop(b, steps):
            step = b.load(cursor, typ=_ADDRESS)
            thunk = b.inttoptr(b.load(step, typ=_I64), _ADDRESS)
            chunks, count = (b.load(_word(b, step, i), typ=_I64) for i in (1, 2))
            with _loop(b, count) as i:
                word = b.load(b.gep(step, [b.add(i, ir.Constant(_I64, 3))], source_etype=_I64), typ=_I64)
                base = b.gep(bases, [b.and_(word, ir.Constant(_I64, (1 << _BASE_BITS) - 1))], source_etype=_I64)
                value = b.add(b.load(base, typ=_I64), b.ashr(word, ir.Constant(_I64, _BASE_BITS)))
                b.store(value, b.gep(values, [i], source_etype=_I64))
            b.store(b.gep(step, [b.add(count, ir.Constant(_I64, 3))], source_etype=_I64), cursor)
            with b.if_else(b.icmp_signed("==", chunks, ir.Constant(_I64, 1))) as (alone, shared):
                with alone:
                    _call(b, thunk, _I32, values, ir.Constant(_I64, 0), chunks)
                with shared:
                    for i, value in enumerate((thunk, values, chunks)):
                        b.store(value, _word(b, call, i))
                    launch = b.load(self.launcher, typ=_ADDRESS)
                    failed = _call(b, launch, _I32, _Pointer(share), call, ir.Constant(_I32, 0))
                    with b.if_then(b.icmp_signed("!=", failed, ir.Constant(_I32, 0))):
                        b.ret(failed)
            b.call(self.record, [ir.Constant(_I64, 1)])
        b.ret(ir.Constant(_I32, 0))
        return function

    def _record(self) -> Any:
        """Write down the time, multiplied by a sign, where the clock is."""
        function, b = self._function("record", ir.VoidType(), _I64)
        get_time = ir.Function(self.module, ir.FunctionType(_I32, [_I32, _ADDRESS]), "clock_gettime")
        place = b.load(self.place, typ=_ADDRESS)
        with b.if_then(b.icmp_unsigned("!=", b.ptrtoint(place, _I64), ir.Constant(_I64, 0))):
            used, room = (b.load(_word(b, place, i), typ=_I64) for i in (0, 1))
            with b.if_then(b.icmp_signed("<", used, room)):
                now = _room(b, 2)
                b.call(get_time, [ir.Constant(_I32, _MONOTONIC), now])
                seconds, rest = (b.load(_word(b, now, i), typ=_I64) for i in (0, 1))
                ns = b.add(b.mul(seconds, ir.Constant(_I64, 10**9)), rest)
                following = b.add(used, ir.Constant(_I64, 1))
                target = b.gep(place, [b.add(following, ir.Constant(_I64, 1))], source_etype=_I64)
                b.store(b.mul(ns, function.args[0]), target)
                b.store(following, place)
        b.ret_void()
        return function


@contextmanager
def _loop(b: Any, count: Any) -> Iterator[Any]:
    """A loop over 0 to count - 1."""
    before = b.block
    test, body, after = (b.append_basic_block(name) for name in ("test", "body", "after"))
    b.branch(test)
    b.position_at_end(test)
    index = b.phi(_I64)
    index.add_incoming(ir.Constant(_I64, 0), before)
    b.cbranch(b.icmp_signed("<", index, count), body, after)
    b.position_at_end(body)
    yield index
    index.add_incoming(b.add(index, ir.Constant(_I64, 1)), b.block)
    b.branch(test)
    b.position_at_end(after)


def _at(b: Any, address: Any, offset: Any) -> Any:
    """The address so many bytes further on."""
    return b.gep(address, [offset], source_etype=_I8)


def _word(b: Any, address: Any, number: int) -> Any:
    """The address so many 64-bit words further on."""
    return b.gep(address, [ir.Constant(_I64, number)], source_etype=_I64)


class _Pointer:
    """An address as today's LLVM has it: it does not know what it points at, while llvmlite still would tell it."""

    type = _ADDRESS

    def __init__(self, value: Any, function_type: Any = None) -> None:
        self.value = value
        self.function_type = function_type

    def get_reference(self) -> str:
        return str(self.value.get_reference())


def _call(b: Any, address: Any, result: Any, *arguments: Any) -> Any:
    """A call of the function at an address."""
    return b.call(_Pointer(address, ir.FunctionType(result, [a.type for a in arguments])), arguments)


def _room(b: Any, words: int) -> Any:
    """The address of so many 64-bit words, as long as the function runs."""
    return _Pointer(b.alloca(_I64, words))


def _data(b: Any, argument: Any) -> Any:
    """The address, as a number, of the elements of a tensor that is an argument: an object, or a plain DLTensor."""
    given = b.load(_word(b, argument, 1), typ=_ADDRESS)
    is_object = b.icmp_signed("==", b.load(argument, typ=_I32), ir.Constant(_I32, _TENSOR))
    header = b.select(is_object, ir.Constant(_I64, _OBJECT_BYTES), ir.Constant(_I64, 0))
    tensor = _at(b, given, header)
    data, offset = (b.load(_at(b, tensor, ir.Constant(_I64, field)), typ=_I64) for field in (_DATA, _BYTE_OFFSET))
    return b.add(data, offset)


def _return_nothing(b: Any, result: Any, status: Any) -> None:
    for word in range(_ANY_BYTES // 8):
        b.store(ir.Constant(_I64, 0), _word(b, result, word))
    b.ret(status)
