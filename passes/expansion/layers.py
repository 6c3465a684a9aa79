"""Convolutions, pools, fully connected layers."""

from __future__ import annotations

from nascompiler.ir import Node, Value
from nascompiler.passes.expansion.context import Expansion


def expand_conv(expansion: Expansion, node: Node, x: Value) -> Value:
    """Convolution, batch norm (else a bias), activation; of several, the first has the stride."""
    for index in range(node["repeats"]):
        name = "conv" if node["repeats"] == 1 else f"{index + 1}.conv"
        window = {
            "kernel": node["kernel"],
            "stride": node["stride"] if index == 0 else 1,
            "dilation": node["dilation"],
            "padding": node["padding"],
        }
        if node["batch_norm"]:
            x = expansion.conv_bn_activation(x, node["filters"], node["activation"], name=name, **window)
        else:
            y = expansion.convolution(x, node["filters"], bias=True, name=name, **window)
            x = expansion.activation(y, node["activation"], f"{name}.{node['activation']}")
    return x


def expand_pool(expansion: Expansion, node: Node, x: Value) -> Value:
    """The maximum or the mean, padding excluded, of windows."""
    window = {"kernel": node["kernel"], "stride": node["stride"], "padding": node["padding"]}
    return pool(expansion, x, node["kind"], **window)


def pool(
    expansion: Expansion, x: Value, kind: str, *, kernel: int, stride: int = 1, padding: str = "same", name: str = ""
) -> Value:
    """`max` or `average` pooling; padding does not count towards either."""
    pads = expansion.padding(x, kernel=kernel, stride=stride, padding="same" if padding == "same" else "valid")
    result: Value = expansion.builder.op(
        f"nn.{kind}_pool2d",
        x,
        kernel=(kernel, kernel),
        strides=(stride, stride),
        padding=pads,
        name=expansion.named(name or f"{kind}_pool"),
    )
    return result


def expand_dense(expansion: Expansion, node: Node, x: Value) -> Value:
    """Fully connected layers; an image is flattened first, a sequence keeps its steps."""
    if x.type.rank == 4:
        x = expansion.nn.flatten(x, name=expansion.named("flatten"))
    for index in range(node["repeats"]):
        name = "linear" if node["repeats"] == 1 else f"{index + 1}.linear"
        x = expansion.linear(x, node["units"], node["activation"], name=name)
    return x


EXPANDERS = {
    "arch.conv": expand_conv,
    "arch.pool": expand_pool,
    "arch.dense": expand_dense,
}
