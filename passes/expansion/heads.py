"""Heads: what turns feature maps into answers."""

from __future__ import annotations

from nascompiler.ir import Node, Value
from nascompiler.passes.expansion.context import Expansion


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


EXPANDERS = {"arch.classifier": expand_classifier}
