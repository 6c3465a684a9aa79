"""How channels flow through ops that move, join, cut, repeat and reduce without weights."""

from __future__ import annotations

from math import prod

from nascompiler.ir.channels import spans
from nascompiler.ir.channels.flow import Flow, NotFollowed, Rule
from nascompiler.ir.channels.layers import keep
from nascompiler.ir.channels.spans import Pattern
from nascompiler.ir.channels.structure import Role
from nascompiler.ir.types import Dim


def elementwise(flow: Flow) -> None:
    """Operands broadcast as in NumPy: where one carries channels, all that are as wide carry the same."""
    shape = _result_shape(flow)
    ranks = [len(flow.shape(i)) for i in range(flow.operand_count)]
    for axis, width in enumerate(shape):
        aligned = [(i, axis - len(shape) + rank) for i, rank in enumerate(ranks) if axis - len(shape) + rank >= 0]
        if not any(flow.carries(i, own) for i, own in aligned):
            continue
        wide = [(i, own) for i, own in aligned if flow.shape(i)[own] == width]
        for i, own in aligned:
            if (i, own) not in wide and flow.carries(i, own):
                flow.take(i, own)  # a single channel, broadcast
        if any(flow.carries(i, own) for i, own in wide):
            flow.give(axis, flow.unify(*(flow.take(i, own) for i, own in wide)))


def image(flow: Flow) -> None:
    """Ops on the pixels of x [N, H, W, C]."""
    keep(flow, [3])


def transpose(flow: Flow) -> None:
    for axis, source in enumerate(flow["permutation"]):
        if flow.carries(0, source):
            flow.give(axis, flow.take(0, source))


def squeeze(flow: Flow) -> None:
    rank = len(flow.shape(0))
    dropped = {axis % rank for axis in flow["axes"]}
    kept = [axis for axis in range(rank) if axis not in dropped]
    for axis in flow.tracked(0):
        pattern = flow.take(0, axis)
        if axis in kept:
            flow.give(kept.index(axis), pattern)


def unsqueeze(flow: Flow) -> None:
    rank = len(_result_shape(flow))
    added = {axis % rank for axis in flow["axes"]}
    kept = [axis for axis in range(rank) if axis not in added]
    for axis in flow.tracked(0):
        flow.give(kept[axis], flow.take(0, axis))


def reshape(flow: Flow) -> None:
    """Flattening repeats a channel for every position beside it; only what was repeated so is told apart again."""
    source, target = flow.shape(0), _result_shape(flow)
    wanted = flow.node.attributes.get("shape")
    for olds, news in reshape_chunks(source, target):
        carriers = [axis for axis in olds if flow.carries(0, axis) and source[axis] != 1]
        for axis in olds:
            if flow.carries(0, axis) and source[axis] == 1:
                flow.take(0, axis)
        if len(carriers) != 1 or news is None:
            continue  # none, or channels mixed with channels
        found = _reshaped(flow.peek(0, carriers[0]), carriers[0], source, olds, target, news)
        if found is None:
            continue
        flow.take(0, carriers[0])
        axis, pattern = found
        flow.give(axis, pattern)
        if isinstance(wanted, tuple) and wanted[axis] != -1:
            flow.counts("shape", pattern, entry=axis)


def _reshaped(
    pattern: Pattern, carrier: int, source: tuple[Dim, ...], olds: list[int], target: tuple[Dim, ...], news: list[int]
) -> tuple[int, Pattern] | None:
    """Which new axis carries the channels, and how; None when none does alone."""
    inner = prod(_size(source[axis]) for axis in olds if axis > carrier)
    outer = prod(_size(source[axis]) for axis in olds if axis < carrier)
    full = spans.repeated(pattern, inner) * outer
    wide = [axis for axis in news if target[axis] != 1]
    for axis in reversed(wide):
        part = spans.tiles(full, prod(_size(target[other]) for other in wide if other < axis))
        if part is None:
            continue
        part = spans.unrepeated(part, prod(_size(target[other]) for other in wide if other > axis))
        if part is not None:
            return axis, part
    return None


