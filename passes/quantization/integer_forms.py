"""How each float op between dequantize and quantize becomes an integer op."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nascompiler.ir import Array, Builder, DType, Graph, ModelError, Node, Value
from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.ir.dialects.qnn.lookup import function_table
from nascompiler.passes.quantization.forms import Form, absorbs, form_of, is_epilogue, parameters_of
from nascompiler.passes.quantization.insertion import KEEP_FLOAT


@dataclass(frozen=True)
class Affine:
    """Integers, and what they stand for: scale * (q - zero_point)."""

    value: Value
    scale: float
    zero_point: int

    @property
    def dtype(self) -> DType:
        return self.value.type.dtype

    def attributes(self, prefix: str = "x") -> dict[str, Any]:
        """The attributes of an op that takes it as the operand of that name."""
        return {f"{prefix}_scale": self.scale, f"{prefix}_zero_point": self.zero_point}

    def same_scale(self, other: Affine) -> bool:
        return (self.scale, self.zero_point, self.dtype) == (other.scale, other.zero_point, other.dtype)


def source_of(value: Value) -> Affine | None:
    """The integers that a value was dequantised from."""
    node = value.producer
    if node is None or node.op.name != "qnn.dequantize":
        return None
    return Affine(node.operands[0], node["x_scale"], node["x_zero_point"])


def end_of(value: Value) -> Node | None:
    """The quantize node that is the only user of a value."""
    user = value.sole_user
    return user if user is not None and user.op.name == "qnn.quantize" else None


def to_integer(graph: Graph, node: Node) -> str | None:
    """Replace a float node whose operands are dequantised by its integer form; returns the reason if it has none."""
    form = form_of(node)
    if isinstance(form, str):
        return form
    if is_kept(node):
        return "kept in float as asked"
    try:
        return _REWRITES[form](graph, node)
    except ModelError as error:  # such as zero points with which products need more than 32 bits
        return str(error)


def is_kept(node: Node) -> bool:
    """Whether the graph says that a node shall stay in float."""
    kept = node.graph.attributes.get(KEEP_FLOAT, ()) if node.graph is not None else ()
    return isinstance(kept, tuple) and node.results[0].name in kept


# -- sums


@dataclass(frozen=True)
class _Weights:
    integers: Value
    scale: Value
    zero_point: int


def _weights_of(value: Value) -> _Weights | str:
    node = value.producer
    if node is None or node.op.name not in ("qnn.dequantize_per_axis", "qnn.dequantize"):
        return "its weights are not quantised"
    integers = node.operands[0]
    if not integers.is_constant:
        return "its weights are computed"
    if node.op.name == "qnn.dequantize":
        scale = node.graph.constant(np.array([node["x_scale"]], np.float32)) if node.graph else integers
        return _Weights(integers, scale, node["x_zero_point"])
    rank, scale = integers.type.rank or 0, node.operands[1]
    if scale.type.size != 1 and node["axis"] % rank != rank - 1:
        return f"its weights have scales along axis {node['axis']}; accepted: the output channels, axis {rank - 1}"
    return _Weights(integers, scale, node["x_zero_point"])


def _sum(graph: Graph, node: Node) -> str | None:
    if node.op.name == "nn.matmul":
        return _matmul(graph, node)
    x, weights = source_of(node.operands[0]), _weights_of(node.operands[1])
    if x is None:
        return "its operand is not quantised"
    if isinstance(weights, str):
        return weights
    features = node.result.type.static_shape[-1]
    scale = weights.scale.array
    if scale is None:
        return "the values of its scales are not loaded"
    if node.op.name == "nn.conv2d_transpose" and node["groups"] > 1 and scale.size > 1:
        scale = np.tile(scale, node["groups"])
    bias = _integer_bias(node, x, scale, features)
    if isinstance(bias, str):
        return bias
    numbers = weights.integers.constant.array  # type: ignore[union-attr]
    bound = arithmetic.accumulator_bound(numbers, weights.zero_point, x.dtype, x.zero_point, bias)
    if bound >= arithmetic.ACCUMULATOR_LIMIT:
        return f"its accumulators may reach {bound}, beyond 32 bits"
    last, activation, end = _epilogue(node)
    builder = Builder(graph, before=last, origin=node.origin)
    own: dict[str, Any] = {name: value for name, value in node.attributes.items() if name != "activation"}
    value = builder.op(
        node.op.name.replace("nn.", "qnn."),
        x.value,
        weights.integers,
        weights.scale if scale is weights.scale.array else builder.constant(scale),
        None if bias is None else builder.constant(bias, node.operands[2].name),
        **x.attributes(),
        weight_zero_point=weights.zero_point,
        **_result(end),
        **own,
        activation=activation,
    )
    _replace(graph, node, last, end, value)
    return None


def _integer_bias(node: Node, x: Affine, weight_scale: Array, features: int) -> Array | str | None:
    """The bias at scale x_scale * weight_scale, rounded to the nearest; None without a bias."""
    if len(node.operands) < 3:
        return None
    value = node.operands[2]
    scale = np.multiply(weight_scale.astype(np.float32), np.float32(x.scale)).astype(np.float64)
    made = value.producer
    if made is not None and made.op.name in ("qnn.dequantize_per_axis", "qnn.dequantize"):
        integers = made.operands[0].array
        if integers is None:
            return "its bias is computed"
        if integers.dtype == np.int32 and _scale_of(made) is not None:
            own = np.broadcast_to(np.asarray(_scale_of(made), np.float64), (features,))
            if np.allclose(own, scale, rtol=1e-6, atol=0) and made["x_zero_point"] == 0:
                return integers
        real = arithmetic.dequantize(integers, np.asarray(_scale_of(made), np.float32), made["x_zero_point"])
    elif value.array is not None:
        real = np.asarray(value.array, np.float32)
    else:
        return "its bias is computed"
    rounded = np.rint(real.astype(np.float64) / scale)
    if np.abs(rounded).max(initial=0) >= arithmetic.ACCUMULATOR_LIMIT:
        return "its bias does not fit 32 bits at the scale of its products"
    return rounded.astype(np.int32)


def _scale_of(dequantize: Node) -> Array | None:
    if dequantize.op.name == "qnn.dequantize":
        return np.array([dequantize["x_scale"]], np.float32)
    return dequantize.operands[1].array


def _matmul(graph: Graph, node: Node) -> str | None:
    a, b = (source_of(v) for v in node.operands)
    if a is None or b is None:
        return "an operand is not quantised"
    reach = [max(high - s.zero_point, s.zero_point - low) for s in (a, b) for low, high in [arithmetic.limits(s.dtype)]]
    bound = reach[0] * reach[1] * a.value.type.static_shape[-1]
    if bound >= arithmetic.ACCUMULATOR_LIMIT:
        return f"its accumulators may reach {bound}, beyond 32 bits"
    end = end_of(node.result)
    builder = Builder(graph, before=node, origin=node.origin)
    value = builder.qnn.matmul(a.value, b.value, **a.attributes("a"), **b.attributes("b"), **_result(end))
    _replace(graph, node, node, end, value)
    return None


def _epilogue(node: Node) -> tuple[Node, str, Node | None]:
    """The last float node of an op, the activation it applies, and the quantize behind it if there is one."""
    activation = absorbs(node, tables=False)
    if activation is None or is_kept(activation):
        return node, "none", end_of(node.result)
    return activation, activation.op.name.removeprefix("nn."), end_of(activation.result)


def _result(end: Node | None) -> dict[str, Any]:
    if end is None:
        return {"dtype": DType.F32}
    return {"scale": end["scale"], "zero_point": end["zero_point"], "dtype": end["dtype"]}


# -- the others, which need a quantize behind them


def _arithmetic(graph: Graph, node: Node) -> str | None:
    sources = [source_of(v) for v in node.operands]
    last, activation, end = (
        _epilogue(node) if node.op.name in ("nn.add", "nn.mul") else (node, "none", end_of(node.result))
    )
    if any(s is None for s in sources):
        return "an operand is not quantised"
    if end is None:
        return "its result is not quantised"
    operands = [s for s in sources if s is not None]
    builder = Builder(graph, before=last, origin=node.origin)
    own: dict[str, Any] = {name: value for name, value in node.attributes.items() if name != "activation"}
    if len(operands) == 2:
        own = {**operands[0].attributes("a"), **operands[1].attributes("b"), "activation": activation}
    else:
        own = {**operands[0].attributes(), **own}
    value = builder.op(node.op.name.replace("nn.", "qnn."), *(s.value for s in operands), **own, **_result(end))
    _replace(graph, node, last, end, value)
    return None


def _lookup(graph: Graph, node: Node) -> str | None:
    x, end = source_of(node.operands[0]), end_of(node.result)
    if x is None:
        return "its operand is not quantised"
    if end is None:
        return "its result is not quantised"
    target = {"scale": end["scale"], "zero_point": end["zero_point"]}
    table = function_table(
        node.op.name, parameters_of(node), **x.attributes(), x_dtype=x.dtype, dtype=end["dtype"], **target
    )
    builder = Builder(graph, before=node, origin=node.origin)
    value = builder.qnn.lookup(
        x.value,
        builder.constant(table),
        **x.attributes(),
        **target,
        function=node.op.name,
        parameters=parameters_of(node),
    )
    _replace(graph, node, node, end, value)
    return None


def _passive(graph: Graph, node: Node) -> str | None:
    ends = [end_of(v) for v in node.results]
    sources = [source_of(v) if v.type.dtype is DType.F32 else None for v in node.operands]
    if any(s is None for s, v in zip(sources, node.operands, strict=True) if v.type.dtype is DType.F32):
        return "an operand is not quantised"
    first = next(s for s in sources if s is not None)
    alike = all(s is None or s.same_scale(first) for s in sources)
    if not alike and None in ends:
        return "its operands have different scales, and a result is not quantised"
    builder = Builder(graph, before=node, origin=node.origin)
    common = first if alike else None
    wanted = _result(ends[0])
    operands = []
    for value, source in zip(node.operands, sources, strict=True):
        if source is None:
            operands.append(value)
        elif common is None:  # parts of a concat at scales of their own
            operands.append(builder.qnn.requantize(source.value, **source.attributes(), **wanted))
        else:
            operands.append(source.value)
    own: dict[str, Any] = dict(node.attributes)
    at = common or Affine(operands[0], wanted["scale"], wanted["zero_point"])
    if node.op.name == "nn.pad":
        own["value"] = float(at.zero_point)
    made = builder.op(node.op.name, *operands, **own)
    results = made if isinstance(made, tuple) else (made,)
    for old, result, end in zip(node.results, results, ends, strict=True):
        if end is None:  # float users: the integers move, and are dequantised behind
            graph.replace_all_uses(old, builder.qnn.dequantize(result, **at.attributes()))
            continue
        same = (at.scale, at.zero_point, result.type.dtype) == (end["scale"], end["zero_point"], end["dtype"])
        value = result if same else builder.qnn.requantize(result, **at.attributes(), **_result(end))
        graph.replace_all_uses(end.result, value)
        graph.erase(end)
    graph.erase(node)
    return None


def _replace(graph: Graph, node: Node, last: Node, end: Node | None, value: Value) -> None:
    """Let users take the integers (or the float sum), and erase the float nodes from `node` to the quantize."""
    old = last.result if end is None else end.result
    value.name = value.name or last.result.name or node.result.name
    graph.replace_all_uses(old, value)
    for done in (end, last, *([node] if node is not last else [])):
        if done is not None:
            graph.erase(done)


def round_sum(graph: Graph, node: Node) -> bool:
    """Let a sum whose result is float apply the activation and the quantize behind it; returns whether it does now."""
    if node.op.name not in _FLOAT_SUMS or node["dtype"] is not DType.F32:
        return False
    last, attributes = node, dict(node.attributes)
    user = node.result.sole_user
    if user is not None and attributes.get("activation") == "none" and is_epilogue(user) and not is_kept(user):
        last, attributes["activation"] = user, user.op.name.removeprefix("nn.")
    end = end_of(last.result)
    if last is node and end is None:
        return False
    builder = Builder(graph, before=last, origin=node.origin)
    made: dict[str, Any] = {**attributes, **_result(end)}
    _replace(graph, node, last, end, builder.op(node.op.name, *node.operands, **made))
    return True


_FLOAT_SUMS = ("qnn.conv2d", "qnn.conv2d_transpose", "qnn.linear", "qnn.matmul")

_REWRITES: dict[Form, Callable[[Graph, Node], str | None]] = {
    Form.SUM: _sum,
    Form.ARITHMETIC: _arithmetic,
    Form.LOOKUP: _lookup,
    Form.PASSIVE: _passive,
}
