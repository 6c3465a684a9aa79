"""Code for runs of kernel calls: a table of the calls, and one function that goes through it.

A run is called as TVM calls anything: with tensors. An argument of a kernel is the address of one of them, or nothing,
plus a number; so each takes one word of the table. TVM's threads go through the table together: each does its part of
a call whose chunks are shared, the first one does the others alone, and they wait for each other where one may read
what another has written. Of a group of chains each takes the next that nobody has begun, until all are done. To hand
over and to wait by TVM would cost 3 µs a call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
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

_TABLE, _GROUPS, _BASES, _MOST, _STATUS, _TENSORS, _OWN, _OWN_BYTES, _SIDE_BY_SIDE = range(9)
_ARRIVED, _BEGUN, _JOB_WORDS = 16, 32, 48
"""Words of what the threads of a run have in common; what is changed by all, how many have arrived and how many chains
are begun, is lines away."""

_THUNK, _CHUNKS, _COUNT, _CALL, _ARGUMENTS = range(5)
"""Words of a call in the table: function, chunks, how many arguments, number of the call, and the arguments behind."""

_CHAINS, _BEHIND, _DIRECTORY = 1, 2, 3
"""Words of a group of chains, which begins with zero: how many, how many words to what is behind it, and for each chain
how many words to its first call and how many calls it has."""

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
    address of tensor i - 1 of the run, and the one behind the last is memory of the thread's own. `call` is the number
    of the call of which it is all or a part.
    """

    kernel: Kernel
    arguments: tuple[tuple[int, int], ...]
    chunks: int
    call: int

    @property
    def words(self) -> int:
        """Words that it takes in the table."""
        return _ARGUMENTS + len(self.arguments)


@dataclass(frozen=True)
class Own:
    """Memory that each of so many threads has of its own: `bytes` in the tensor of a base, one behind the other."""

    base: int
    offset: int
    bytes: int
    threads: int


@dataclass(frozen=True)
class Run:
    """So many calls, with so many tensors, those that are read first.

    Groups of chains of steps come one after the other. One chain is done by all threads together, several are done side
    by side, each by one of the threads that have memory of their `own`.
    """

    tensors: int
    calls: int
    own: Own | None
    groups: tuple[tuple[tuple[Step, ...], ...], ...]

    @property
    def steps(self) -> list[Step]:
        """All steps."""
        return [step for group in self.groups for chain in group for step in chain]


