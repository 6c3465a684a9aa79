"""Images that come plane by plane, as most models take them, into the convolutions that can read them so."""

from __future__ import annotations

from nascompiler.backends.cpu.dialect import PLANAR
from nascompiler.backends.cpu.implementation import candidates
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.target import Target
from nascompiler.ir.graph import Graph, Node
from nascompiler.ir.ops import OPS

_OP = "cpu.planar_conv2d"


def fuse_planes(graph: Graph, target: Target) -> None:
    """cpu.conv2d(transpose(x)) = cpu.planar_conv2d(x), where only such convolutions need the transposed image."""
    for transpose in list(graph.nodes):
        if transpose.op.name != "nn.transpose" or tuple(transpose["permutation"]) != PLANAR:
            continue
        users = transpose.result.users
        if transpose.result.is_output or not all(_reads_planes(user, transpose, target) for user in users):
            continue
        for user in users:
            operands, names = (
                (transpose.operands[0], *user.operands[1:]),
                (user.result.name,) if user.result.name else (),
            )
            made = graph.insert(_OP, operands, user.attributes, before=user, names=names, origin=user.origin)
            graph.replace_all_uses(user.result, made.result)
            graph.erase(user)
        graph.erase(transpose)


def _reads_planes(user: Node, transpose: Node, target: Target) -> bool:
    """Whether there is a kernel for a user of a transposed image that reads its planes."""
    if user.op.name != "cpu.conv2d" or transpose.result in user.operands[1:] or transpose.operands[0].is_constant:
        return False
    plain = KernelCall.of(user)
    types = (transpose.operands[0].type, *plain.operands[1:])
    return bool(candidates(KernelCall(OPS[_OP].name, plain.attributes, types, plain.results, plain.constants), target))
