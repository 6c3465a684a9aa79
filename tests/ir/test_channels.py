"""Which channels belong together: op by op, on whole blocks, and as properties of random networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nascompiler.ir import OPS, Builder, DType, Graph, UsageError, Value
from nascompiler.ir.channels import ChannelGroup, ChannelStructure, Role, channel_structure, describe
from nascompiler.ir.channels.movement import reshape_chunks
from tests.ir.channel_networks import NetworkBuilder, random_network


def only(structure: ChannelStructure, value: Value) -> ChannelGroup:
    """The group that is all there is along the channel axis of a value."""
    (group,) = structure.groups_of(value)
    return group


def layout(structure: ChannelStructure, value: Value, axis: int | None = None) -> list[tuple[int, int, int]]:
    return [(s.group, s.length, s.repeat) for s in structure.segments(value, axis)]


def net() -> tuple[NetworkBuilder, Any, Value]:
    b = NetworkBuilder(0)
    return b, b.nn, b.input(1, 4, 4, 3)


# -- properties


@pytest.mark.parametrize("seed", range(30))
def test_segments_add_up_and_fill_their_groups(seed: int) -> None:
    graph = random_network(seed)
    structure = channel_structure(graph)
    assert len(structure.axes) + len(structure.opaque) == len({*graph.inputs, *graph.constants, *results(graph)})
    for value, axes in structure.axes.items():
        for axis, segments in axes.items():
            assert sum(s.size for s in segments) == value.type.static_shape[axis]
            assert all(s.length == structure.groups[s.group].length for s in segments)
            covered = [structure.positions(value, g.index, axis) for g in structure.groups_of(value, axis)]
            assert sorted(np.concatenate([p.reshape(-1) for p in covered])) == list(
                range(value.type.static_shape[axis])
            )


def results(graph: Graph) -> list[Value]:
    return [v for n in graph.nodes for v in n.results]


@pytest.mark.parametrize("seed", range(10))
def test_numbers_are_the_same_for_every_clone(seed: int) -> None:
    graph = random_network(seed)
    one, other = channel_structure(graph), channel_structure(graph.clone())
    assert describe(one) == describe(other)
    assert [g.index for g in one.groups] == list(range(len(one.groups)))


def test_graph_is_not_changed() -> None:
    graph = random_network(0)
    version = graph.version
    assert channel_structure(graph).version == version
    assert graph.version == version


def chain(length: int) -> Graph:
    """conv, batch norm, relu, add: ten thousand nodes of one trunk, weights shared so that building is quick."""
    b = Builder("chain")
    weight, statistics = b.constant(np.ones((1, 1, 16, 16), np.float32)), b.constant(np.ones(16, np.float32))
    x = b.nn.conv2d(b.input("x", (1, 4, 4, 16)), weight)
    for _ in range(length // 4):
        y = b.nn.batch_norm(b.nn.conv2d(x, weight), statistics, statistics, statistics, statistics)
        x = b.nn.add(b.nn.relu(y), x)
    return b.outputs(y=x)


def dense(length: int) -> Graph:
    """Concat, a convolution on each concat, slices of it and residual sums; weights are each layer's own."""
    b = Builder("dense")
    x = b.input("x", (1, 2, 2, 8))
    small = np.ones((1, 1, 8, 4), np.float32)
    for _ in range(length // 6):
        one, other = (b.nn.conv2d(x, b.constant(small)) for _ in range(2))
        joined = b.nn.concat(one, other, axis=3)
        left = b.nn.slice(joined, axes=(3,), starts=(0,), ends=(2,), steps=(1,))
        right = b.nn.slice(joined, axes=(3,), starts=(2,), ends=(8,), steps=(1,))
        x = b.nn.concat(right, left, axis=3)
    return b.outputs(y=x)


@pytest.mark.parametrize("build", [chain, dense])
def test_ten_thousand_nodes(build: Any) -> None:
    """Without recursion; benchmarks/ir_scale.py has the times."""
    assert channel_structure(build(10_000)).groups


def test_deep_chains_of_cuts_do_not_recurse() -> None:
    b, nn, x = net()
    wide = b.conv(x, 3000)
    parts = nn.split(wide, axis=3, sizes=(1,) * 3000)
    for part in parts:
        b.nn.relu(part)
    structure = channel_structure(b.outputs(y=b.conv(nn.concat(*reversed(parts), axis=3), 2)))
    assert len(structure.groups_of(wide)) == 3000


# -- the promises


def test_convolution_makes_and_consumes() -> None:
    b, nn, x = net()
    weight, bias = b.weight(3, 3, 3, 8), b.weight(8)
    y = nn.relu(b.batch_norm(nn.conv2d(x, weight, bias)))
    following = b.weight(1, 1, 8, 5)
    z = nn.conv2d(y, following)
    structure = channel_structure(b.outputs(z=z))
    group = only(structure, y)
    assert group.is_free
    assert group.length == 8
    assert [n.op.name for n in group.producers] == ["nn.conv2d"]
    assert group.consumers == (z.producer,)
    used = {(u.operand, u.axis, u.role) for u in group.constants}
    assert used == {
        ("weight", 3, Role.OUTPUT), ("bias", 0, Role.OUTPUT), ("weight", 2, Role.INPUT),
        ("scale", 0, Role.EACH), ("bias", 0, Role.EACH), ("mean", 0, Role.EACH), ("variance", 0, Role.EACH),
    }  # fmt: skip
    assert structure.segments(weight, 2) == structure.segments(x)
    assert structure.groups_of(following, 2) == (group,)


def test_inputs_and_outputs_are_frozen() -> None:
    b, _, x = net()
    y = b.conv(x, 8)
    structure = channel_structure(b.outputs(scores=y))
    assert only(structure, x).frozen == ("graph input 'x'",)
    assert only(structure, y).frozen == ("graph output 'scores'",)
    assert not structure.free_groups


def test_residuals_share_one_group() -> None:
    b, nn, x = net()
    trunk = b.conv(x, 8)
    sums = [trunk]
    for _ in range(3):
        sums.append(nn.add(b.conv(b.conv(sums[-1], 16), 8), sums[-1]))
    structure = channel_structure(b.outputs(y=b.conv(sums[-1], 2)))
    group = only(structure, trunk)
    assert all(only(structure, s) is group for s in sums)
    assert len(group.producers) == 4
    assert len(structure.free_groups) == 4  # the trunk and three expansions


@pytest.mark.parametrize("composite", [True, False])
def test_gates_join_the_trunk(composite: bool) -> None:
    b, nn, x = net()
    trunk = b.conv(x, 8)
    if composite:
        gated = nn.squeeze_excite(trunk, b.weight(8, 4), b.weight(4), b.weight(4, 8), b.weight(8))
    else:
        squeezed = b.linear(nn.global_average_pool(trunk), 4)
        gated = nn.mul(nn.hard_sigmoid(b.linear(nn.relu(squeezed), 8)), trunk)
    structure = channel_structure(b.outputs(y=b.conv(gated, 2)))
    assert only(structure, gated) is only(structure, trunk)
    assert [g.length for g in structure.free_groups] == [8, 4]
    inner = structure.free_groups[1]
    assert inner.producers
    assert inner.consumers
    gates = {(u.operand, u.axis, u.role) for u in only(structure, trunk).constants}
    if composite:
        assert {("w1", 0, Role.INPUT), ("w2", 1, Role.EACH), ("b2", 0, Role.EACH)} < gates


def test_depthwise_follows_and_a_multiplier_repeats() -> None:
    b, nn, x = net()
    trunk = b.conv(x, 8)
    deep = b.conv(trunk, 8, kernel=3, groups=8)
    double = b.conv(deep, 16, kernel=3, groups=8)
    other = b.conv(x, 16)
    structure = channel_structure(b.outputs(y=b.conv(nn.add(double, other), 2)))
    group = only(structure, trunk)
    assert layout(structure, deep) == [(group.index, 8, 1)]
    assert layout(structure, double) == [(group.index, 8, 2)] == layout(structure, other)
    assert structure.positions(double, group.index)[3].tolist() == [6, 7]
    assert [n.op.name for n in group.producers] == ["nn.conv2d"] * 2  # trunk and other


def test_groups_of_a_convolution_share_their_index() -> None:
    b, _, x = net()
    trunk = b.conv(x, 8)
    y = b.conv(trunk, 12, groups=4)
    structure = channel_structure(b.outputs(y=b.conv(y, 2)))
    assert layout(structure, trunk) == [(only(structure, trunk).index, 2, 1)] * 4
    assert layout(structure, y) == [(only(structure, y).index, 3, 1)] * 4
    assert structure.positions(y, only(structure, y).index)[1].tolist() == [1, 4, 7, 10]


def test_concat_appends_and_its_consumer_sees_both_in_order() -> None:
    b, nn, x = net()
    one, other = b.conv(x, 8), b.conv(x, 4)
    weight = b.weight(1, 1, 15, 2)
    structure = channel_structure(b.outputs(y=nn.conv2d(nn.concat(other, one, x, axis=-1), weight)))
    order = [only(structure, other), only(structure, one), only(structure, x)]
    assert list(structure.groups_of(weight, 2)) == order
    assert [g.is_free for g in order] == [True, True, False]


def test_adding_a_concat_cuts_what_it_is_added_to() -> None:
    b, nn, x = net()
    trunk = b.conv(x, 16)
    parts = [b.conv(x, 8), b.conv(x, 8)]
    structure = channel_structure(b.outputs(y=b.conv(nn.add(nn.concat(*parts, axis=3), trunk), 2)))
    assert [g.length for g in structure.groups_of(trunk)] == [8, 8]
    assert structure.groups_of(trunk) == (only(structure, parts[0]), only(structure, parts[1]))


def test_slices_and_splits_cut() -> None:
    b, nn, x = net()
    trunk = b.conv(x, 10)
    head = nn.slice(trunk, axes=(3,), starts=(0,), ends=(-7,), steps=(1,))
    left, right = nn.split(trunk, axis=-1, sizes=(5, 5))
    y = nn.concat(b.conv(head, 2), b.conv(left, 2), b.conv(right, 2), axis=3)
    structure = channel_structure(b.outputs(y=b.conv(y, 1)))
    assert [g.length for g in structure.groups_of(trunk)] == [3, 2, 5]
    assert structure.groups_of(left) == structure.groups_of(trunk)[:2]
    assert only(structure, right) is structure.groups_of(trunk)[2]


def test_flatten_repeats() -> None:
    b, nn, x = net()
    trunk = nn.concat(b.conv(x, 4), b.conv(x, 2), axis=3)
    flat = nn.flatten(trunk)
    first = nn.reshape(nn.transpose(trunk, permutation=(0, 3, 1, 2)), shape=(1, -1))
    back = nn.reshape(flat, shape=(1, 4, 4, 6))
    y = nn.add(b.linear(flat, 3), b.linear(first, 3))
    structure = channel_structure(b.outputs(y=y, z=b.conv(back, 1)))
    groups = [g.index for g in structure.groups_of(trunk)]
    assert layout(structure, flat) == [(groups[0], 4, 1), (groups[1], 2, 1)] * 16
    assert layout(structure, first) == [(groups[0], 4, 16), (groups[1], 2, 16)]
    assert structure.segments(back) == structure.segments(trunk)
    assert all(structure.groups[g].is_free for g in groups)
    assert structure.positions(flat, groups[1])[0].tolist() == list(range(4, 96, 6))


def test_channel_shuffle_behind_a_grouped_convolution() -> None:
    b, nn, x = net()
    trunk = b.conv(b.conv(x, 8), 8, groups=2)
    split = nn.reshape(trunk, shape=(1, 4, 4, 2, 4))
    shuffled = nn.reshape(nn.transpose(split, permutation=(0, 1, 2, 4, 3)), shape=(1, 4, 4, 8))
    structure = channel_structure(b.outputs(y=b.conv(shuffled, 2)))
    group = only(structure, trunk)
    assert layout(structure, shuffled) == [(group.index, 4, 2)]
    assert group.is_free


def test_pixel_shuffle() -> None:
    b, nn, x = net()
    first, last = b.conv(x, 16), b.conv(x, 16)
    structure = channel_structure(
        b.outputs(
            y=b.conv(nn.depth_to_space(first, block=2), 1), z=b.conv(nn.depth_to_space(last, block=2, mode="CRD"), 1)
        )
    )
    assert layout(structure, first) == [(only(structure, first).index, 4, 1)] * 4
    assert layout(structure, last) == [(only(structure, last).index, 4, 4)]


def test_lstm_gates_are_four_times_the_state() -> None:
    b = NetworkBuilder(0)
    x = b.linear(b.input(5, 2, 3), 6)
    state = b.builder.constant(np.zeros((2, 4)))
    w, r, bias = b.weight(6, 16), b.weight(4, 16), b.weight(16)
    y, _, _ = b.nn.lstm(x, state, state, w, r, bias)
    structure = channel_structure(b.outputs(y=b.linear(y, 2)))
    group = only(structure, y)
    assert layout(structure, w, 1) == [(group.index, 4, 1)] * 4 == layout(structure, bias)
    assert [g.length for g in structure.free_groups] == [6, 4]


def test_an_embedding_makes_channels() -> None:
    b = NetworkBuilder(0)
    x = b.nn.gather(b.weight(10, 6), b.builder.input("words", (2, 5), DType.I64))
    group = only(channel_structure(b.outputs(y=b.linear(x, 2))), x)
    assert group.is_free
    assert [n.op.name for n in group.producers] == ["nn.gather"]
    assert next((u.operand, u.axis, u.role) for u in group.constants) == ("x", 1, Role.OUTPUT)


def test_nchw_networks_are_followed_through_transposes() -> None:
    b = NetworkBuilder(0)
    nn, x = b.nn, b.input(1, 3, 4, 4)
    y = b.conv(nn.transpose(x, permutation=(0, 2, 3, 1)), 8)
    first = nn.transpose(y, permutation=(0, 3, 1, 2))
    z = b.conv(nn.transpose(nn.relu(first), permutation=(0, 2, 3, 1)), 2)
    structure = channel_structure(b.outputs(z=nn.transpose(z, permutation=(0, 3, 1, 2))))
    assert structure.channel_axis(x) == 1
    assert structure.channel_axis(first) == 1
    assert [g.length for g in structure.groups] == [3, 8, 2]
    assert structure.free_groups == (only(structure, y),)


def test_weights_behind_a_transpose_are_followed() -> None:
    b = NetworkBuilder(0)
    x = b.linear(b.input(2, 3), 6)
    stored = b.weight(4, 6)
    y = b.nn.matmul(x, b.nn.transpose(stored, permutation=(1, 0)))
    structure = channel_structure(b.outputs(y=b.linear(y, 2)))
    assert [g.length for g in structure.free_groups] == [6, 4]
    assert structure.segments(stored, 1) == structure.segments(x)


# -- what is frozen, and why


def frozen_by(op: str, **attributes: Any) -> tuple[str, ...]:
    b, _, x = net()
    y = b.conv(x, 8)
    z = b.builder.op(op, y, **attributes)
    z = z[0] if isinstance(z, tuple) else z
    return only(channel_structure(b.outputs(z=b.nn.cast(z, to=DType.F64))), y).frozen


@pytest.mark.parametrize(
    "op, attributes",
    [
        ("nn.softmax", {}),
        ("nn.layer_norm", {}),
        ("nn.argmax", {"axis": 3}),
        ("nn.reduce_mean", {"axes": (3,)}),
        ("nn.reduce_max", {"axes": (1, 2, 3)}),
        ("nn.reshape", {"shape": (1, 4, 4, 2, 4)}),
        ("nn.slice", {"axes": (3,), "starts": (0,), "ends": (8,), "steps": (2,)}),
        ("nn.pad", {"before": (0, 0, 0, 1), "after": (0, 0, 0, 0), "mode": "edge"}),
        ("nn.shape", {}),
    ],
)
def test_ops_that_need_all_channels_freeze_them(op: str, attributes: dict[str, Any]) -> None:
    assert frozen_by(op, **attributes)[0] == f"{op} needs all of axis 3"


def test_ops_along_other_axes_do_not() -> None:
    b, nn, x = net()
    y = b.conv(x, 8)
    used = [nn.softmax(y, axis=1), nn.reduce_max(y, axes=(1,)), nn.pad(y, before=(0, 1, 0, 0), after=(0, 0, 0, 0))]
    sizes = nn.shape(y, end=3)
    outputs = {f"y{i}": b.conv(v, 2) for i, v in enumerate(used)}
    assert only(channel_structure(b.outputs(**outputs, sizes=sizes)), y).is_free


def test_a_sum_over_channels_consumes_them() -> None:
    b, nn, x = net()
    y = b.conv(x, 8)
    group = only(channel_structure(b.outputs(y=nn.reduce_sum(y, axes=(-1,)))), y)
    assert group.is_free
    assert [n.op.name for n in group.consumers] == ["nn.reduce_sum"]


def test_a_constant_with_a_use_that_is_not_followed_is_frozen() -> None:
    b, nn, x = net()
    shared = b.weight(1, 1, 3, 8)
    y = nn.conv2d(x, shared)
    mixed = nn.reshape(shared, shape=(24,))
    structure = channel_structure(b.outputs(y=b.conv(y, 2), z=mixed))
    assert only(structure, y).frozen == ("nn.reshape needs all of axis 3",)


def test_shared_weights_unify_what_they_make() -> None:
    b, nn, x = net()
    shared = b.weight(1, 1, 3, 8)
    one, other = nn.conv2d(x, shared), nn.conv2d(nn.relu(x), shared)
    structure = channel_structure(b.outputs(y=b.conv(one, 2), z=b.conv(other, 2)))
    assert only(structure, one) is only(structure, other)


def test_repeats_that_do_not_divide_are_frozen() -> None:
    b, nn, x = net()
    two = b.conv(b.conv(x, 6), 12, kernel=3, groups=6)  # each channel twice
    three = b.conv(b.conv(x, 4), 12, kernel=3, groups=4)  # each channel three times
    structure = channel_structure(b.outputs(y=b.conv(nn.add(two, three), 2)))
    for value in (two, three):
        assert any("would divide channels" in reason for g in structure.groups_of(value) for reason in g.frozen)


def test_open_sizes() -> None:
    b = NetworkBuilder(0)
    x = b.builder.input("x", ("n", "h", "w", 3), DType.F64)
    y = b.nn.conv2d(x, b.weight(1, 1, 3, 8))
    flat = b.nn.flatten(y)
    pooled = b.nn.flatten(b.nn.global_average_pool(b.nn.conv2d(x, b.weight(1, 1, 3, 8))))
    structure = channel_structure(b.outputs(flat=flat, pooled=b.linear(pooled, 2)))
    assert only(structure, y).frozen == ("nn.flatten needs all of axis 3",)
    assert structure.channel_axis(flat) is None
    assert structure.opaque[flat] == "the number of channels is open"
    assert only(structure, pooled).is_free
    with pytest.raises(UsageError, match="number of channels is open"):
        structure.segments(flat)
    with pytest.raises(UsageError, match=r"axis 1 .* carries no channels"):
        structure.segments(y, 1)


def test_an_op_without_a_rule_freezes_and_one_with_a_rule_need_not() -> None:
    def build(op: Any) -> tuple[Graph, Value]:
        b, _, x = net()
        y = b.conv(x, 8)
        z = b.builder.graph.insert(op, [y]).result
        return b.outputs(z=b.conv(z, 2)), y

    plain = replace(OPS["nn.relu"], name="mine.relu", traits=frozenset())
    graph, y = build(plain)
    assert only(channel_structure(graph), y).frozen == ("mine.relu has no rule for channels",)
    ruled = replace(plain, channels=lambda flow: flow.give(3, flow.take(0, 3)))
    graph, y = build(ruled)
    assert only(channel_structure(graph), y).is_free


# -- the parts


@pytest.mark.parametrize(
    "source, target, expected",
    [
        ((2, 3, 4, 5), (2, 60), {(0,): (0,), (1, 2, 3): (1,)}),
        ((2, 60), (2, 3, 4, 5), {(0,): (0,), (1,): (1, 2, 3)}),
        ((2, 3, 4), (6, 4), {(0, 1): (0,), (2,): (1,)}),
        ((2, 8, 1), (2, 1, 8), {(0,): (0,), (1,): (1, 2), (2,): ()}),
        ((2, 1, 1, 8), (2, 8), {(0,): (0,), (1,): (), (2,): (), (3,): (1,)}),
        (("n", 3, 4, 8), (None, 8), {(3,): (1,), (0, 1, 2): None}),
        (("n", 3, 8), ("n", 24), {(0,): (0,), (1, 2): (1,)}),
        ((6, 4), (4, 6), {(0, 1): (0, 1)}),
    ],
)
def test_reshape_chunks(source: Any, target: Any, expected: dict[Any, Any]) -> None:
    found = {tuple(olds): None if news is None else tuple(news) for olds, news in reshape_chunks(source, target)}
    found.pop((), None)
    assert found == expected


def test_description() -> None:
    b, nn, x = net()
    weight = b.builder.constant(np.ones((1, 1, 3, 8)), "stem_weight")
    y = nn.conv2d(x, weight, name="stem")
    rows = describe(channel_structure(b.outputs(y=nn.conv2d(nn.relu(y), b.weight(1, 1, 8, 2)))))
    assert rows[1].to_json() == {
        "group": 1,
        "channels": 8,
        "frozen": (),
        "producers": ("stem",),
        "consumers": ("#2 conv2d",),
        "constants": ("@stem_weight[3] out", "weight of #2 conv2d[2] in"),
    }
    assert rows[0].frozen == ("graph input 'x'",)
