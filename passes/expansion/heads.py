"""Heads: what turns feature maps into answers."""

from __future__ import annotations

from nascompiler.ir import Node, Value
from nascompiler.passes.expansion.context import Expansion, image_size
from nascompiler.passes.expansion.layers import pool

AUXILIARY_WINDOW, AUXILIARY_STRIDE = 5, 3
AUXILIARY_FILTERS = (128, 768)


def expand_classifier(expansion: Expansion, node: Node, x: Value) -> Value:
    """x [N, H, W, C] -> logits [N, classes]: mean over the image, hidden layer if any (MobileNetV3 §5.1), dropout."""
    nn = expansion.nn
    x = expansion.activation(x, node["activation_before"])
    x = nn.flatten(nn.global_average_pool(x, name=expansion.named("pool")), name=expansion.named("flatten"))
    if node["hidden"]:
        x = expansion.linear(x, node["hidden"], node["activation"], name="hidden")
    if node["dropout"] > 0:
        x = nn.dropout(x, rate=node["dropout"], name=expansion.named("dropout"))
    return expansion.linear(x, node["classes"], centred=True, name="linear")


def expand_auxiliary_classifier(expansion: Expansion, node: Node, x: Value) -> Value:
    """x [N, H, W, C] -> logits [N, classes]; of an image smaller than the window the whole is averaged."""
    height, width = image_size(x)
    window = min(AUXILIARY_WINDOW, height, width)
    x = expansion.activation(x, "relu")
    x = pool(expansion, x, "average", kernel=window, stride=AUXILIARY_STRIDE, padding="valid")
    first, second = AUXILIARY_FILTERS
    x = expansion.conv_bn_activation(x, first, "relu", name="projection")
    x = expansion.conv_bn_activation(x, second, "relu", kernel=image_size(x), padding="valid", name="conv")
    x = expansion.nn.flatten(x, name=expansion.named("flatten"))
    return expansion.linear(x, node["classes"], centred=True, name="linear")


EXPANDERS = {"arch.classifier": expand_classifier, "arch.auxiliary_classifier": expand_auxiliary_classifier}
