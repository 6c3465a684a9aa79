"""Code for runs of kernel calls: a table of the calls, and one function that goes through it.

A run is called as TVM calls anything: with tensors. An argument of a kernel is the address of one of them, or nothing,
plus a number; so each takes one word of the table. TVM's threads go through the table together: each does its part of
a call whose chunks are shared, the first one does the others alone, and they wait for each other where one may read
what another has written. To hand over and to wait by TVM would cost 3 µs a call.
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

_TABLE, _STEPS, _BASES, _MOST, _STATUS, _ARRIVED, _JOB_WORDS = 0, 1, 2, 3, 4, 16, 32
"""Words of what the threads of a run have in common; how many have arrived is changed by all, so it is lines away."""

_SPINS = 4096
"""Looks at who has arrived, about 50 µs, before a thread gives way to others on its CPU."""

_I8, _I32, _I64, _ADDRESS = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.PointerType()

_HINTS: dict[str, tuple[Any, ...]] = {
    "x86_64": ("llvm.x86.sse2.pause",),
    "aarch64": ("llvm.aarch64.hint", ir.Constant(_I32, 1)),
}
"""By architecture the intrinsic, with its operands, that tells the processor that a thread only waits."""


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
    code = _Code(isa.architecture)
    for name, run in runs.items():
        code.run(name, run.tensors, run.steps)
    code.clock()
    code.module.triple, code.module.data_layout = triple, str(machine.target_data)
    module = llvm.parse_assembly(str(code.module))
    module.verify()
    return bytes(machine.emit_object(module))


class _Code:
    """A module under construction."""

    def __init__(self, architecture: str) -> None:
        self.module = ir.Module("runs")
        self.place = self._global("nascompiler_clock_place", "internal")
        # the runtime fills in the address of its function when it loads a library
        self.launcher = self._global("__TVMBackendParallelLaunch", "weak")
        self.thunks: dict[Kernel, Any] = {}
        self.record = self._record()
        self.meet = self._meet(architecture)
        self.work = self._work()

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
        words += [ir.Constant(_I64, word) for word in (0, 1, 0)]  # behind the last call is one that is not shared
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
        job = _room(b, _JOB_WORDS)
        for word, value in {
            _TABLE: _Pointer(table),
            _STEPS: ir.Constant(_I64, len(steps)),
            _BASES: bases,
            _MOST: ir.Constant(_I64, most),
            _STATUS: ir.Constant(_I64, 0),
            _ARRIVED: ir.Constant(_I64, 0),
        }.items():
            b.store(value, _word(b, job, word))
        if any(step.chunks > 1 for step in steps):
            launch = b.load(self.launcher, typ=_ADDRESS)
            launched = _call(b, launch, _I32, _Pointer(self.work), job, ir.Constant(_I32, 0))
        else:
            alone = _room(b, 2)
            b.store(ir.Constant(_I32, 1), _word(b, alone, 1))
            launched = b.call(self.work, [ir.Constant(_I32, 0), alone, job])
        failed = b.icmp_signed("!=", launched, ir.Constant(_I32, 0))
        status = b.select(failed, launched, b.load(_word(b, job, _STATUS), typ=_I32))
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

    def _work(self) -> Any:
        """What a thread does of a run: the calls of the table, one after the other, each with its own arguments."""
        function, b = self._function("work", _I32, _I32, _ADDRESS, _ADDRESS)
        task, environment, job = function.args
        first, steps, bases, most = (b.load(_word(b, job, i), typ=_I64) for i in (_TABLE, _STEPS, _BASES, _MOST))
        bases = b.inttoptr(bases, _ADDRESS)
        threads = b.sext(b.load(_at(b, environment, ir.Constant(_I64, 8)), typ=_I32), _I64)
        task = b.sext(task, _I64)
        values, cursor, arrivals = _Pointer(b.alloca(_I64, most)), _room(b, 1), _room(b, 1)
        b.store(first, cursor)
        b.store(ir.Constant(_I64, 0), arrivals)
        with _loop(b, steps):
            step = b.load(cursor, typ=_ADDRESS)
            thunk = b.inttoptr(b.load(step, typ=_I64), _ADDRESS)
            chunks, count = (b.load(_word(b, step, i), typ=_I64) for i in (1, 2))
            following = b.gep(step, [b.add(count, ir.Constant(_I64, 3))], source_etype=_I64)
            b.store(following, cursor)
            parts = b.select(b.icmp_signed("<", threads, chunks), threads, chunks)
            with b.if_then(b.icmp_signed("<", task, parts)):
                with _loop(b, count) as i:
                    word = b.load(b.gep(step, [b.add(i, ir.Constant(_I64, 3))], source_etype=_I64), typ=_I64)
                    base = b.gep(bases, [b.and_(word, ir.Constant(_I64, (1 << _BASE_BITS) - 1))], source_etype=_I64)
                    value = b.add(b.load(base, typ=_I64), b.ashr(word, ir.Constant(_I64, _BASE_BITS)))
                    b.store(value, b.gep(values, [i], source_etype=_I64))
                failed = _call(b, thunk, _I32, values, task, parts)
                with b.if_then(b.icmp_signed("!=", failed, ir.Constant(_I32, 0))):
                    b.store(failed, _word(b, job, _STATUS))
            one = ir.Constant(_I64, 1)
            is_shared = b.or_(
                b.icmp_signed(">", chunks, one), b.icmp_signed(">", b.load(_word(b, following, 1), typ=_I64), one)
            )
            with b.if_then(b.and_(is_shared, b.icmp_signed(">", threads, one))):
                awaited = b.add(b.load(arrivals, typ=_I64), threads)
                b.store(awaited, arrivals)
                b.call(self.meet, [_word(b, job, _ARRIVED), awaited])
            with b.if_then(b.icmp_signed("==", task, ir.Constant(_I64, 0))):
                b.call(self.record, [one])
        b.ret(ir.Constant(_I32, 0))
        return function

    def _meet(self, architecture: str) -> Any:
        """Wait until so many have come: what they wrote before, everybody reads after."""
        function, b = self._function("meet", ir.VoidType(), _ADDRESS, _I64)
        arrived, awaited = function.args
        give_way = ir.Function(self.module, ir.FunctionType(_I32, []), "sched_yield")
        b.atomic_rmw("add", arrived, ir.Constant(_I64, 1), "acq_rel")
        before = b.block
        wait, pause, spin, leave, after = (b.append_basic_block(n) for n in ("wait", "pause", "spin", "leave", "after"))
        b.branch(wait)
        b.position_at_end(wait)
        rounds = b.phi(_I64)
        rounds.add_incoming(ir.Constant(_I64, 0), before)
        b.cbranch(b.icmp_signed("<", b.load_atomic(arrived, "acquire", 8, typ=_I64), awaited), pause, after)
        b.position_at_end(pause)
        next_round = b.add(rounds, ir.Constant(_I64, 1))
        b.cbranch(b.icmp_signed("<", rounds, ir.Constant(_I64, _SPINS)), spin, leave)
        b.position_at_end(spin)
        name, *operands = _HINTS[architecture]
        hint = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [o.type for o in operands]), name)
        b.call(hint, operands)
        b.branch(wait)
        b.position_at_end(leave)
        b.call(give_way, [])
        b.branch(wait)
        for block in (spin, leave):
            rounds.add_incoming(next_round, block)
        b.position_at_end(after)
        b.ret_void()
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
