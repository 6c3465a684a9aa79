"""Convolution and pooling: paddings merge into them, a mean over the image is a global average pool."""

from __future__ import annotations

import math
from typing import Any

from nascompiler.ir import Builder, InferenceError, Node, Value
from nascompiler.passes.canonicalization.reshaping import reshape_attribute
from nascompiler.passes.infrastructure.patterns import Match, anything, op
from nascompiler.passes.infrastructure.rewriter import Rule


def _image_padding(node: Node) -> tuple[int, int, int, int] | None:
    """(top, left, bottom, right) of a pad that only enlarges the image, or None."""
    before, after = node["before"], node["after"]
    sides: tuple[int, int, int, int] = (before[1], before[2], after[1], after[2])
    other = (before[0], before[3], after[0], after[3])
    return sides if node["mode"] == "constant" and min(sides) >= 0 and not any(other) else None


def _refuse_pad(match: Match) -> str | None:
    pad, window = match.node("pad"), match.root
    if _image_padding(pad) is None:
        return "it does not only add constant rows and columns around the image"
    value = -math.inf if window.op.name == "nn.max_pool2d" else 0
    if pad["value"] != value:
        return f"it pads with {pad['value']}; {window.op.name} with {value}"
    if window.op.name == "nn.average_pool2d" and any(window["padding"]) and not window["count_include_pad"]:
        return "the pool does not count its own padding, but it would count this one"
    if window.op.name != "nn.conv2d":
        try:
            window.op.infer(match["x"].type, **_merged(match))
        except InferenceError as error:
            return str(error)
    return None


def _merged(match: Match) -> dict[str, Any]:
    added = _image_padding(match.node("pad"))
    assert added is not None
    padding = tuple(a + b for a, b in zip(added, match.root["padding"], strict=True))
    counted = {"count_include_pad": True} if match.root.op.name == "nn.average_pool2d" else {}
    return {**match.root.attributes, "padding": padding, **counted}


def _pad_inside(match: Match, builder: Builder) -> Value:
    value: Value = builder.op(match.root.op.name, match["x"], *match.root.operands[1:], **_merged(match))
    return value


def _global_pool(match: Match, builder: Builder) -> Value | None:
    x, node = match["x"], match.root
    if x.type.rank != 4 or not x.type.dtype.is_float or sorted(axis % 4 for axis in node["axes"]) != [1, 2]:
        return None
    shape = reshape_attribute(node.result.type)
    if not node["keepdims"] and shape is None:
        return None
    pooled: Value = builder.nn.global_average_pool(x)
    if node["keepdims"]:
        return pooled
    flat: Value = builder.nn.reshape(pooled, shape=shape)
    return flat


RULES = (
    *(
        Rule(
            f"{window}(pad(x)) = {window}(x, padding)",
            op(f"nn.{window}", op("nn.pad", anything("x"), name="pad")),
            _pad_inside,
            _refuse_pad,
        )
        for window in ("conv2d", "average_pool2d", "max_pool2d")
    ),
    Rule(
        "reduce_mean(x, height and width) = global_average_pool(x)", op("nn.reduce_mean", anything("x")), _global_pool
    ),
)
