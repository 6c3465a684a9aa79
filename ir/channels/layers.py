"""How channels flow through ops with weights, and through normalisations."""

from __future__ import annotations

from nascompiler.ir.channels import spans
from nascompiler.ir.channels.flow import Flow, NotFollowed, Rule
from nascompiler.ir.channels.spans import Pattern, repeated
from nascompiler.ir.channels.structure import Role

INPUT, OUTPUT, EACH = Role.INPUT, Role.OUTPUT, Role.EACH


def _per_channel(flow: Flow, made: Pattern, role: Role) -> Pattern:
    """What made channels share with the operands that have one number for each: biases, and the scales of weights."""
    vectors = [i for i in range(2, flow.operand_count) if flow.shape(i) == (spans.size(made),)]
    return flow.unify(made, *(flow.take(i, 0, role) for i in vectors))


def _is_depthwise(flow: Flow) -> bool:
    return bool(flow["groups"] > 1 and flow.shape(0)[3] == flow["groups"])


def conv2d(flow: Flow) -> None:
    """x [N, H, W, C], weight [kh, kw, C / groups, O], bias [O]; of qnn weight_scale [O] or [1] before the bias.

    The groups share the index of the weight's axis 2: what goes in one group goes in each, and so do results, which
    keeps the groups equally large.
    """
    groups = flow["groups"]
    if _is_depthwise(flow):
        x = flow.take(0, 3)
        features = flow.shape(1)[3]
        if not isinstance(features, int):
            raise NotFollowed("the number of filters is open")
        made = _per_channel(flow, flow.unify(repeated(x, features // groups), flow.take(1, 3)), EACH)
        flow.counts("groups", x)
        flow.give(3, made)
        return
    flow.unify(flow.tie(flow.take(0, 3, INPUT), groups), flow.take(1, 2, INPUT))
    made = _per_channel(flow, flow.take(1, 3, OUTPUT), OUTPUT)
    flow.tie(made, groups)
    flow.produce(3, made)


def conv2d_transpose(flow: Flow) -> None:
    """x [N, H, W, C], weight [kh, kw, C, O / groups], then as for conv2d."""
    groups = flow["groups"]
    if _is_depthwise(flow):
        x = flow.unify(flow.take(0, 3), flow.take(1, 2))
        per_channel = flow.shape(1)[3]
        if not isinstance(per_channel, int):
            raise NotFollowed("the number of filters is open")
        flow.counts("groups", x)
        flow.give(3, _per_channel(flow, repeated(x, per_channel), EACH))
        return
    flow.tie(flow.unify(flow.take(0, 3, INPUT), flow.take(1, 2, INPUT)), groups)
    flow.produce(3, _per_channel(flow, flow.take(1, 3, OUTPUT) * groups, OUTPUT))


def linear(flow: Flow) -> None:
    """x [..., K], weight [K, N], then as for conv2d."""
    rank = len(flow.shape(0))
    flow.unify(flow.take(0, -1, INPUT), flow.take(1, 0, INPUT))
    flow.produce(-1, _per_channel(flow, flow.take(1, 1, OUTPUT), OUTPUT))
    keep(flow, [axis for axis in flow.tracked(0) if axis != rank - 1])


def matmul(flow: Flow) -> None:
    """a [..., M, K], b [..., K, N]."""
    left = len(flow.shape(0))
    if left < 2 or len(flow.shape(1)) < 2:
        raise NotFollowed("an operand is a vector")
    flow.unify(flow.take(0, -1, INPUT), flow.take(1, -2, INPUT))
    if flow.carries(0, left - 2) or flow.node.operands[0].is_constant:
        flow.produce(-2, flow.take(0, -2, OUTPUT))
    flow.produce(-1, flow.take(1, -1, OUTPUT))


def batch_norm(flow: Flow) -> None:
    axis = flow["axis"] % len(flow.shape(0))
    flow.give(axis, flow.unify(flow.take(0, axis), *(flow.take(i, 0) for i in range(1, 5))))
    keep(flow, [other for other in flow.tracked(0) if other != axis])


def instance_norm(flow: Flow) -> None:
    flow.give(3, flow.unify(flow.take(0, 3), flow.take(1, 0), flow.take(2, 0)))


def softmax(flow: Flow) -> None:
    """Elements along `axis` depend on each other: what stands there is frozen."""
    _mix(flow, {flow["axis"] % len(flow.shape(0))})


def layer_norm(flow: Flow) -> None:
    rank = len(flow.shape(0))
    _mix(flow, set(range(flow["axis"] % rank, rank)))


def _mix(flow: Flow, mixed: set[int]) -> None:
    keep(flow, [axis for axis in flow.tracked(0) if axis not in mixed])
    for axis in mixed.intersection(flow.tracked(0)):
        flow.give(axis, flow.peek(0, axis))


def keep(flow: Flow, axes: list[int]) -> None:
    """Axes of the first operand go to the same axes of the result."""
    for axis in axes:
        flow.give(axis, flow.take(0, axis))


def per_axis(flow: Flow) -> None:
    """x, and scale with one number for each index along an axis, or a single one."""
    rank = len(flow.shape(0))
    axis = flow["axis"] % rank
    if flow.node.operands[0].is_constant:
        patterns = {other: flow.take(0, other) for other in range(rank)}
    else:
        patterns = {other: flow.take(0, other) for other in flow.tracked(0)}
    if axis in patterns and flow.shape(1) == (spans.size(patterns[axis]),):
        flow.unify(patterns[axis], flow.take(1, 0))
    for other, pattern in patterns.items():
        flow.give(other, pattern)


def lookup(flow: Flow) -> None:
    """x, and a table that no channel is part of."""
    keep(flow, flow.tracked(0))


def squeeze_excite(flow: Flow) -> None:
    """x [N, H, W, C], w1 [C, S], b1 [S], w2 [S, C], b2 [C]."""
    squeezed = flow.unify(flow.take(1, 1, OUTPUT), flow.take(2, 0, OUTPUT), flow.take(3, 0, INPUT))
    flow.make(squeezed)
    flow.consume(squeezed)
    gates = flow.unify(flow.take(1, 0, INPUT), flow.take(3, 1), flow.take(4, 0))
    flow.consume(gates)
    flow.give(3, flow.unify(flow.take(0, 3), gates))


def lstm_cell(flow: Flow) -> None:
    """x [N, I], h and c [N, H], w [I, 4H], r [H, 4H], b [4H] -> h, c."""
    state = _lstm_state(flow, 1)
    flow.produce(1, state, result=0)
    flow.give(1, state, result=1)


def lstm(flow: Flow) -> None:
    """x [T, N, I], h0 and c0 [N, H], w [I, 4H], r [H, 4H], b [4H] -> y [T, N, H], h, c."""
    state = _lstm_state(flow, 2)
    flow.produce(2, state, result=0)
    for result in (1, 2):
        flow.give(1, state, result=result)


def _lstm_state(flow: Flow, inputs: int) -> Pattern:
    flow.unify(flow.take(0, inputs, INPUT), flow.take(3, 0, INPUT))
    state = flow.unify(flow.take(4, 0, INPUT), flow.take(1, 1, INPUT), flow.take(2, 1))
    flow.unify(state * 4, flow.take(3, 1, OUTPUT), flow.take(4, 1, OUTPUT), flow.take(5, 0, OUTPUT))
    return state


RULES: dict[str, Rule] = {
    "nn.conv2d": conv2d,
    "nn.conv2d_transpose": conv2d_transpose,
    "nn.linear": linear,
    "nn.matmul": matmul,
    "nn.batch_norm": batch_norm,
    "nn.instance_norm": instance_norm,
    "nn.layer_norm": layer_norm,
    "nn.softmax": softmax,
    "nn.log_softmax": softmax,
    "nn.squeeze_excite": squeeze_excite,
    "nn.lstm_cell": lstm_cell,
    "nn.lstm": lstm,
    "qnn.conv2d": conv2d,
    "qnn.conv2d_transpose": conv2d_transpose,
    "qnn.linear": linear,
    "qnn.matmul": matmul,
    "qnn.lookup": lookup,
    "qnn.quantize_per_axis": per_axis,
    "qnn.dequantize_per_axis": per_axis,
}
