"""A fake-quantised graph as a module whose scales and zero points are trained with its weights, and back."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nascompiler.ir.dialects.qnn.arithmetic import limits
from nascompiler.ir.errors import UsageError
from nascompiler.ir.graph import Graph, Node, Value, infer_all
from nascompiler.ir.types import DType
from nascompiler.passes.quantization.forms import Form, activations, form_of
from nascompiler.passes.quantization.parameters import scales_for_bias
from nascompiler.torch_bridge.fake_quantization import ActivationQuantizer, WeightQuantizer
from nascompiler.torch_bridge.module import GraphModule, from_module, to_module
from nascompiler.torch_bridge.state import tensor_of

_PER_AXIS = ("qnn.quantize_per_axis", "qnn.dequantize_per_axis")


@dataclass(frozen=True)
class QuantizationAware:
    """`module` runs the graph; the others are its quantizers, by the position of their node in the graph.

    Nodes whose values share a scale share a quantizer. `module.state_dict()` holds quantised weights in units of
    their own, see `WeightQuantizer`.
    """

    module: GraphModule
    activations: dict[int, ActivationQuantizer]
    weights: dict[int, WeightQuantizer]


def to_quantization_aware(fake: Graph) -> QuantizationAware:
    """The module of a fake-quantised graph (see `passes.quantization.insertion`), with everything trainable.

    Weights stay float, behind their quantisation at a trained scale; activations are quantised at trained scales and
    zero points, the same one wherever integer ops move values without rescaling them. Raises UsageError when no weight
    is a float constant, which is so where weights are stored as integers already.
    """
    places = {node: place for place, node in enumerate(fake.nodes)}
    modules: dict[Node, nn.Module] = {}
    quantizers: dict[int, ActivationQuantizer] = {}
    weights: dict[int, WeightQuantizer] = {}
    for group in _groups(fake):
        first = group[0]
        shared = ActivationQuantizer(first["scale"], first["zero_point"], first["dtype"])
        for node in group:
            modules[node] = quantizers[places[node]] = shared
            modules |= dict.fromkeys(node.result.users, nn.Identity())
    for node in fake.nodes:
        if node.op.name == "qnn.quantize_per_axis" and _is_trainable_weight(node):
            modules[node] = weights[places[node]] = _weight_quantizer(node)
            modules |= dict.fromkeys(node.result.users, nn.Identity())
    if not weights:
        raise UsageError(
            f"{fake.name}: there are no weights to train: none is a float constant behind qnn.quantize_per_axis; "
            "accepted: the fake-quantised graph of a float network"
        )
    module = to_module(fake, modules=modules)
    for binding in module.bindings:  # scales that no quantizer has taken over: of weights that are used twice
        if module.ops[binding.node] in _PER_AXIS and binding.operand == 1:
            binding.tied.tensor.requires_grad_(False)
    for tensor, quantizer in _weight_tensors(module, weights):
        with torch.no_grad():
            tensor /= quantizer.real(torch.ones_like(tensor))
    return QuantizationAware(module, quantizers, weights)


def from_quantization_aware(fake: Graph, trained: QuantizationAware) -> Graph:
    """A copy of the graph that `to_quantization_aware` was given, with the weights, scales and zero points as trained.

    Biases are rounded to the integers that they become, at the scale of the products they are added to. That moves a
    result by a thousandth of a step or so, but a few numbers then go to the next integer, and from layer to layer ever
    more: without it, the integer graph is another sample of the same noise, with it the two agree but for ties. A scale
    of weights is raised where the bias would not fit 32 bits: in channels of tiny weights only.
    """
    graph = from_module(fake, trained.module)
    for place, node in enumerate(graph.nodes):
        if place in trained.activations:
            _set_activation(graph, node, trained.activations[place])
    for place, node in enumerate(graph.nodes):
        if place in trained.weights:
            _set_weight(graph, node, trained.weights[place])
    infer_all(graph)
    return graph


def _set_activation(graph: Graph, node: Node, quantizer: ActivationQuantizer) -> None:
    scale, zero_point = float(quantizer.scale.detach()), int(quantizer.zero_point.detach())
    graph.set_attributes(node, scale=scale, zero_point=zero_point)
    for user in node.result.users:
        graph.set_attributes(user, x_scale=scale, x_zero_point=zero_point)


def _set_weight(graph: Graph, node: Node, quantizer: WeightQuantizer) -> None:
    weight, scale = node.operands
    real = quantizer.real(tensor_of(weight)).detach().numpy()
    scales = quantizer.scale.detach().numpy().copy()
    users = [user for restored in node.result.users for user in restored.result.users]
    biases = [found for user in users if (found := _bias(user, scales)) is not None]
    for _, bias, x_scale in biases:
        scales = scales_for_bias(scales, bias, x_scale)
    for user, bias, x_scale in biases:
        step = np.multiply(scales, np.float32(x_scale)).astype(np.float64)
        rounded = (np.rint(bias / step) * step).astype(np.float32)
        graph.set_operand(user, 2, graph.constant(rounded, user.operands[2].name))
    constant = graph.constant(scales, scale.name)
    graph.set_operand(node, 0, graph.constant(real, weight.name))
    for user in (node, *node.result.users):
        graph.set_operand(user, 1, constant)


def _bias(node: Node, scales: NDArray[np.float32]) -> tuple[Node, NDArray[np.float32], float] | None:
    """A sum of products with its constant bias, [O], and the scale of its input, if it becomes a sum of integers."""
    bias = node.operands[2].array if len(node.operands) > 2 and form_of(node) is Form.SUM else None
    source = node.operands[0].producer
    if bias is None or source is None or source.op.name != "qnn.dequantize" or scales.size not in (1, bias.size):
        return None
    return node, np.asarray(bias, np.float32), source["x_scale"]


def _weight_quantizer(node: Node) -> WeightQuantizer:
    """With a unit near the largest magnitude of each channel, and in channels of zeros near what the scale reaches."""
    axis, dtype = node["axis"], node["dtype"]
    weight, scale = (tensor_of(value).numpy() for value in node.operands)
    channels = np.moveaxis(weight, axis, 0)
    largest = np.abs(channels.reshape(len(channels), -1)).max(axis=1, initial=0)
    reach = np.where(largest > 0, largest, scale * limits(dtype)[1]).astype(np.float32)
    return WeightQuantizer(scale, axis, dtype, np.exp2(np.rint(np.log2(reach))))


def _weight_tensors(module: GraphModule, weights: dict[int, WeightQuantizer]) -> list[tuple[Tensor, WeightQuantizer]]:
    """The parameter behind each quantizer, in the layout of the graph."""
    return [(b.tied.tensor, weights[b.node]) for b in module.bindings if b.node in weights and b.operand == 0]


def _is_trainable_weight(node: Node) -> bool:
    """Whether a quantize_per_axis is of a constant that nothing else uses, and all its users dequantise."""
    weight, scale = node.operands
    alone = weight.use_count == 1 and not node.result.is_output
    return (
        alone
        and weight.is_constant
        and scale.is_constant
        and all(user.op.name == "qnn.dequantize_per_axis" and user.operands[1] is scale for user in node.result.users)
    )


def _groups(fake: Graph) -> list[list[Node]]:
    """The quantize nodes whose integers are dequantised at once, those that must stay at one scale together."""
    nodes = [n for n in fake.nodes if n.op.name == "qnn.quantize" and _is_fake(n)]
    leader = {node: node for node in nodes}

    def find(node: Node) -> Node:
        while leader[node] is not node:
            leader[node] = leader[leader[node]]
            node = leader[node]
        return node

    for node in fake.nodes:
        if node.op.dialect == "nn" and (form_of(node) is Form.PASSIVE or node.op.name == "nn.average_pool2d"):
            joined = [q for v in activations(node) if (q := _source(v)) in leader]
            joined += [q for v in node.results for q in v.users if q in leader]
            for first, second in pairwise(joined):
                if _parameters(first) == _parameters(second):
                    leader[find(second)] = find(first)
    groups: dict[Node, list[Node]] = {}
    for node in nodes:
        groups.setdefault(find(node), []).append(node)
    return list(groups.values())


def _is_fake(node: Node) -> bool:
    users = node.result.users
    return bool(users) and not node.result.is_output and all(user.op.name == "qnn.dequantize" for user in users)


def _source(value: Value) -> Node | None:
    """The quantize node behind a dequantised value."""
    node = value.producer
    return node.operands[0].producer if node is not None and node.op.name == "qnn.dequantize" else None


def _parameters(node: Node) -> tuple[float, int, DType]:
    return node["scale"], node["zero_point"], node["dtype"]
