"""Convolutions, blocks of the MobileNet, MnasNet and ResNet families, pools, fully connected layers."""

from __future__ import annotations

from collections.abc import Mapping

from nascompiler.ir.attributes import Attribute, boolean, integer, number, string
from nascompiler.ir.dialects.arch.definition import ACTIVATIONS, architecture_op
from nascompiler.ir.ops import Operand

X = Operand("x")
PADDING = string("padding", "same", among=("same", "valid"))

architecture_op(
    "conv",
    "Convolution kernel x kernel, batch norm, activation; used for stems and last stages.",
    X,
    attributes=(
        integer("filters", minimum=1),
        integer("kernel", 3, minimum=1),
        integer("stride", 1, minimum=1),
        integer("dilation", 1, minimum=1),
        integer("repeats", 1, minimum=1),
        string("activation", "relu", among=ACTIVATIONS),
        PADDING,
        boolean("batch_norm", True),
    ),
)


def _block_results(attributes: Mapping[str, Attribute]) -> int:
    return 1 if attributes["endpoint"] == "none" else 2


architecture_op(
    "block",
    "`repeats` layers of one kind, of which the first has the stride: `inverted_bottleneck` (1x1 expansion, depthwise, "
    "squeeze-excite, linear 1x1; MobileNetV2 §3, MnasNet §4.1), `depthwise_separable` (depthwise, squeeze-excite, 1x1) "
    "or `conv`. With an `endpoint`, the second result is the expansion or the depthwise output of the last layer.",
    X,
    attributes=(
        string("op", "inverted_bottleneck", among=("inverted_bottleneck", "depthwise_separable", "conv")),
        integer("kernel", 3, minimum=1),
        number("expansion", 6.0),
        integer("filters", minimum=1),
        integer("stride", 1, minimum=1),
        integer("repeats", 1, minimum=1),
        number("se_ratio", 0.0),
        string("skip", "identity", among=("identity", "pooling", "none")),
        string("activation", "relu", among=ACTIVATIONS),
        integer("dilation", 1, minimum=1),
        string("endpoint", "none", among=("none", "expansion", "depthwise")),
    ),
    results=_block_results,
)

architecture_op(
    "bottleneck",
    "`repeats` residual bottlenecks 1x1, 3x3 (with the stride), 1x1 of `expansion` x `filters` channels, projection "
    "shortcut in the first (ResNet v1.5).",
    X,
    attributes=(
        integer("filters", minimum=1),
        integer("stride", 1, minimum=1),
        integer("repeats", 1, minimum=1),
        integer("expansion", 4, minimum=1),
        string("activation", "relu", among=ACTIVATIONS),
    ),
)

architecture_op(
    "pool",
    "Maximum or average over kernel x kernel windows.",
    X,
    attributes=(
        string("kind", "max", among=("max", "average")),
        integer("kernel", 3, minimum=1),
        integer("stride", 1, minimum=1),
        PADDING,
    ),
)

architecture_op(
    "dense",
    "`repeats` fully connected layers with bias and activation; an image is flattened first.",
    X,
    attributes=(
        integer("units", minimum=1),
        integer("repeats", 1, minimum=1),
        string("activation", "relu", among=ACTIVATIONS),
    ),
)
