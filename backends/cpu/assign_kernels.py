"""Gives the nodes that have a kernel to it, together with what the kernel can do on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from nascompiler.backends.cpu import dialect as _dialect  # noqa: F401  # registers the ops made here
from nascompiler.backends.cpu.activation import activation_of
from nascompiler.backends.cpu.blocks import WHEN, fuse_blocks
from nascompiler.backends.cpu.gates import fuse_gates, pool_on_the_way
from nascompiler.backends.cpu.joins import assign_exponentials, fuse_joins
from nascompiler.backends.cpu.planes import fuse_planes
from nascompiler.backends.cpu.rectifiers import fuse_rectifiers
from nascompiler.backends.cpu.subpixels import split_transposed
from nascompiler.backends.target import parse_target
from nascompiler.ir.errors import UsageError, choices_text
from nascompiler.ir.graph import Graph, Node, Value
from nascompiler.ir.types import DType
from nascompiler.passes.fuse_activations import detach_activations
from nascompiler.passes.infrastructure.base import Exact, Pass, PassContext
from nascompiler.passes.infrastructure.registry import register_pass

MAX_KERNEL_WIDTH = 11
"""Kernel columns are unrolled; a wider kernel would make endless code."""


PROCESSORS = ("cpu", "arm")
"""Kinds of targets that the kernels are for: they differ by instruction set."""


@register_pass
@dataclass(frozen=True)
class AssignKernels(Pass):
    """Turns nn nodes into kernel calls: a linear operation with the bias, residual and activation behind it.

    What has no kernel stays as it is, and TVM fuses and compiles it; the placement table says why. `fuse` says when a
    depthwise convolution goes into one kernel with the pointwise ones around it: `auto` where all their weights stay in
    the cache, `never`, or `always` where there is a kernel.
    """

    target: str = "cpu"
    fuse: str = "auto"

    requires_level = ("nn", "qnn", "cpu", "tpu", "host")
    requires = frozenset({"static-shapes", "closed"})
    preserves = Exact()

    def __post_init__(self) -> None:
        if self.fuse not in WHEN:
            raise ValueError(f"fuse is {self.fuse!r}; accepted: {choices_text(WHEN)}")

    def run(self, graph: Graph, context: PassContext) -> None:
        target = parse_target(self.target)
        if target.kind == "tpu":
            from nascompiler.backends.tpu.assign import assign_regions

            assign_regions(graph, target, context)
            return
        if target.kind not in PROCESSORS:
            accepted = choices_text((*PROCESSORS, "tpu"))
            raise UsageError(f"assign-kernels has no kernels for target {self.target}; accepted: {accepted}")
        detach_activations(graph)  # kernels take activations with parameters, and a residual before them
        split_transposed(graph)
        for node in list(graph.nodes):
            if node.is_erased or node.op.name not in KERNELS:
                continue
            reason = refusal(node)
            if reason is not None:
                context.miss(node.op.name, node, reason)
                continue
            KERNELS[node.op.name](graph, node)
            context.count("kernels")
        fuse_gates(graph, target)
        pool_on_the_way(graph, target)
        context.count("blocks", fuse_blocks(graph, target, self.fuse))
        fuse_rectifiers(graph, target)
        fuse_planes(graph, target)
        context.count("kernels", fuse_joins(graph, target) + assign_exponentials(graph, target))


@dataclass
class _Chain:
    """A linear node and what is absorbed behind it."""

    last: Node
    bias: Value | None
    absorbed: list[Node]
    residual: Value | None = None
    activation: str = "none"
    parameters: tuple[float, ...] = ()


def refusal(node: Node) -> str | None:
    """Why a node gets no kernel of its own, or None when it does."""
    if node.op.dialect == "qnn":
        return "no kernel for these integers"
    if node.op.name not in KERNELS:
        return f"no kernel for {node.op.name}"
    types = (DType.F32, DType.I8, DType.U8) if node.op.name == "nn.max_pool2d" else (DType.F32,)
    if any(v.type.dtype not in types for v in [*node.operands, *node.results]):
        return f"kernels compute in f32; this is {node.results[0].type.dtype}"
    if any(v.type.size == 0 for v in [*node.operands, *node.results]):
        return "nothing to compute"
    check = _CHECKS.get(node.op.name)
    return None if check is None else check(node)


def _refuse_linear(node: Node) -> str | None:
    if any(not v.is_constant for v in node.operands[1:]):
        return "its weights are computed, and packing wants constants"
    return None


def _refuse_convolution(node: Node) -> str | None:
    reason = _refuse_linear(node)
    if reason is None and node.operands[1].type.static_shape[1] > MAX_KERNEL_WIDTH:
        return f"its kernel is wider than {MAX_KERNEL_WIDTH}"
    return reason


def _refuse_matmul(node: Node) -> str | None:
    weight = node.operands[1]
    if not weight.is_constant or weight.type.rank != 2:
        return "its second operand is no constant matrix, and packing wants one"
    return None


def _refuse_pool(node: Node) -> str | None:
    return "its window is dilated" if node["dilation"] != (1, 1) else None


def _refuse_softmax(node: Node) -> str | None:
    rank = len(node.result.type.static_shape)
    return None if rank and node["axis"] % rank == rank - 1 else "it is not along the last axis"


_CHECKS: dict[str, Callable[[Node], str | None]] = {
    "nn.conv2d": _refuse_convolution,
    "nn.linear": _refuse_linear,
    "nn.matmul": _refuse_matmul,
    "nn.squeeze_excite": _refuse_linear,
    "nn.average_pool2d": _refuse_pool,
    "nn.max_pool2d": _refuse_pool,
    "nn.softmax": _refuse_softmax,
}


def _convolution(graph: Graph, node: Node) -> None:
    channels = node.operands[0].type.static_shape[3]
    attributes = dict(node.attributes)
    op = "cpu.conv2d"
    if node["groups"] == channels == node.result.type.static_shape[3]:
        op = "cpu.depthwise_conv2d"
        del attributes["groups"]
    _fuse(graph, node, op, attributes)


def _linear(graph: Graph, node: Node) -> None:
    _fuse(graph, node, "cpu.linear", {})


def _same(graph: Graph, node: Node) -> None:
    op = node.op.name.replace("nn.", "cpu.")
    made = graph.insert(op, node.operands, node.attributes, before=node, names=_names(node), origin=node.origin)
    graph.replace_all_uses(node.result, made.result)
    graph.erase(node)


def _squeeze_excite(graph: Graph, node: Node) -> None:
    """The gate and the product with it, which `fuse_gates` looks for."""
    x, *weights = node.operands
    gate = graph.insert("cpu.squeeze_excite_gate", (x, *weights), node.attributes, before=node, origin=node.origin)
    made = graph.insert("nn.mul", (x, gate.result), before=node, names=_names(node), origin=node.origin)
    graph.replace_all_uses(node.result, made.result)
    graph.erase(node)


def _fuse(graph: Graph, node: Node, op: str, attributes: dict[str, Any]) -> None:
    """Replace the chain that starts at a linear node by one kernel call, placed where its last node was."""
    chain = _absorb(graph, node)
    bias = chain.bias
    if bias is None:
        bias = graph.constant(np.zeros(node.result.type.static_shape[-1], np.float32))
    operands = [*node.operands[:2], bias, *([chain.residual] if chain.residual is not None else [])]
    made = graph.insert(
        op,
        operands,
        {**attributes, "activation": chain.activation, "activation_parameters": chain.parameters},
        before=chain.last,
        names=_names(chain.last),
        origin=node.origin,
    )
    graph.replace_all_uses(chain.last.result, made.result)
    for absorbed in reversed([node, *chain.absorbed]):
        graph.erase(absorbed)


def _absorb(graph: Graph, node: Node) -> _Chain:
    """Follow the only use of each result: a bias if there is none yet, then a residual, then an activation."""
    features = node.result.type.static_shape[-1]
    chain = _Chain(node, node.operands[2] if len(node.operands) > 2 else None, [])
    while (user := chain.last.result.sole_user) is not None and user.op.name == "nn.add":
        other = user.operands[1] if user.operands[0] is chain.last.result else user.operands[0]
        if user.result.type != chain.last.result.type:
            break
        if chain.bias is None and chain.residual is None and _is_bias(other, features):
            chain.bias = graph.constant(np.asarray(other.array).reshape(-1), other.name)
        elif chain.residual is None and other.type == user.result.type:
            chain.residual = other
        else:
            break
        chain.last = user
        chain.absorbed.append(user)
    user = chain.last.result.sole_user
    activation = None if user is None else activation_of(user)
    if user is not None and activation is not None:
        chain.activation, chain.parameters = activation
        chain.last = user
        chain.absorbed.append(user)
    return chain


def _is_bias(value: Value, features: int) -> bool:
    """Whether a constant adds one number to each channel."""
    shape = value.type.static_shape
    return value.array is not None and shape[-1:] == (features,) and prod(shape) == features


def _names(node: Node) -> tuple[str, ...]:
    return (node.result.name,) if node.result.name else ()


KERNELS: dict[str, Callable[[Graph, Node], None]] = {
    "nn.conv2d": _convolution,
    "nn.linear": _linear,
    "nn.matmul": _linear,
    "nn.squeeze_excite": _squeeze_excite,
    "nn.global_average_pool": _same,
    "nn.average_pool2d": _same,
    "nn.max_pool2d": _same,
    "nn.softmax": _same,
}
"""The nn ops that have a kernel, and how each becomes a call."""
