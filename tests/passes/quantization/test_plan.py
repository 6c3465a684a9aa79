"""What becomes integer, what shares a scale, and how far ranges need to reach."""

from __future__ import annotations

from importlib.resources import files
from math import inf

import numpy as np
import pytest

import nascompiler as nc
from nascompiler.architecture import expanded
from nascompiler.ir import Builder, DType, Graph, Value
from nascompiler.passes.quantization.forms import Form, form_of
from nascompiler.passes.quantization.plan import Plan, make_plan
from nascompiler.passes.quantization.preparation import prepare
from tests.passes.networks import random_network


class Net:
    """A network between two convolutions, with values by name."""

    def __init__(self) -> None:
        self.b = Builder()
        self.nn = self.b.nn
        self.x = self.b.input("x", (1, 4, 4, 4))

    def conv(self, x: Value, name: str = "") -> Value:
        weight = self.b.constant(np.ones((1, 1, x.type.static_shape[3], 4), np.float32))
        return self.nn.conv2d(x, weight, name=name)

    def graph(self, **outputs: Value) -> Graph:
        return self.b.outputs(**outputs)


def between(build, **options) -> tuple[Plan, Value]:
    """The plan of conv -> build -> conv, and what `build` made."""
    net = Net()
    made = build(net, net.conv(net.x, "first"))
    graph = net.graph(y=net.conv(made, "last"))
    return make_plan(graph, **options), made


def names(values) -> list[str]:
    return [v.name for v in values]


def test_sums_are_integer_and_give_float_where_nobody_wants_integers():
    plan, made = between(lambda n, x: n.nn.relu(x, name="relu"))
    assert names(n.results[0] for n in plan.sums) == ["first", "last"]
    assert names(plan.values) == ["x", "relu"]
    assert plan.absorbed == {made.producer: plan.sums[0]}
    assert plan.reasons == {}
    assert set(plan.values.values()) == {DType.I8}


def test_what_stands_between_integers_is_integer():
    plan, made = between(lambda n, x: n.nn.sigmoid(n.nn.average_pool2d(x, kernel=(2, 2), name="pool"), name="gate"))
    assert made.producer in plan.integer
    assert names(plan.values) == ["x", "first", "pool", "gate"]


def test_what_starts_or_ends_in_float_stays_float():
    net = Net()
    before = net.nn.max_pool2d(net.x, kernel=(2, 2), name="before")
    behind = net.nn.global_average_pool(net.conv(before, "conv"), name="behind")
    plan = make_plan(net.graph(y=net.nn.softmax(behind, name="softmax")))
    assert names(n.results[0] for n in plan.integer) == ["conv"]
    assert names(plan.values) == ["before"]
    reasons = {n.results[0].name: reason for n, reason in plan.reasons.items()}
    assert reasons == {
        "before": "its result or its operands are float",
        "behind": "its result or its operands are float",
        "softmax": "nn.softmax has no integer form",
    }


def test_an_activation_of_what_stays_float_has_a_reason_too():
    net = Net()
    total = net.nn.relu(net.nn.add(net.x, net.x))
    plan = make_plan(net.graph(y=net.nn.softmax(net.conv(net.nn.softmax(total)))))
    assert len(plan.reasons) == 4
    assert plan.absorbed == {}
    assert len(plan.integer) == 1


def test_nodes_kept_in_float():
    net = Net()
    first = net.conv(net.x, "first")
    middle = net.conv(first, "middle")
    plan = make_plan(net.graph(y=net.conv(middle, "last")), keep_float=[middle.producer])
    assert names(n.results[0] for n in plan.sums) == ["first", "last"]
    assert plan.reasons == {middle.producer: "kept in float as asked"}
    assert plan.kept == {middle.producer}
    assert names(plan.values) == ["x", "middle"]


def test_wide_nodes_take_and_make_sixteen_bits():
    net = Net()
    first = net.conv(net.x, "first")
    second = net.nn.relu(net.conv(first, "second"), name="relu")
    third = net.conv(second, "third")
    plan = make_plan(net.graph(y=net.conv(third)), wide=[second.producer.operands[0].producer])
    types = {v.name: t for v, t in plan.values.items()}
    assert types == {"x": DType.I8, "first": DType.I16, "relu": DType.I16, "third": DType.I8}


