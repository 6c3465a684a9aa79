"""A plain schedule for leftovers: intermediate results computed where they are used, large loops shared by threads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

import tvm
from tvm import s_tir
from tvm.s_tir.schedule import ScheduleError

from nascompiler.backends.target import Isa
from nascompiler.backends.tvm_adapter.leftovers.quantized_sums import IMAGE
from nascompiler.backends.tvm_adapter.schedule_sums import schedule_exact_sums

PARALLEL_FROM = 1 << 15
"""Iterations from which threads share a loop; below, starting them costs more than they save."""

SHORTEST_ROW = 4
"""A reduction goes row by row when rows have at least so many elements: they are contiguous, and LLVM makes vectors."""

_SPATIAL, _REDUCTION = 0, 2


def schedule_leftover(function: Any, isa: Isa) -> Any:
    """The PrimFunc with its stages inlined, its reductions outside the innermost loop, and its large loops parallel."""
    schedule = s_tir.Schedule(tvm.IRModule({"main": function}))
    for block in _blocks(schedule):
        # a value that is read twice is computed once and kept
        if not _is_kept(schedule, block) and len(schedule.get_consumers(block)) == 1:
            try:
                schedule.compute_inline(block)
            except ScheduleError:
                continue  # it writes what it reads, or its reader needs the whole of it
    done: set[str] = set()
    for block in _blocks(schedule):
        name = schedule.get(block).name_hint
        if name in done or not _is_reduction(schedule, block):
            continue
        consumer = schedule_exact_sums(schedule, block, isa, partial(_share, schedule))
        if consumer is not None:
            done.update((name, schedule.get(consumer).name_hint))
    for block in _blocks(schedule):
        if schedule.get(block).name_hint in done:
            continue
        loops, kinds = schedule.get_loops(block), _kinds(schedule, block)
        if len(loops) != len(kinds):
            continue
        spatial = [loop for loop, kind in zip(loops, kinds, strict=True) if kind == _SPATIAL]
        reduction = [loop for loop, kind in zip(loops, kinds, strict=True) if kind == _REDUCTION]
        if len(spatial) + len(reduction) != len(loops) or not spatial:
            continue
        row_by_row = bool(reduction) and _extent(schedule, spatial[-1]) >= SHORTEST_ROW
        if row_by_row:
            schedule.reorder(*spatial[:-1], *reduction, spatial[-1])
        _share(schedule, spatial[:-1] if row_by_row or not reduction else spatial, loops)
        if row_by_row:
            schedule.decompose_reduction(block, reduction[0])
    return schedule.mod["main"]


def _blocks(schedule: Any) -> list[Any]:
    return list(schedule.get_child_blocks(schedule.get_sblock("root")))


def _kinds(schedule: Any, block: Any) -> list[int]:
    return [int(axis.iter_type) for axis in schedule.get(block).iter_vars]


def _is_kept(schedule: Any, block: Any) -> bool:
    """Whether a stage is no part of the stage that reads it: a reduction, or what a reduction reads many times."""
    return _is_reduction(schedule, block) or IMAGE in schedule.get(block).annotations


def _is_reduction(schedule: Any, block: Any) -> bool:
    return _REDUCTION in _kinds(schedule, block)


def _extent(schedule: Any, loop: Any) -> int:
    return int(schedule.get(loop).extent)


def _share(schedule: Any, outer: Sequence[Any], loops: Sequence[Any]) -> None:
    """Share the `outer` loops of a nest among threads, when there is enough to do."""
    if prod(_extent(schedule, loop) for loop in loops) < PARALLEL_FROM:
        return
    if prod(_extent(schedule, loop) for loop in outer) > 1:
        schedule.parallel(schedule.fuse(*outer) if len(outer) > 1 else outer[0])
