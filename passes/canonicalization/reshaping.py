"""Reshapes and their kin, transposes, and moves of elements that move nothing.

`nn.reshape` is the one form for squeeze, unsqueeze and flatten wherever at most one size of the result is open; sizes
are written out where they are known, so that equal reshapes look equal.
"""

from __future__ import annotations

from nascompiler.ir import Builder, Node, TensorType, Value
from nascompiler.ir.types import Dim
from nascompiler.passes.canonicalization.types import same_elements, same_for_sure
from nascompiler.passes.infrastructure.patterns import Match, anything, op
from nascompiler.passes.infrastructure.rewriter import Rule

_REDUCTIONS = ("nn.reduce_sum", "nn.reduce_mean", "nn.reduce_max", "nn.reduce_min", "nn.reduce_prod")
_RESHAPES = ("nn.reshape", "nn.squeeze", "nn.unsqueeze", "nn.flatten")


def reshape_attribute(type: TensorType) -> tuple[int, ...] | None:
    """The `shape` of the reshape that makes this type, or None when more than one size is open."""
    shape = type.shape or ()
    open_axes = [axis for axis, size in enumerate(shape) if not isinstance(size, int)]
    if type.shape is None or len(open_axes) > 1 or (open_axes and 0 in shape):
        return None
    return tuple(size if isinstance(size, int) else -1 for size in shape)


def reshape(builder: Builder, x: Value, type: TensorType) -> Value | None:
    """x reshaped to a type, or None when `nn.reshape` cannot say it."""
    shape = reshape_attribute(type)
    if shape is None:
        return None
    value: Value = builder.nn.reshape(x, shape=shape)
    return value


def _as_reshape(match: Match, builder: Builder) -> Value | None:
    return reshape(builder, match["x"], match.root.result.type)


def _with_sizes(match: Match, builder: Builder) -> Value | None:
    wanted = reshape_attribute(match.root.result.type)
    return None if wanted == match.root["shape"] else _as_reshape(match, builder)


def _same_shape(match: Match, builder: Builder) -> Value | None:
    """x, where the shapes are equal, given that the number of elements is."""
    x, result = match["x"], match.root.result
    if x.type.shape is None or result.type.shape is None or x.type.rank != result.type.rank:
        return None
    pairs = list(zip(x.type.shape, result.type.shape, strict=True))
    differing = [pair for pair in pairs if pair[0] != pair[1] or pair[0] is None]
    certain = not differing or (len(differing) == 1 and not _certainly_differ(*differing[0]) and (0, 0) not in pairs)
    return x if certain and same_elements(x.type, result.type) else None


def _certainly_differ(a: Dim, b: Dim) -> bool:
    return isinstance(a, int) and isinstance(b, int) and a != b


def _unchanged(match: Match, builder: Builder) -> Value | None:
    return match["x"] if same_for_sure(match["x"].type, match.root.result.type) else None


def _one_transpose(match: Match, builder: Builder) -> Value:
    inner, outer = match.node("inner")["permutation"], match.root["permutation"]
    value: Value = builder.nn.transpose(match["x"], permutation=[inner[axis] for axis in outer])
    return value


def _no_transpose(match: Match, builder: Builder) -> Value | None:
    permutation = match.root["permutation"]
    return match["x"] if permutation == tuple(range(len(permutation))) else None


def moves_only_ones(node: Node) -> bool:
    """Whether a transpose keeps the elements in their order in memory: only dimensions of size 1 change places."""
    shape = node.operands[0].type.shape
    if shape is None:
        return False
    others = [axis for axis in node["permutation"] if shape[axis] != 1]
    return others == sorted(others)


def _reshape_of_transpose(match: Match, builder: Builder) -> Value | None:
    return _as_reshape(match, builder) if moves_only_ones(match.node("inner")) else None


def _transpose_of_reshape(match: Match, builder: Builder) -> Value | None:
    return _as_reshape(match, builder) if moves_only_ones(match.root) else None


def _no_slice(match: Match, builder: Builder) -> Value | None:
    shape, cuts = match["x"].type.shape, zip(match.root["axes"], match.root["steps"], strict=True)
    if shape is None or not all(step == 1 or shape[axis] == 1 for axis, step in cuts):
        return None
    return _unchanged(match, builder)


def _no_repeat(match: Match, builder: Builder) -> Value | None:
    return match["x"] if set(match.root["repeats"]) <= {1} else None


def _no_pad(match: Match, builder: Builder) -> Value | None:
    return match["x"] if not any(match.root["before"]) and not any(match.root["after"]) else None


def _no_reduction(match: Match, builder: Builder) -> Value | None:
    return match["x"] if not match.root["axes"] else None


def _no_expansion(match: Match, builder: Builder) -> Value | None:
    shape, rank = match.root["shape"], match["x"].type.rank
    if rank is not None and len(shape) <= rank and set(shape) <= {1}:
        return match["x"]
    return _unchanged(match, builder)


RULES = (
    Rule("squeeze(x), unsqueeze(x), flatten(x) = reshape(x)", op(_RESHAPES[1:], anything("x")), _as_reshape),
    Rule("reshape(x, -1) = reshape(x, size)", op("nn.reshape", anything("x")), _with_sizes),
    Rule("reshape(x, shape of x) = x", op(_RESHAPES, anything("x")), _same_shape),
    Rule("reshape(reshape(x)) = reshape(x)", op("nn.reshape", op(_RESHAPES, anything("x"))), _as_reshape),
    Rule(
        "transpose(transpose(x, p), q) = transpose(x, p[q])",
        op("nn.transpose", op("nn.transpose", anything("x"), name="inner")),
        _one_transpose,
    ),
    Rule("transpose(x, [0, 1, ...]) = x", op("nn.transpose", anything("x")), _no_transpose),
    Rule(
        "reshape(transpose(x)) = reshape(x) where only ones move",
        op("nn.reshape", op("nn.transpose", anything("x"), name="inner")),
        _reshape_of_transpose,
    ),
    Rule(
        "transpose(reshape(x)) = reshape(x) where only ones move",
        op("nn.transpose", op("nn.reshape", anything("x"))),
        _transpose_of_reshape,
    ),
    Rule("slice(x, all of x) = x", op("nn.slice", anything("x")), _no_slice),
    Rule("tile(x, 1) = x", op("nn.tile", anything("x")), _no_repeat),
    Rule("pad(x, 0) = x", op("nn.pad", anything("x")), _no_pad),
    Rule("expand(x, shape of x) = x", op("nn.expand", anything("x")), _no_expansion),
    Rule("reduce(x, no axes) = x", op(_REDUCTIONS, anything("x")), _no_reduction),
)