def test_unsigned_integers():
    plan, _ = between(lambda n, x: x, dtype=DType.U8)
    assert set(plan.values.values()) == {DType.U8}


def test_with_tables_gates_are_behind_a_rounding():
    fused, gate = between(lambda n, x: n.nn.hard_swish(x, name="gate"))
    assert names(fused.values) == ["x", "gate"]
    apart, gate = between(lambda n, x: n.nn.hard_swish(x, name="gate"), tables=True)
    assert names(apart.values) == ["x", "first", "gate"]
    assert gate.producer in apart.integer
    assert apart.limits == {next(v for v in apart.values if v.name == "first"): (-3.0, inf)}


SHARED = {
    "concat": lambda n, x: n.nn.concat(x, n.nn.relu(x), axis=3),
    "residual pool": lambda n, x: n.nn.average_pool2d(x, kernel=(3, 3), padding=(1, 1, 1, 1)),
    "reshape": lambda n, x: n.nn.reshape(n.nn.reshape(x, shape=(4, 16)), shape=(1, 4, 4, 4)),
    "max": lambda n, x: n.nn.max_pool2d(x, kernel=(2, 2)),
    "identity": lambda n, x: n.nn.identity(x),
}


@pytest.mark.parametrize("name", SHARED)
def test_one_scale_through_what_only_moves_numbers(name):
    plan, made = between(SHARED[name])
    (group,) = [g for g in plan.groups if made in g]
    assert len(group) == len({*group}) >= 2
    assert {v.name for v in group} >= ({"first"} if name != "concat" else set())


def test_sums_and_additions_begin_a_scale_of_their_own():
    plan, made = between(lambda n, x: n.nn.add(x, n.conv(x)))
    assert all(len(group) == 1 for group in plan.groups)
    assert made in plan.values


def test_every_value_is_in_one_group_and_groups_have_one_type():
    for seed in range(20):
        graph = prepare(random_network(seed, channels_first=bool(seed % 2)))
        wide = [n for i, n in enumerate(graph.nodes) if i % 5 == 0]
        plan = make_plan(graph, wide=wide, tables=bool(seed % 3))
        assert sorted(map(id, (v for g in plan.groups for v in g))) == sorted(map(id, plan.values))
        assert all(len({plan.values[v] for v in g}) == 1 for g in plan.groups)
        every = plan.integer | plan.absorbed.keys() | plan.reasons.keys()
        assert every == set(graph.nodes)
        assert not (plan.integer & plan.reasons.keys())


SATURATING = {
    "hard_swish": (-3, inf, lambda n, x: n.nn.hard_swish(x)),
    "hard_sigmoid": (-3, 3, lambda n, x: n.nn.hard_sigmoid(x)),
    "another slope": (-2.5, 2.5, lambda n, x: n.nn.hard_sigmoid(x, alpha=0.2, beta=0.5)),
    "sigmoid": (-6.3, 6.3, lambda n, x: n.nn.sigmoid(x)),
    "tanh": (-3.2, 3.2, lambda n, x: n.nn.tanh(x)),
    "two users": (-3.2, inf, lambda n, x: n.nn.add(n.nn.tanh(x), n.nn.relu(x))),
    "behind a pool": (-3, inf, lambda n, x: n.nn.hard_swish(n.nn.max_pool2d(x, kernel=(2, 2)))),
    "behind a reshape and a concat": (
        -3,
        3,
        lambda n, x: n.nn.hard_sigmoid(n.nn.concat(n.nn.reshape(x, shape=(1, 4, 4, 4)), n.conv(n.x), axis=3)),
    ),
    "swish": (-inf, inf, lambda n, x: n.nn.mul(x, n.nn.sigmoid(x))),
    "average": (-inf, inf, lambda n, x: n.nn.relu(n.nn.average_pool2d(x, kernel=(2, 2)))),
}