def reshape_chunks(source: tuple[Dim, ...], target: tuple[Dim, ...]) -> list[tuple[list[int], list[int] | None]]:
    """Smallest runs of axes of both shapes that hold the same elements; None where sizes are too open to tell."""
    if 0 in source:
        raise NotFollowed("x has no elements")
    start, end, new_end = 0, len(source), len(target)
    chunks: list[tuple[list[int], list[int] | None]] = []
    while start < min(end, new_end) and source[start] == target[start] and source[start] is not None:
        chunks.append(([start], [start]))
        start += 1
    while min(end, new_end) > start and source[end - 1] == target[new_end - 1] and source[end - 1] is not None:
        end, new_end = end - 1, new_end - 1
        chunks.append(([end], [new_end]))
    if any(not isinstance(d, int) for d in source[start:end] + target[start:new_end]):
        return [*chunks, (list(range(start, end)), None)]
    old, new = start, start
    while old < end or new < new_end:
        first, new_first = old, new
        old, new = min(old + 1, end), min(new + 1, new_end)
        while (held := _product(source[first:old])) != (wanted := _product(target[new_first:new])):
            if held < wanted:
                old += 1
            else:
                new += 1
        chunks.append((list(range(first, old)), list(range(new_first, new))))
    return chunks


def _product(shape: tuple[Dim, ...]) -> int:
    return prod(_size(d) for d in shape)


def _size(dim: Dim) -> int:
    if not isinstance(dim, int):
        raise NotFollowed("a size is open")
    return dim


def expand(flow: Flow) -> None:
    shape = _result_shape(flow)
    wanted = flow["shape"]
    lead, offset = len(shape) - len(flow.shape(0)), len(shape) - len(wanted)
    for own in flow.tracked(0):
        axis = own + lead
        pattern = flow.take(0, own)
        if flow.shape(0)[own] != shape[axis]:
            pattern = spans.fresh(_size(shape[axis]))
            flow.produce(axis, pattern)
        else:
            flow.give(axis, pattern)
        if axis >= offset and wanted[axis - offset] != 1:
            flow.counts("shape", pattern, entry=axis - offset)


def tile(flow: Flow) -> None:
    for axis in flow.tracked(0):
        flow.give(axis, flow.take(0, axis) * flow["repeats"][axis])


def concat(flow: Flow) -> None:
    rank = len(flow.shape(0))
    along = flow["axis"] % rank
    operands = range(flow.operand_count)
    for axis in range(rank):
        if not any(flow.carries(i, axis) for i in operands):
            continue
        patterns = [flow.take(i, axis) for i in operands]
        flow.give(axis, sum(patterns, ()) if axis == along else flow.unify(*patterns))


def split(flow: Flow) -> None:
    along = flow["axis"] % len(flow.shape(0))
    for axis in flow.tracked(0):
        pattern = flow.take(0, axis)
        parts = flow.divide(pattern, flow["sizes"]) if axis == along else [pattern] * len(flow.node.results)
        for result, part in enumerate(parts):
            flow.give(axis, part, result=result)
            if axis == along:
                flow.counts("sizes", part, entry=result)


def cut(flow: Flow) -> None:
    """nn.slice; one that leaves out every other channel, or reverses them, is not followed."""
    rank = len(flow.shape(0))
    entries = {axis % rank: entry for entry, axis in enumerate(flow["axes"])}
    for axis in flow.tracked(0):
        pattern = flow.peek(0, axis)
        if axis in entries:
            entry, size = entries[axis], spans.size(pattern)
            start, end, step = slice(flow["starts"][entry], flow["ends"][entry], flow["steps"][entry]).indices(size)
            if step != 1 or end <= start:
                continue
            flow.counts("starts", pattern, start, entry=entry)
            flow.counts("ends", pattern, end, entry=entry)
            pattern = flow.divide(pattern, [start, end - start, size - end])[1]
        flow.take(0, axis)
        flow.give(axis, pattern)


