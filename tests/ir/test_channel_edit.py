"""Removing channels equals setting them to zero: on random networks, op by op, and attribute by attribute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nascompiler.ir import Constant, DType, Graph, TensorType, UsageError, Value, evaluate, graph_cost, parse, verify
from nascompiler.ir.channel_edit import remove_channels, with_channel_counts, without_channels
from nascompiler.ir.channels import Role, channel_structure
from nascompiler.ir.types import Quantization
from tests.ir.channel_networks import (
    NetworkBuilder,
    masked_evaluate,
    random_inputs,
    random_network,
    random_selection,
    width,
)
from tests.ir.op_examples import EXAMPLES, OpExample

SEEDS = range(60)


def close(actual: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, array in expected.items():
        np.testing.assert_allclose(actual[name], array, rtol=1e-5, atol=1e-5, err_msg=name)


def removed(graph: Graph, keep: dict[int, list[int]]) -> Graph:
    shrunk = graph.clone()
    remove_channels(shrunk, keep)
    return shrunk


def check(graph: Graph, seed: int = 0) -> int:
    """Compare removing with masking; returns how many channels went."""
    structure = channel_structure(graph)
    keep = random_selection(structure, seed, share=0.8)
    inputs = random_inputs(graph, seed)
    close(evaluate(removed(graph, keep), inputs), masked_evaluate(graph, structure, keep, inputs))
    return sum(structure.groups[group].length - len(indices) for group, indices in keep.items())


@pytest.mark.parametrize("seed", SEEDS)
def test_removing_equals_masking(seed: int) -> None:
    assert check(random_network(seed), seed) > 0


@pytest.mark.parametrize("seed", SEEDS[:20])
def test_removing_equals_zeroing_the_rows_of_the_consumers(seed: int) -> None:
    """As users check it: with weights that ignore the channels, whatever stands there cannot matter."""
    graph = random_network(seed)
    keep = random_selection(channel_structure(graph), seed)
    zeroed = graph.clone()
    structure = channel_structure(zeroed)
    arrays: dict[Value, Any] = {}
    for group, kept in keep.items():
        for use in structure.groups[group].constants:
            if use.role is Role.INPUT:
                array = arrays.setdefault(use.value, use.value.constant.array.copy())
                gone = np.delete(structure.positions(use.value, group, use.axis), kept, axis=0).reshape(-1)
                array[(slice(None),) * use.axis + (gone,)] = 0
    for value, array in arrays.items():
        zeroed.replace_all_uses(value, zeroed.constant(array))
    inputs = random_inputs(graph)
    close(evaluate(removed(graph, keep), inputs), evaluate(zeroed, inputs))


def test_removing_twice_equals_removing_at_once() -> None:
    graph = random_network(3)
    keep = {g.index: list(range(0, g.length, 2)) for g in channel_structure(graph).free_groups}
    step = graph.clone()
    for group, kept in keep.items():  # one group at a time; numbers stay, as no group disappears
        remove_channels(step, {group: kept})
    inputs = random_inputs(graph)
    close(evaluate(step, inputs), evaluate(removed(graph, keep), inputs))


def test_keeping_all_in_another_order_permutes() -> None:
    graph = random_network(5)
    generator = np.random.default_rng(0)
    keep = {g.index: generator.permutation(g.length).tolist() for g in channel_structure(graph).free_groups}
    inputs = random_inputs(graph)
    close(evaluate(removed(graph, keep), inputs), evaluate(graph, inputs))


def test_a_pruning_pass_keeps_the_largest_filters() -> None:
    """The example of the package's documentation."""
    b = NetworkBuilder(0)
    weight = np.zeros((1, 1, 3, 8))
    weight[..., [1, 2, 6, 7]] = 1
    y = b.nn.relu(b.nn.conv2d(b.input(1, 4, 4, 3), b.builder.constant(weight)))
    graph = b.outputs(y=b.conv(y, 2))
    structure = channel_structure(graph)
    keep = {}
    for group in structure.free_groups:
        norms = np.zeros(group.length)
        for use in group.constants:
            if use.role is Role.OUTPUT and use.value.array is not None:
                filters = np.moveaxis(use.value.array, use.axis, 0)
                filters = filters[structure.positions(use.value, group.index, use.axis)]
                norms += np.square(filters.reshape(group.length, -1)).sum(axis=1)
        keep[group.index] = np.sort(np.argsort(norms)[group.length // 2 :])
    smaller = without_channels(structure, keep)
    inputs = random_inputs(graph)
    close(evaluate(smaller, inputs), evaluate(graph, inputs))


# -- every op, between layers whose channels may go


def between_layers(example: OpExample, *, constant_parameters: bool) -> Graph:
    """The op on what linear layers make, its results seen by linear layers."""
    b = NetworkBuilder(0)
    source = example.graph(constant_parameters=constant_parameters)
    mapped: dict[Value, Value] = {}
    for value in source.inputs:
        type = value.type.with_dtype(DType.F64) if value.type.dtype is DType.F32 else value.type
        x = b.builder.input(value.name, type)
        if type.dtype is DType.F64 and type.rank:
            x = b.nn.add(b.nn.abs(b.linear(x, width(x))), b.positive(width(x)))
        mapped[value] = x
    (node,) = source.nodes
    for value in node.operands:
        if value.is_constant:
            array = value.constant.array
            mapped[value] = b.builder.constant(array.astype(np.float64) if array.dtype == np.float32 else array)
    results = b.builder.op(example.op, *(mapped[v] for v in node.operands), **node.attributes)
    outputs = {}
    for index, result in enumerate(results if isinstance(results, tuple) else (results,)):
        seen = b.nn.cast(result, to=DType.F64)
        if example.op in MOVES_THE_LAST_AXIS:
            seen = b.nn.flatten(seen)
        if seen.type.rank and isinstance(seen.type.shape[-1], int):
            seen = b.linear(seen, 2)
        outputs[f"y{index}"] = seen
    return b.outputs(**outputs)


MOVES_THE_LAST_AXIS = ("nn.transpose", "nn.squeeze", "nn.unsqueeze")
COMPUTED = [e for e in EXAMPLES if all(a is None or a.dtype == np.float32 for a in e.operands)]
CASES = [*((e, True) for e in EXAMPLES), *((e, False) for e in COMPUTED)]


@pytest.mark.parametrize("example, constant_parameters", CASES, ids=str)
def test_every_op(example: OpExample, constant_parameters: bool) -> None:
    """Parameters are constants, or computed as everything else is."""
    graph = between_layers(example, constant_parameters=constant_parameters)
    structure = channel_structure(graph)
    given = example.inputs(example.graph(constant_parameters=constant_parameters))
    inputs = {name: array.astype(graph.input(name).type.dtype.numpy) for name, array in given.items()}
    for seed in range(2):
        keep = random_selection(structure, seed, share=1)
        with np.errstate(all="ignore"):
            close(evaluate(removed(graph, keep), inputs), masked_evaluate(graph, structure, keep, inputs))


FOLLOWED = {
    "nn.conv2d", "nn.conv2d_transpose", "nn.linear", "nn.matmul", "nn.batch_norm", "nn.instance_norm", "nn.lstm",
    "nn.squeeze_excite", "nn.lstm_cell", "nn.flatten", "nn.reshape", "nn.concat", "nn.split", "nn.tile", "nn.expand",
    "nn.transpose", "nn.slice", "nn.pad", "nn.depth_to_space", "nn.space_to_depth", "nn.prelu", "nn.where", "nn.resize",
    "nn.reduce_sum", "nn.reduce_mean", "nn.max_pool2d", "nn.global_average_pool", "nn.unsqueeze",
}  # fmt: skip


@pytest.mark.parametrize("op", sorted(FOLLOWED))
def test_ops_with_rules_leave_channels_free(op: str) -> None:
    """The test above would also pass if everything were frozen."""
    graphs = [between_layers(e, constant_parameters=True) for e in EXAMPLES if e.op == op]
    assert any(channel_structure(graph).free_groups for graph in graphs)


# -- attributes, types and constants


def test_attributes_that_count_channels_follow() -> None:
    b = NetworkBuilder(0)
    x = b.conv(b.input(1, 4, 4, 3), 8)
    deep = b.conv(x, 8, kernel=3, groups=8)
    _, right = b.nn.split(deep, axis=-1, sizes=(3, 5))
    part = b.nn.slice(right, axes=(3,), starts=(-4,), ends=(99,), steps=(1,))
    flat = b.nn.reshape(part, shape=(1, 64))
    wide = b.nn.expand(b.nn.reshape(flat, shape=(1, 4, 4, 4)), shape=(3, 1, 1, 4))
    graph = b.outputs(y=b.conv(wide, 2))
    structure = channel_structure(graph)
    ends = structure.groups_of(right)
    assert [g.length for g in structure.groups_of(deep)] == [3, 1, 4]
    shrunk = removed(graph, {structure.groups_of(deep)[0].index: [1], ends[1].index: [0, 2, 3]})
    nodes = {n.op.name: n for n in shrunk.nodes}
    depthwise = list(shrunk.nodes)[1]
    assert depthwise["groups"] == 5
    assert nodes["nn.split"]["sizes"] == (1, 4)
    assert (nodes["nn.slice"]["starts"], nodes["nn.slice"]["ends"]) == ((1,), (4,))
    assert [n["shape"] for n in shrunk.nodes if n.op.name == "nn.reshape"] == [(1, 48), (1, 4, 4, 3)]
    assert nodes["nn.expand"]["shape"] == (3, 1, 1, 3)
    inputs = random_inputs(graph)
    keep = {structure.groups_of(deep)[0].index: [1], ends[1].index: [0, 2, 3]}
    close(evaluate(shrunk, inputs), masked_evaluate(graph, structure, keep, inputs))


def test_depthwise_down_to_one_channel() -> None:
    b = NetworkBuilder(0)
    x = b.conv(b.input(1, 4, 4, 3), 4)
    graph = b.outputs(y=b.conv(b.conv(x, 8, kernel=3, groups=4), 2))
    shrunk = removed(graph, {1: [2]})
    assert [n["groups"] for n in shrunk.nodes] == [1, 1, 1]
    assert [n.result.type.shape[3] for n in shrunk.nodes] == [1, 2, 2]


def test_quantised_constants_keep_the_scales_of_their_channels() -> None:
    b = NetworkBuilder(0)
    q = Quantization.per_axis([0.1, 0.2, 0.3, 0.4], [0, 1, 2, 3], 1)
    array = np.arange(8, dtype=np.int8).reshape(2, 4)
    w = b.builder.constant(Constant.of(array, TensorType((2, 4), DType.I8, q)))
    graph = b.outputs(y=b.linear(b.nn.linear(b.input(1, 2), b.nn.cast(w, to=DType.F64)), 3))
    structure = channel_structure(graph)
    (group,) = structure.free_groups
    shrunk = removed(graph, {group.index: [3, 1]})
    kept = shrunk.constants[0]
    assert kept.type.quantization == Quantization.per_axis([0.4, 0.2], [3, 1], 1)
    np.testing.assert_array_equal(kept.array, array[:, [3, 1]])


def test_lazy_weights_stay_lazy() -> None:
    made = []

    def make() -> Any:
        made.append(1)
        return np.ones((1, 1, 3, 8))

    b = NetworkBuilder(0)
    weight = b.builder.constant(Constant.lazy(TensorType((1, 1, 3, 8), DType.F64), make))
    graph = b.outputs(y=b.conv(b.nn.conv2d(b.input(1, 4, 4, 3), weight), 2))
    shrunk = removed(graph, {1: [0, 1, 2]})
    assert graph_cost(shrunk).macs == 16 * (9 + 6)
    assert not made
    assert evaluate(shrunk, random_inputs(shrunk))["y"].shape == (1, 4, 4, 2)
    assert made == [1]


@pytest.mark.parametrize("seed", range(5))
def test_a_copy_without_channels_is_the_same_and_leaves_the_original(seed: int) -> None:
    graph = random_network(seed)
    before = str(graph)
    structure = channel_structure(graph)
    keep = random_selection(structure, seed)
    assert str(without_channels(structure, keep)) == str(removed(graph, keep))
    assert str(without_channels(structure, {})) == before == str(graph)


def test_the_result_prints_and_parses() -> None:
    graph = random_network(2)
    shrunk = removed(graph, random_selection(channel_structure(graph), 2))
    verify(parse(str(shrunk)))


# -- bad input


def test_every_fault_is_listed_and_nothing_changes() -> None:
    graph = random_network(0)
    structure = channel_structure(graph)
    frozen = next(g for g in structure.groups if g.frozen and g.length > 1)
    one, two, three, four = structure.free_groups[:4]
    keep: dict[int, Any] = {
        frozen.index: [0], one.index: [one.length], two.index: [0, 0], three.index: [], four.index: [0.5], 999: [0]
    }  # fmt: skip
    version = graph.version
    with pytest.raises(UsageError) as caught:
        remove_channels(graph, keep)
    message = str(caught.value)
    assert frozen.frozen[0] in message
    for part in ("from 0 to", "occurs twice", "at least one channel", "list of integers", "no group 999"):
        assert part in message
    assert graph.version == version


def test_keeping_all_of_a_frozen_group_is_no_fault() -> None:
    graph = random_network(0)
    version = graph.version
    remove_channels(graph, {g.index: range(g.length) for g in channel_structure(graph).groups})
    assert graph.version == version


def test_a_structure_of_another_state_is_refused() -> None:
    graph = random_network(0)
    structure = channel_structure(graph)
    with pytest.raises(UsageError, match="compute it again"):
        remove_channels(graph.clone(), {}, structure)
    graph.set_outputs({"y": graph.outputs[0]})
    with pytest.raises(UsageError, match="compute it again"):
        remove_channels(graph, {}, structure)
    with pytest.raises(UsageError, match="compute it again"):
        without_channels(structure, {})


def test_weights_that_are_not_loaded() -> None:
    graph = parse(str(random_network(0)))
    (first, *_) = channel_structure(graph).free_groups
    with pytest.raises(UsageError, match="weights file"):
        remove_channels(graph, {first.index: [0]})


@pytest.mark.parametrize("seed", range(5))
def test_other_numbers_of_channels(seed: int) -> None:
    """More of them, or fewer: a valid graph, with the sizes that were asked for."""
    graph = random_network(seed)
    structure = channel_structure(graph)
    generator = np.random.default_rng(seed)
    counts = {g.index: int(g.length + generator.integers(1 - g.length, 40)) for g in structure.free_groups}
    resized = with_channel_counts(structure, counts)
    verify(resized)
    for before, after in zip(graph.nodes, resized.nodes, strict=True):
        for old, new in zip(before.results, after.results, strict=True):
            for axis, segments in structure.axes.get(old, {}).items():
                size = sum(counts.get(s.group, s.length) * s.repeat for s in segments)
                assert (new.type.shape or ())[axis] == size
    assert all(np.isfinite(array).all() for array in evaluate(resized, random_inputs(graph)).values())


def test_other_numbers_of_frozen_channels() -> None:
    structure = channel_structure(random_network(0))
    frozen = next(group.index for group in structure.groups if group.frozen)
    with pytest.raises(UsageError, match="frozen"):
        with_channel_counts(structure, {frozen: 3})
