"""Schedules that were searched for: traces of TVM's scheduling, kept as JSON, checked, applied to a call's definition.

A trace is the list of the instructions that made a schedule, and of the decisions that were drawn for them. It comes
from a store or an artifact: only instructions that cannot change what is computed are applied (TVM checks each), and no
annotation that would bring code of its own.
"""

from __future__ import annotations

import json
from typing import Any

import tvm
import tvm_ffi
from tvm import s_tir, tirx
from tvm.s_tir.schedule import Trace

from nascompiler.backends.errors import StoreError

INSTRUCTIONS = frozenset(
    "GetSBlock GetLoops GetChildBlocks GetProducers GetConsumers GetOutputBlocks EnterPostproc Annotate Unannotate "
    "SampleCategorical SamplePerfectTile SamplePartitionedTile SampleComputeLocation "
    "AddUnitLoop Fuse Split Reorder Parallel Vectorize Unroll CacheRead CacheWrite ComputeAt ReverseComputeAt "
    "ComputeInline ReverseComputeInline DecomposeReduction RFactor StorageAlign".split()
)

ANNOTATIONS = ("meta_schedule.", "pragma_auto_unroll_max_step", "pragma_unroll_explicit")
"""How the keys of annotations begin; `pragma_import_c` would compile what it is given."""


def text_of(trace: Any) -> str:
    """A trace as text."""
    return json.dumps(_plain(trace.as_json()), separators=(",", ":"))


def scheduled(function: Any, text: str) -> Any:
    """A PrimFunc by the schedule of that text; raises StoreError for one that does not fit or is not allowed."""
    schedule = s_tir.Schedule(tvm.IRModule({"main": function}))
    try:
        trace = json.loads(text)
        for name, _, attributes, _ in trace[0]:
            if name not in INSTRUCTIONS:
                raise ValueError(f"the instruction {name!r} is not allowed")
            if name == "Annotate" and not str(attributes[0]).startswith(ANNOTATIONS):
                raise ValueError(f"the annotation {attributes[0]!r} is not allowed")
        Trace.apply_json_to_schedule(trace, schedule)
    except Exception as error:  # whatever TVM finds wrong with it
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise StoreError(f"a schedule found by MetaSchedule cannot be applied: {reason}; search for it again") from None
    return schedule.mod["main"]


def _plain(value: Any) -> Any:
    """TVM's JSON as Python's."""
    if isinstance(value, (tvm_ffi.Array, list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (tvm_ffi.Map, dict)):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (tirx.IntImm, tirx.FloatImm)):
        return value.value
    return str(value) if isinstance(value, str) else value