def pad(flow: Flow) -> None:
    """Constant channels that are added may be removed like any others; mirrored or cropped ones are not followed."""
    for axis in flow.tracked(0):
        before, after = flow["before"][axis], flow["after"][axis]
        if before < 0 or after < 0 or ((before or after) and flow["mode"] != "constant"):
            continue
        pattern = flow.take(0, axis)
        if before or after:
            head, tail = spans.fresh(before), spans.fresh(after)
            flow.counts("before", head, entry=axis)
            flow.counts("after", tail, entry=axis)
            flow.make(head + tail)
            pattern = head + pattern + tail
        flow.give(axis, pattern)


def gather(flow: Flow) -> None:
    """Axes beside the gathered one; of a constant table its last axis."""
    rank, inserted = len(flow.shape(0)), len(flow.shape(1)) - 1
    along = flow["axis"] % rank
    table = flow.node.operands[0].is_constant
    axes = set(flow.tracked(0)) - {along}
    if table and along != rank - 1:
        axes.add(rank - 1)
    for axis in sorted(axes):
        pattern = flow.take(0, axis, Role.OUTPUT if table else Role.EACH)
        flow.give(axis + inserted * (axis > along), pattern)
        if table:
            flow.make(pattern)


def depth_to_space(flow: Flow) -> None:
    """The pixels of a block share their channels."""
    count = flow["block"] ** 2
    pattern = flow.take(0, 3)
    if flow["mode"] == "DCR":
        flow.give(3, flow.tie(pattern, count))
    else:
        part = spans.fresh(spans.size(pattern) // count)
        flow.unify(spans.repeated(part, count), pattern)
        flow.give(3, part)


def space_to_depth(flow: Flow) -> None:
    flow.give(3, flow.take(0, 3) * flow["block"] ** 2)


def _reduced(flow: Flow, axes: tuple[int, ...], takes: bool) -> None:
    rank = len(flow.shape(0))
    dropped = {axis % rank for axis in axes}
    kept = [axis for axis in range(rank) if axis not in dropped or flow["keepdims"]]
    for axis in flow.tracked(0):
        if axis not in dropped:
            flow.give(kept.index(axis), flow.take(0, axis))
        elif takes:
            flow.take(0, axis, Role.INPUT)


def reduce(flow: Flow) -> None:
    """A mean, maximum, minimum or product over channels depends on how many there are."""
    _reduced(flow, flow["axes"], takes=False)


def reduce_sum(flow: Flow) -> None:
    _reduced(flow, flow["axes"], takes=True)


def argmax(flow: Flow) -> None:
    _reduced(flow, (flow["axis"],), takes=False)


def shape_of(flow: Flow) -> None:
    """A size that is computed with must stay."""
    rank = len(flow.shape(0))
    used = range(*slice(flow["start"], flow["end"]).indices(rank))
    for axis in flow.tracked(0):
        if axis not in used:
            flow.take(0, axis)


def _result_shape(flow: Flow) -> tuple[Dim, ...]:
    shape = flow.node.results[0].type.shape
    if shape is None:
        raise NotFollowed("the rank of the result is not known")
    return shape


RULES: dict[str, Rule] = {
    "nn.average_pool2d": image,
    "nn.max_pool2d": image,
    "nn.global_average_pool": image,
    "nn.global_max_pool": image,
    "nn.resize": image,
    "qnn.average_pool2d": image,
    "qnn.global_average_pool": image,
    "qnn.resize": image,
    "nn.dynamic_resize": image,
    "nn.dynamic_resize_scales": image,
    "nn.transpose": transpose,
    "nn.squeeze": squeeze,
    "nn.unsqueeze": unsqueeze,
    "nn.reshape": reshape,
    "nn.flatten": reshape,
    "nn.expand": expand,
    "nn.tile": tile,
    "nn.concat": concat,
    "nn.split": split,
    "nn.slice": cut,
    "nn.pad": pad,
    "nn.gather": gather,
    "nn.depth_to_space": depth_to_space,
    "nn.space_to_depth": space_to_depth,
    "nn.reduce_sum": reduce_sum,
    "nn.reduce_mean": reduce,
    "nn.reduce_max": reduce,
    "nn.reduce_min": reduce,
    "nn.reduce_prod": reduce,
    "nn.argmax": argmax,
    "nn.argmin": argmax,
    "nn.shape": shape_of,
}
