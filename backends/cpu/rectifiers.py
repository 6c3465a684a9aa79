"""Rectifiers in front of depthwise convolutions, as in separable convolutions that begin with one."""

from __future__ import annotations

from dataclasses import replace

from nascompiler.backends.cpu.implementation import candidates
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.target import Target
from nascompiler.ir.graph import Graph, Node

_RECTIFIED = "cpu.rectified_depthwise_conv2d"


def fuse_rectifiers(graph: Graph, target: Target) -> None:
    """cpu.depthwise_conv2d(relu(x)) = cpu.rectified_depthwise_conv2d(x), where nothing else needs relu(x)."""
    for relu in list(graph.nodes):
        if relu.op.name != "nn.relu" or relu.result.is_output:
            continue
        users = relu.result.users
        if not all(_rectifies(user, relu, target) for user in users):
            continue
        for user in users:
            operands, names = (relu.operands[0], *user.operands[1:]), (user.result.name,) if user.result.name else ()
            made = graph.insert(_RECTIFIED, operands, user.attributes, before=user, names=names, origin=user.origin)
            graph.replace_all_uses(user.result, made.result)
            graph.erase(user)
        graph.erase(relu)


def _rectifies(user: Node, relu: Node, target: Target) -> bool:
    """Whether a user of a rectifier is a depthwise convolution of it that can do its work."""
    if user.op.name != "cpu.depthwise_conv2d" or relu.result in user.operands[1:]:
        return False
    return bool(candidates(replace(KernelCall.of(user), op=_RECTIFIED), target))
