"""A plain schedule for leftovers: intermediate results computed where they are used, large loops shared by threads."""

from __future__ import annotations

from math import prod
from typing import Any

import tvm
from tvm import s_tir
from tvm.s_tir.schedule import ScheduleError

PARALLEL_FROM = 1 << 15
"""Iterations from which threads share a loop; below, starting them costs more than they save."""

_SPATIAL, _REDUCTION = 0, 2


def schedule_leftover(function: Any) -> Any:
    """The PrimFunc with its stages inlined, its reductions outside the innermost loop, and its large loops parallel."""
    schedule = s_tir.Schedule(tvm.IRModule({"main": function}))
    for block in _blocks(schedule):
        # a value that is read twice is computed once and kept
        if not _is_reduction(schedule, block) and len(schedule.get_consumers(block)) == 1:
            try:
                schedule.compute_inline(block)
            except ScheduleError:
                continue  # it writes what it reads, or its reader needs the whole of it
    for block in _blocks(schedule):
        if _is_reduction(schedule, block):
            block = _reduce_row_by_row(schedule, block)
        _share(schedule, block)
    return schedule.mod["main"]


def _blocks(schedule: Any) -> list[Any]:
    return list(schedule.get_child_blocks(schedule.get_sblock("root")))


def _kinds(schedule: Any, block: Any) -> list[int]:
    return [int(axis.iter_type) for axis in schedule.get(block).iter_vars]


def _is_reduction(schedule: Any, block: Any) -> bool:
    return _REDUCTION in _kinds(schedule, block)


def _extent(schedule: Any, loop: Any) -> int:
    return int(schedule.get(loop).extent)


def _reduce_row_by_row(schedule: Any, block: Any) -> Any:
    """Let the last spatial loop be the innermost, where it is contiguous and LLVM makes vectors of it."""
    loops, kinds = schedule.get_loops(block), _kinds(schedule, block)
    if len(loops) != len(kinds):
        return block
    spatial = [loop for loop, kind in zip(loops, kinds, strict=True) if kind == _SPATIAL]
    reduction = [loop for loop, kind in zip(loops, kinds, strict=True) if kind == _REDUCTION]
    if not spatial or _extent(schedule, spatial[-1]) < 4 or len(spatial) + len(reduction) != len(loops):
        return block
    schedule.reorder(*spatial[:-1], *reduction, spatial[-1])
    schedule.decompose_reduction(block, reduction[0])
    return block


def _share(schedule: Any, block: Any) -> None:
    """Fuse the outer spatial loops and share them among threads, when there is enough to do."""
    loops = schedule.get_loops(block)
    kinds = _kinds(schedule, block)
    if len(loops) != len(kinds) or prod(_extent(schedule, loop) for loop in loops) < PARALLEL_FROM:
        return
    outer = []
    for loop in loops[:-1]:
        if kinds[len(outer)] != _SPATIAL:
            break
        outer.append(loop)
    if outer and prod(_extent(schedule, loop) for loop in outer) > 1:
        schedule.parallel(schedule.fuse(*outer) if len(outer) > 1 else outer[0])