def emit_runs(runs: Mapping[str, Run], isa: Isa) -> bytes:
    """An object file with a function for each run, by its name, and the one by the name of CLOCK."""
    triple = TRIPLES[isa.architecture]
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=isa.processor, opt=1, reloc="pic", codemodel="small"
    )
    code = _Code(isa.architecture)
    for name, run in runs.items():
        code.run(name, run)
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
        self.now, self.note = self._now(), self._note()
        self.perform = self._perform()
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

    def run(self, name: str, run: Run) -> None:
        """The function of a run."""
        words: list[Any] = []
        for group in run.groups:
            if len(group) > 1:
                directory = _DIRECTORY + 2 * len(group)
                ends = list(accumulate((sum(step.words for step in chain) for chain in group), initial=directory))
                numbers = [0, len(group), ends[-1]]
                numbers += [n for start, chain in zip(ends, group, strict=False) for n in (start, len(chain))]
                words += [ir.Constant(_I64, number) for number in numbers]
            for step in (step for chain in group for step in chain):
                words.append(self._thunk(step.kernel).ptrtoint(_I64))
                words += [ir.Constant(_I64, number) for number in (step.chunks, len(step.arguments), step.call)]
                words += [ir.Constant(_I64, offset << _BASE_BITS | base) for base, offset in step.arguments]
        words += [ir.Constant(_I64, 1)] * _ARGUMENTS  # behind the last call is one that is not shared
        groups = sum(1 if len(group) > 1 else len(group[0]) for group in run.groups)
        type = ir.ArrayType(_I64, len(words))
        table = ir.GlobalVariable(self.module, type, f"{name}_table")
        table.linkage, table.global_constant, table.initializer = "internal", True, ir.Constant(type, words)
        most = max(len(step.arguments) for step in run.steps)

        function, b = self._function(_PREFIX + name, _I32, _ADDRESS, _ADDRESS, _I32, _ADDRESS, internal=False)
        _, arguments, _, result = function.args
        bases = _room(b, run.tensors + 1)
        b.store(ir.Constant(_I64, 0), bases)
        with _loop(b, ir.Constant(_I64, run.tensors)) as i:
            data = _data(b, _at(b, arguments, b.mul(i, ir.Constant(_I64, _ANY_BYTES))))
            b.store(data, b.gep(bases, [b.add(i, ir.Constant(_I64, 1))], source_etype=_I64))
        b.call(self.note, [ir.Constant(_I64, -1), ir.Constant(_I64, run.calls)])
        job = _room(b, _JOB_WORDS)
        for word, value in {
            _TABLE: _Pointer(table),
            _GROUPS: ir.Constant(_I64, groups),
            _BASES: bases,
            _MOST: ir.Constant(_I64, most),
            _STATUS: ir.Constant(_I64, 0),
            _TENSORS: ir.Constant(_I64, run.tensors),
            _OWN: self._own_memory(b, bases, run),
            _OWN_BYTES: ir.Constant(_I64, run.own.bytes if run.own else 0),
            _SIDE_BY_SIDE: ir.Constant(_I64, run.own.threads if run.own else 1),
            _ARRIVED: ir.Constant(_I64, 0),
            _BEGUN: ir.Constant(_I64, 0),
        }.items():
            b.store(value, _word(b, job, word))
        if any(len(group) > 1 for group in run.groups) or any(step.chunks > 1 for step in run.steps):
            launch = b.load(self.launcher, typ=_ADDRESS)
            launched = _call(b, launch, _I32, _Pointer(self.work), job, ir.Constant(_I32, 0))
        else:
            alone = _room(b, 2)
            b.store(ir.Constant(_I32, 1), _word(b, alone, 1))
            launched = b.call(self.work, [ir.Constant(_I32, 0), alone, job])
        failed = b.icmp_signed("!=", launched, ir.Constant(_I32, 0))
        status = b.select(failed, launched, b.load(_word(b, job, _STATUS), typ=_I32))
        _return_nothing(b, result, status)

    def _own_memory(self, b: Any, bases: Any, run: Run) -> Any:
        """The address of the first thread's own memory."""
        if run.own is None:
            return ir.Constant(_I64, 0)
        base = b.load(_word(b, bases, run.own.base), typ=_I64)
        return b.add(base, ir.Constant(_I64, run.own.offset))

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

    def _perform(self) -> Any:
        """Make a call of the table, as one part of some; `values` has room for its arguments."""
        function, b = self._function("perform", ir.VoidType(), _ADDRESS, _ADDRESS, _ADDRESS, _ADDRESS, _I64, _I64)
        call, bases, values, job, part, parts = function.args
        with _loop(b, b.load(_word(b, call, _COUNT), typ=_I64)) as i:
            word = b.load(b.gep(call, [b.add(i, ir.Constant(_I64, _ARGUMENTS))], source_etype=_I64), typ=_I64)
            base = b.gep(bases, [b.and_(word, ir.Constant(_I64, (1 << _BASE_BITS) - 1))], source_etype=_I64)
            value = b.add(b.load(base, typ=_I64), b.ashr(word, ir.Constant(_I64, _BASE_BITS)))
            b.store(value, b.gep(values, [i], source_etype=_I64))
        thunk = b.inttoptr(b.load(_word(b, call, _THUNK), typ=_I64), _ADDRESS)
        failed = _call(b, thunk, _I32, values, part, parts)
        with b.if_then(b.icmp_signed("!=", failed, ir.Constant(_I32, 0))):
            b.store(failed, _word(b, job, _STATUS))
        b.ret_void()
        return function

    def _work(self) -> Any:
        """What a thread does of a run: the calls of the table, one after the other, each with its own arguments."""
        function, b = self._function("work", _I32, _I32, _ADDRESS, _ADDRESS)
        task, environment, job = function.args
        first, groups, given, most, tensors, own, own_bytes, most_threads = (
            b.load(_word(b, job, i), typ=_I64)
            for i in (_TABLE, _GROUPS, _BASES, _MOST, _TENSORS, _OWN, _OWN_BYTES, _SIDE_BY_SIDE)
        )
        threads = b.sext(b.load(_at(b, environment, ir.Constant(_I64, 8)), typ=_I32), _I64)
        task = b.sext(task, _I64)
        zero, one = ir.Constant(_I64, 0), ir.Constant(_I64, 1)
        values, cursor = _Pointer(b.alloca(_I64, most)), _room(b, 1)
        side_by_side = b.select(b.icmp_signed("<", threads, most_threads), threads, most_threads)
        behind_all = b.add(tensors, one)
        bases = _Pointer(b.alloca(_I64, b.add(behind_all, one)))
        with _loop(b, behind_all) as i:
            base = b.load(b.gep(b.inttoptr(given, _ADDRESS), [i], source_etype=_I64), typ=_I64)
            b.store(base, b.gep(bases, [i], source_etype=_I64))
        b.store(b.add(own, b.mul(task, own_bytes)), b.gep(bases, [behind_all], source_etype=_I64))
        arrivals, begun, since, place = (_room(b, 1) for _ in range(4))
        for word, value in ((cursor, first), (arrivals, zero), (begun, zero), (since, b.call(self.now, []))):
            b.store(value, word)

        def meet() -> None:
            with b.if_then(b.icmp_signed(">", threads, one)):
                awaited = b.add(b.load(arrivals, typ=_I64), threads)
                b.store(awaited, arrivals)
                b.call(self.meet, [_word(b, job, _ARRIVED), awaited])

        with _loop(b, groups):
            group = b.load(cursor, typ=_ADDRESS)
            is_call = b.icmp_signed("!=", b.load(group, typ=_I64), zero)
            with b.if_else(is_call) as (call, chains):
                with call:
                    chunks, count, number = (b.load(_word(b, group, i), typ=_I64) for i in (_CHUNKS, _COUNT, _CALL))
                    words = b.add(count, ir.Constant(_I64, _ARGUMENTS))
                    following = b.gep(group, [words], source_etype=_I64)
                    b.store(following, cursor)
                    parts = b.select(b.icmp_signed("<", threads, chunks), threads, chunks)
                    with b.if_then(b.icmp_signed("<", task, parts)):
                        b.call(self.perform, [group, bases, values, job, task, parts])
                    next_chunks = b.load(_word(b, following, _CHUNKS), typ=_I64)
                    with b.if_then(b.or_(b.icmp_signed(">", chunks, one), b.icmp_signed(">", next_chunks, one))):
                        meet()
                    with b.if_then(b.icmp_signed("==", task, zero)):
                        now = b.call(self.now, [])
                        b.call(self.note, [number, b.sub(now, b.load(since, typ=_I64))])
                        b.store(now, since)
                with chains:
                    count, behind = (b.load(_word(b, group, i), typ=_I64) for i in (_CHAINS, _BEHIND))
                    b.store(b.gep(group, [behind], source_etype=_I64), cursor)
                    with b.if_then(b.icmp_signed("<", task, side_by_side)):
                        before = b.load(begun, typ=_I64)
                        self._chains(b, job, group, count, before, (bases, values, side_by_side, place))
                    b.store(b.add(b.load(begun, typ=_I64), b.add(count, side_by_side)), begun)
                    meet()
                    b.store(b.call(self.now, []), since)
        b.ret(ir.Constant(_I32, 0))
        return function

    def _chains(self, b: Any, job: Any, group: Any, count: Any, before: Any, given: tuple[Any, ...]) -> None:
        """Do chains of a group until all are begun; `before` it so many were, or a thread found that all were.

        A word at `place` is for the call to make.
        """
        bases, values, threads, place = given
        zero, one = ir.Constant(_I64, 0), ir.Constant(_I64, 1)
        ask, do, after = (b.append_basic_block(name) for name in ("ask", "do", "after"))
        b.branch(ask)
        b.position_at_end(ask)
        mine = b.sub(b.atomic_rmw("add", _word(b, job, _BEGUN), one, "acq_rel"), before)
        b.cbranch(b.icmp_signed("<", mine, count), do, after)
        b.position_at_end(do)
        entry = b.gep(group, [b.mul(mine, ir.Constant(_I64, 2))], source_etype=_I64)
        start, calls = (b.load(_word(b, entry, _DIRECTORY + i), typ=_I64) for i in range(2))
        b.store(b.gep(group, [start], source_etype=_I64), place)
        with _loop(b, calls):
            call = b.load(place, typ=_ADDRESS)
            since = b.call(self.now, [])
            b.call(self.perform, [call, bases, values, job, zero, one])
            taken = b.sdiv(b.sub(b.call(self.now, []), since), threads)
            b.call(self.note, [b.load(_word(b, call, _CALL), typ=_I64), taken])
            words = b.add(b.load(_word(b, call, _COUNT), typ=_I64), ir.Constant(_I64, _ARGUMENTS))
            b.store(b.gep(call, [words], source_etype=_I64), place)
        b.branch(ask)
        b.position_at_end(after)

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

    def _now(self) -> Any:
        """The time in ns, where somebody wants to know; otherwise 0."""
        function, b = self._function("now", _I64)
        get_time = ir.Function(self.module, ir.FunctionType(_I32, [_I32, _ADDRESS]), "clock_gettime")
        place = b.load(self.place, typ=_ADDRESS)
        with b.if_then(b.icmp_unsigned("!=", b.ptrtoint(place, _I64), ir.Constant(_I64, 0))):
            now = _room(b, 2)
            b.call(get_time, [ir.Constant(_I32, _MONOTONIC), now])
            seconds, rest = (b.load(_word(b, now, i), typ=_I64) for i in (0, 1))
            b.ret(b.add(b.mul(seconds, ir.Constant(_I64, 10**9)), rest))
        b.ret(ir.Constant(_I64, 0))
        return function

    def _note(self) -> Any:
        """Write down the number of a call and its time, where somebody wants to know."""
        function, b = self._function("note", ir.VoidType(), _I64, _I64)
        place = b.load(self.place, typ=_ADDRESS)
        with b.if_then(b.icmp_unsigned("!=", b.ptrtoint(place, _I64), ir.Constant(_I64, 0))):
            used = b.atomic_rmw("add", place, ir.Constant(_I64, len(function.args)), "acq_rel")
            room = b.load(_word(b, place, 1), typ=_I64)
            with b.if_then(b.icmp_signed("<", b.add(used, ir.Constant(_I64, 1)), room)):
                for i, value in enumerate(function.args):
                    b.store(value, b.gep(place, [b.add(used, ir.Constant(_I64, 2 + i))], source_etype=_I64))
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