@pytest.mark.parametrize("name", SATURATING)
def test_ranges_need_not_reach_beyond_where_all_users_saturate(name):
    low, high, build = SATURATING[name]
    plan, _ = between(build, tables=True)
    (first,) = [v for v in plan.values if v.name == "first"]
    assert plan.limits.get(first, (-inf, inf)) == pytest.approx((low, high))


@pytest.mark.parametrize("op, reach", [("sigmoid", 6.3), ("tanh", 3.2)])
def test_flat_ends_are_within_half_a_step(op, reach):
    wide_reach = {"sigmoid": 11.8, "tanh": 5.9}[op]
    step = {"sigmoid": 1 / 256, "tanh": 1 / 128}[op]
    function = {"sigmoid": lambda x: 1 / (1 + np.exp(-x)), "tanh": np.tanh}[op]
    assert 1 - function(reach) < step / 2
    assert 1 - function(wide_reach) < step / 256 / 2

    net = Net()
    first = net.conv(net.x, "first")
    gate = net.b.op(f"nn.{op}", first)
    plan = make_plan(net.graph(y=net.conv(gate)), wide=[gate.producer])
    assert plan.limits[first] == (-wide_reach, wide_reach)


def test_an_output_is_wanted_whole():
    net = Net()
    first = net.conv(net.x, "first")
    plan = make_plan(net.graph(y=net.conv(net.nn.hard_swish(first)), z=first), tables=True)
    assert first in plan.values
    assert first not in plan.limits


SMALL_NASNET = str(files("nascompiler.training") / "glyphs-nasnet.nir")


@pytest.mark.parametrize(
    "name",
    [
        SMALL_NASNET,
        pytest.param("nasnet-a-cifar", marks=pytest.mark.slow),
        pytest.param("nasnet-a-mobile", marks=pytest.mark.slow),
    ],
)
def test_concats_identities_and_pools_of_nasnet_share_scales(name):
    graph = prepare(expanded(nc.load(name)))
    plan = make_plan(graph)
    index = {v: i for i, group in enumerate(plan.groups) for v in group}
    for node in plan.integer:
        if form_of(node) is Form.PASSIVE or node.op.name == "nn.average_pool2d":
            values = [v for v in (*node.operands, *node.results) if v in index]
            assert len(values) > 1
            assert len({index[v] for v in values}) == 1, node
    concats = [n for n in graph.nodes if n.op.name == "nn.concat"]
    assert concats
    assert plan.integer.issuperset(concats)
    assert not plan.reasons


def test_tables_of_bytes_are_looked_up_by_eight_bits():
    net = Net()
    first = net.conv(net.x, "first")
    kept = net.nn.sigmoid(net.nn.flatten(first, name="flat"), name="gate")
    both = net.conv(net.x, "both")
    table = net.nn.tanh(both, name="table")
    graph = net.graph(a=net.nn.linear(kept, _ones(64, 3)), b=net.conv(net.nn.add(both, table, name="sum"), "last"))
    plan = make_plan(graph, dtype=DType.I16, byte_tables=True)
    types = {v.name: t for v, t in plan.values.items()}
    assert (types["first"], types["flat"], types["gate"]) == (DType.I8, DType.I8, DType.I16)
    assert (types["both"], types["table"], types["sum"]) == (DType.I16, DType.I16, DType.I16)
    assert [n.result.name for n in plan.narrowed] == ["table"]
    assert make_plan(graph, dtype=DType.I16).narrowed == frozenset()


def _ones(*shape: int) -> Value:
    return Builder().constant(np.ones(shape, np.float32))


def test_outputs_that_are_wanted_as_integers():
    net = Net()
    first = net.conv(net.x, "first")
    total = net.nn.add(first, net.nn.tanh(first, name="table"), name="total")
    graph = net.graph(sum=net.nn.relu(net.conv(total), name="end"), last=net.nn.sigmoid(total, name="last"), kept=total)
    partly, whole = make_plan(graph), make_plan(graph, whole=True)
    assert [n.result.name for n in graph.nodes if n in whole.integer and n not in partly.integer] == ["last"]
    assert names(whole.values) == ["x", "first", "table", "total", "last"]
    assert "end" not in names(whole.values)  # a sum gives float32
