"""Heads: classifier, SSDLite detection, LR-ASPP segmentation (MobileNetV3 §6.3, §6.4)."""

from __future__ import annotations

from nascompiler.ir.attributes import integer, number, string
from nascompiler.ir.dialects.arch.definition import ACTIVATIONS, architecture_op
from nascompiler.ir.ops import Operand

architecture_op(
    "classifier",
    "`activation_before`, global average pool, optional hidden layer of `hidden` units with `activation`, dropout, "
    "fully connected layer to `classes` logits.",
    Operand("x"),
    attributes=(
        integer("classes", 1000, minimum=1),
        integer("hidden", 0, minimum=0),
        string("activation", "none", among=ACTIVATIONS),
        string("activation_before", "none", among=ACTIVATIONS),
        number("dropout", 0.0),
    ),
)

architecture_op(
    "auxiliary_classifier",
    "A second classifier that helps training and is taken away after it: ReLU, 5x5 average pool with stride 3, 1x1 "
    "convolution to 128 channels, one over all that is left of the image to 768, fully connected layer (NASNet).",
    Operand("x"),
    attributes=(integer("classes", 1000, minimum=1),),
)

architecture_op(
    "ssdlite",
    "Box and class predictions on two feature maps and four more made from the second (320x320: 20, 10, 5, 3, 2, 1 "
    "cells a side); results: boxes [N, anchors, 4] and scores [N, anchors, classes + 1], raw.",
    Operand("c4"),
    Operand("c5"),
    attributes=(integer("classes", 90, minimum=1),),
    results=2,
)

architecture_op(
    "lr_aspp",
    "Lite reduced atrous spatial pyramid pooling over a high-level and a low-level feature map; result: logits at the "
    "size of `image`.",
    Operand("high"),
    Operand("low"),
    Operand("image"),
    attributes=(integer("classes", 19, minimum=1), integer("filters", 128, minimum=1)),
)
