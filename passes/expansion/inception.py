"""Inception modules (Ioffe and Szegedy, arXiv:1502.03167, figure 5; the branches by Szegedy et al. 2015, §4)."""

from __future__ import annotations

from nascompiler.ir import ModelError, Node, Value
from nascompiler.passes.expansion.context import Expansion
from nascompiler.passes.expansion.layers import pool


def expand_inception(expansion: Expansion, node: Node, x: Value) -> Value:
    """x [N, H, W, C] -> [N, ceil(H / stride), ceil(W / stride), filters of all branches].

    Every convolution is followed by batch norm and the activation; the last of a branch has the stride. Raises
    ModelError for a first branch in a module with a stride.
    """
    stride = node["stride"]
    if stride > 1 and node["single"]:
        raise ModelError(f"single is {node['single']}; accepted with stride {stride}: 0")
    branches = [_branch(expansion, node, x, "single", (node["single"],), (1,))] if node["single"] else []
    for name, kernels in (("triple", (1, 3)), ("double_triple", (1, 3, 3))):
        reduced, filters = node[name]
        branches.append(_branch(expansion, node, x, name, (reduced, filters, filters)[: len(kernels)], kernels))
    with expansion.scope("pooled"):
        pooled = pool(expansion, x, node["pool"], kernel=3, stride=stride)
        if node["projection"]:
            pooled = expansion.conv_bn_activation(pooled, node["projection"], node["activation"])
    result: Value = expansion.nn.concat(*branches, pooled, axis=3, name=expansion.named(""))
    return result


def _branch(
    expansion: Expansion, node: Node, x: Value, name: str, filters: tuple[int, ...], kernels: tuple[int, ...]
) -> Value:
    with expansion.scope(name):
        for index, (count, kernel) in enumerate(zip(filters, kernels, strict=True), 1):
            stride = node["stride"] if index == len(kernels) else 1
            x = expansion.conv_bn_activation(
                x, count, node["activation"], kernel=kernel, stride=stride, name=f"conv{index}"
            )
    return x


EXPANDERS = {"arch.inception": expand_inception}
