"""Rectifiers in front of depthwise convolutions, with which the separable convolutions of NASNet begin."""

from __future__ import annotations

from dataclasses import replace

from nascompiler.backends.cpu.implementation import candidates
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.target import Target
from nascompiler.ir.graph import Graph, Node

_RECTIFIED = {
    "cpu.depthwise_conv2d": "cpu.rectified_depthwise_conv2d",
    "cpu.separable_conv2d": "cpu.rectified_separable_conv2d",
}
"""The calls that can do a rectifier's work, and what they become."""


def fuse_rectifiers(graph: Graph, target: Target) -> None:
    """convolution(relu(x)) = rectified_convolution(x), where only such convolutions need relu(x)."""
    for relu in list(graph.nodes):
        if relu.op.name != "nn.relu" or relu.result.is_output:
            continue
        users = relu.result.users
        if not all(_rectifies(user, relu, target) for user in users):
            continue
        for user in users:
            operands, names = (relu.operands[0], *user.operands[1:]), (user.result.name,) if user.result.name else ()
            made = graph.insert(
                _RECTIFIED[user.op.name], operands, user.attributes, before=user, names=names, origin=user.origin
            )
            graph.replace_all_uses(user.result, made.result)
            graph.erase(user)
        graph.erase(relu)


def _rectifies(user: Node, relu: Node, target: Target) -> bool:
    """Whether there is a kernel for a user of a rectifier that does its work."""
    if user.op.name not in _RECTIFIED or relu.result in user.operands[1:]:
        return False
    return bool(candidates(replace(KernelCall.of(user), op=_RECTIFIED[user.op.name]), target))
