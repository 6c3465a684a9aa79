"""Moving elements: transposing, joining, splitting, cutting, padding, repeating, reshaping."""

from __future__ import annotations

import numpy as np

from nascompiler.image_layouts import TO_CHANNELS_FIRST, TO_CHANNELS_LAST
from nascompiler.ir.graph import Node
from nascompiler.onnx.emission import CHANNELS_FIRST_AXIS, Emitter
from nascompiler.onnx.emitters.registry import EmitTable


def _transpose(e: Emitter, node: Node) -> None:
    """Between NHWC and NCHW there is nothing to do but to use the other form."""
    x, permutation = node.operands[0], node["permutation"]
    if permutation == TO_CHANNELS_FIRST:
        e.set_plain(node.result, e.first(x))
    elif permutation == TO_CHANNELS_LAST:
        e.set_first(node.result, e.plain(x))
    else:
        e.set_plain(node.result, e.node("Transpose", e.plain(x), perm=permutation, hint=node.result.name))


def mapped_axes(axes: tuple[int, ...], rank: int | None, *, channels_first: bool) -> list[int]:
    """Axes of a value, counted from the front where its rank is known, in the layout of the form used."""
    positive = [a % rank if rank else a for a in axes]
    return [CHANNELS_FIRST_AXIS[a] for a in positive] if channels_first else positive


def _concat(e: Emitter, node: Node) -> None:
    first = e.prefers_first(node.operands)
    names = [e.form(v, channels_first=first) for v in node.operands]
    (axis,) = mapped_axes((node["axis"],), node.result.type.rank, channels_first=first)
    e.set_form(node.result, e.node("Concat", *names, hint=node.result.name, axis=axis), channels_first=first)


def _split(e: Emitter, node: Node) -> None:
    x = node.operands[0]
    first = e.prefers_first([x])
    (axis,) = mapped_axes((node["axis"],), x.type.rank, channels_first=first)
    sizes = e.constant(np.array(node["sizes"], np.int64))
    hints = [v.name for v in node.results]
    outputs = e.nodes_outputs("Split", e.form(x, channels_first=first), sizes, hints=hints, axis=axis)
    for value, name in zip(node.results, outputs, strict=True):
        e.set_form(value, name, channels_first=first)


def _slice(e: Emitter, node: Node) -> None:
    x = node.operands[0]
    first = e.prefers_first([x])
    axes = mapped_axes(node["axes"], x.type.rank, channels_first=first)
    bounds = [np.array(v, np.int64) for v in (node["starts"], node["ends"], axes, node["steps"])]
    name = e.node("Slice", e.form(x, channels_first=first), *map(e.constant, bounds), hint=node.result.name)
    e.set_form(node.result, name, channels_first=first)


def _pad(e: Emitter, node: Node) -> None:
    x = node.operands[0]
    first = e.prefers_first([x])
    order = TO_CHANNELS_FIRST if first else range(len(node["before"]))
    pads = np.array([amounts[axis] for amounts in (node["before"], node["after"]) for axis in order], np.int64)
    value = [e.constant(np.array(node["value"], x.type.dtype.numpy))] if node["mode"] == "constant" else []
    name = e.node(
        "Pad", e.form(x, channels_first=first), e.constant(pads), *value, hint=node.result.name, mode=node["mode"]
    )
    e.set_form(node.result, name, channels_first=first)


def _gather(e: Emitter, node: Node) -> None:
    names = map(e.plain, node.operands)
    e.set_plain(node.result, e.node("Gather", *names, hint=node.result.name, axis=node["axis"]))


def _reshape(e: Emitter, node: Node) -> None:
    shape = np.array(node["shape"], np.int64)
    name = e.node(
        "Reshape",
        e.row_major(node.operands[0]),
        e.constant(shape),
        hint=node.result.name,
        allowzero=1 if 0 in node["shape"] else None,
    )
    e.set_plain(node.result, name)


def _flatten(e: Emitter, node: Node) -> None:
    x = node.operands[0]
    source = e.row_major(x) if node["axis"] in (1, -3) else e.plain(x)
    e.set_plain(node.result, e.node("Flatten", source, hint=node.result.name, axis=node["axis"]))


def _squeeze(e: Emitter, node: Node) -> None:
    x = node.operands[0]
    if not node["axes"]:  # for ONNX that would mean all
        e.alias(node.result, x)
        return
    first = sorted(a % 4 for a in node["axes"]) == [1, 2] and e.prefers_first([x])  # [N, C] is left of both layouts
    axes = mapped_axes(node["axes"], x.type.rank, channels_first=first)
    name = e.node(
        "Squeeze", e.form(x, channels_first=first), e.constant(np.array(axes, np.int64)), hint=node.result.name
    )
    e.set_plain(node.result, name)


def _unsqueeze(e: Emitter, node: Node) -> None:
    axes = e.constant(np.array(node["axes"], np.int64))
    e.set_plain(node.result, e.node("Unsqueeze", e.plain(node.operands[0]), axes, hint=node.result.name))


def _expand(e: Emitter, node: Node) -> None:
    shape = e.constant(np.array(node["shape"], np.int64))
    e.set_plain(node.result, e.node("Expand", e.plain(node.operands[0]), shape, hint=node.result.name))


def _tile(e: Emitter, node: Node) -> None:
    repeats = e.constant(np.array(node["repeats"], np.int64))
    e.set_plain(node.result, e.node("Tile", e.plain(node.operands[0]), repeats, hint=node.result.name))


EMITTERS: EmitTable = {
    "nn.transpose": _transpose,
    "nn.concat": _concat,
    "nn.split": _split,
    "nn.slice": _slice,
    "nn.pad": _pad,
    "nn.gather": _gather,
    "nn.reshape": _reshape,
    "nn.flatten": _flatten,
    "nn.squeeze": _squeeze,
    "nn.unsqueeze": _unsqueeze,
    "nn.expand": _expand,
    "nn.tile": _tile,
}
