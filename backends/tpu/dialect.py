"""The dialects `tpu` and `host`: the ops of qnn and nn again, with where each is computed, how, and why.

A `tpu` node belongs to a region: regions are numbered in the order in which they run, each is one program. `mapping`
says how it is laid out on the array. Both dialects evaluate as the ops they stand for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nascompiler.backends.tpu.compiler.legality import SUPPORTED
from nascompiler.ir.attributes import AttributeDef, integer, string
from nascompiler.ir.ops import OPS, OpDef, register_op

REASON = string("reason", "")
TPU_ATTRIBUTES = (integer("region", 0, minimum=0), string("mapping", ""), REASON)
HOST_ATTRIBUTES = (REASON,)


def original_name(op: OpDef) -> str:
    """The op that a `tpu` or `host` op stands for."""
    return _ORIGINALS[op.name]


def original_attributes(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes without those that placement added."""
    return {name: value for name, value in attributes.items() if name not in _ADDED}


def _without(function: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """A function of an op that does not see the attributes that placement added."""
    if function is None:
        return None

    def called(*operands: Any, **attributes: Any) -> Any:
        return function(*operands, **original_attributes(attributes))

    return called


def _register(dialect: str, op: OpDef, added: tuple[AttributeDef, ...]) -> None:
    name = f"{dialect}.{op.name.partition('.')[2]}"
    if name in _ORIGINALS:  # both dialects have one of this name: the integers' name gets its dialect
        name = f"{dialect}.{op.name.replace('.', '_')}"
    infer = _without(op.infer)
    assert infer is not None
    register_op(
        replace(
            op,
            name=name,
            attributes=(*op.attributes, *added),
            infer=infer,
            evaluate=_without(op.evaluate),
            decompose=_without(op.decompose),
            macs=_without(op.macs),
            traits=frozenset(),
            channels=None,
            static_form=None,
            to_static=None,
        )
    )
    _ORIGINALS[name] = op.name


_ADDED = frozenset({"region", "mapping", "reason"})
_ORIGINALS: dict[str, str] = {}

for _name in sorted(OPS):
    if _name.startswith(("nn.", "qnn.")):
        _register("host", OPS[_name], HOST_ATTRIBUTES)
for _base in SUPPORTED:
    _register("tpu", OPS[f"qnn.{_base}" if f"qnn.{_base}" in OPS else f"nn.{_base}"], TPU_ATTRIBUTES)

PLACED = {(name.partition(".")[0], original): name for name, original in _ORIGINALS.items()}
"""(dialect, op) -> the op that stands for it there."""
