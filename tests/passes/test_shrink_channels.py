"""shrink-channels keeps what it is told to, and what is left computes what masking the rest does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nascompiler import zoo
from nascompiler.ir import Graph, UsageError, evaluate, verify
from nascompiler.ir.channels import ChannelGroup, ChannelStructure, channel_structure
from nascompiler.passes import run_pipeline
from nascompiler.passes.infrastructure.instruments import random_inputs as float_inputs
from nascompiler.passes.infrastructure.pipeline import Pipeline, Step
from nascompiler.passes.set_resolution import total_stride
from nascompiler.passes.shrink_channels import ShrinkChannels, chosen_channels, keep_text, parse_keep
from nascompiler.passes.shrinking import CRITERIA, largest, register_criterion
from tests.ir.channel_networks import NetworkBuilder, masked_evaluate, random_inputs, random_network, random_selection

STATEFUL = ("lstm0", "lstm1")
"""Their states are inputs and outputs, so nothing may go."""


def network(name: str) -> Graph:
    """A network of the zoo, narrow and for small images."""
    graph = zoo.load(name)
    image = next((v for v in graph.inputs if v.type.rank == 4), None)
    passes = ["scale-width{multiplier=0.05}", "expand-cells{statistics=random}"]
    if image is not None:
        passes.insert(1, f"set-resolution{{size={max(8, total_stride(graph))}}}")
    return run_pipeline(graph, ",".join(passes))


def counts(structure: ChannelStructure, seed: int, share: float = 0.6) -> dict[int, int]:
    """So many channels stay in some of the groups, two at least: a depthwise convolution of one is a plain one."""
    generator = np.random.default_rng(seed)
    free = [group for group in structure.free_groups if group.length > 2 and generator.random() < share]
    return {group.index: int(generator.integers(2, group.length)) for group in free}


def check(graph: Graph, keep: dict[int, int], tolerance: float, inputs: Any) -> Graph:
    structure = channel_structure(graph)
    shrunk = run_pipeline(graph, Pipeline((Step(ShrinkChannels.of(keep)),)))
    verify(shrunk)
    expected = masked_evaluate(graph, structure, chosen_channels(structure, keep), inputs)
    for name, found in evaluate(shrunk, inputs).items():
        scale = float(np.abs(expected[name].astype(np.float64)).max())
        np.testing.assert_allclose(found, expected[name], rtol=0, atol=tolerance * max(scale, 1e-6), err_msg=name)
    return shrunk


@pytest.mark.parametrize("name", zoo.names())
def test_networks_of_the_zoo(name: str) -> None:
    graph = network(name)
    structure = channel_structure(graph)
    keep = counts(structure, 1)
    assert bool(keep) == bool(structure.free_groups) == (name not in STATEFUL)
    shrunk = check(graph, keep, 1e-4, float_inputs(graph, 0))
    after = channel_structure(shrunk)
    assert [after.groups[index].length for index in keep] == list(keep.values())


@pytest.mark.parametrize("name", ["mobilenet-v1", "mobilenet-v3-small", "mnasnet-small", "resnet-50"])
def test_quantised_networks_of_the_zoo(name: str) -> None:
    graph = run_pipeline(network(name), "fold-batch-norm,quantize{samples=2,correct-bias=false,equalize=false}")
    structure = channel_structure(graph)
    keep = counts(structure, 2)
    assert keep
    check(graph, keep, 1e-6, float_inputs(graph, 0))


@pytest.mark.parametrize("seed", range(20))
def test_random_networks(seed: int) -> None:
    graph = random_network(seed)
    check(graph, counts(channel_structure(graph), seed), 1e-9, random_inputs(graph, seed))


@pytest.mark.parametrize("seed", range(20, 25))
def test_by_index(seed: int) -> None:
    graph = random_network(seed)
    structure = channel_structure(graph)
    keep = random_selection(structure, seed)
    shrunk = run_pipeline(graph, Pipeline.parse(f'shrink-channels{{keep="{keep_text(keep)}"}}'))
    inputs = random_inputs(graph)
    for name, expected in masked_evaluate(graph, structure, keep, inputs).items():
        np.testing.assert_allclose(evaluate(shrunk, inputs)[name], expected, rtol=1e-9, atol=1e-9)


# -- which channels stay


def two_layers(weights: list[float], gains: list[float] | None = None) -> Graph:
    """A convolution whose filters have these norms, a batch norm if there are gains, and another convolution."""
    b = NetworkBuilder(0)
    filters = np.ones((1, 1, 4, len(weights))) * np.asarray(weights) / 2
    y = b.nn.conv2d(b.input(1, 4, 4, 4), b.builder.constant(filters))
    if gains is not None:
        still = [b.builder.constant(np.full(len(gains), number)) for number in (0.0, 0.0, 1.0)]
        y = b.nn.batch_norm(y, b.builder.constant(np.asarray(gains)), *still)
    return b.outputs(y=b.conv(b.nn.relu(y), 2))


def kept(graph: Graph, count: int, criterion: str) -> list[int]:
    structure = channel_structure(graph)
    (group,) = structure.free_groups
    return list(chosen_channels(structure, {group.index: count}, criterion)[group.index])


def test_the_largest_filters_stay() -> None:
    assert kept(two_layers([1, 5, 2, 4, 3]), 2, "l2") == [1, 3]
    assert kept(two_layers([1, -5, 2, 4, 3]), 3, "l1") == [1, 3, 4]
    assert kept(two_layers([2, 2, 2, 2]), 2, "l2") == [0, 1]


def test_batch_norms_can_count() -> None:
    graph = two_layers([1, 5, 2, 4], gains=[9, 0.1, 2, 1])
    assert kept(graph, 2, "l2") == [1, 3]
    assert kept(graph, 2, "normalized") == [0, 2]  # 9, 0.5, 4, 4: of equal ones the first


def test_integers_count_by_what_they_stand_for() -> None:
    b = NetworkBuilder(0).builder
    x = b.op("qnn.quantize", b.input("x", (1, 4)), scale=0.1, zero_point=0)
    weight = b.constant(np.asarray([[100, 10, 50]] * 4, np.int8))
    scale = b.constant(np.asarray([0.001, 0.1, 0.01], np.float32))  # 0.1, 1 and 0.5
    step = {"x_scale": 0.1, "x_zero_point": 0, "scale": 0.1, "zero_point": 0}
    y = b.op("qnn.linear", x, weight, scale, b.constant(np.asarray([0, 0, 9], np.int32)), **step)
    last = b.constant(np.ones((3, 2), np.int8)), b.constant(np.ones(1, np.float32))
    graph = b.outputs(y=b.op("qnn.linear", y, *last, **step))
    assert kept(graph, 1, "l2") == [1]
    assert kept(graph, 2, "l2") == [1, 2]


def test_a_criterion_of_ones_own() -> None:
    def last_first(structure: ChannelStructure, group: ChannelGroup) -> Any:
        return np.arange(group.length)

    register_criterion("last-first")(last_first)
    try:
        assert kept(two_layers([5, 4, 3, 2]), 2, "last-first") == [2, 3]
        with pytest.raises(UsageError, match="already"):
            register_criterion("last-first")(lambda structure, group: np.zeros(group.length))
    finally:
        del CRITERIA["last-first"]


def test_largest_is_stable() -> None:
    assert largest(np.asarray([1.0, 3.0, 3.0, 2.0]), 2).tolist() == [1, 2]


# -- options


def test_options_round_trip() -> None:
    made = ShrinkChannels.of({4: 64, 7: (0, 1, 2, 9)}, criterion="l1")
    text = 'shrink-channels{keep="4=64,7=[0 1 2 9]",criterion=l1}'
    assert Pipeline.parse(text) == Pipeline((Step(made),))
    assert Pipeline.parse(str(Pipeline((Step(made),)))) == Pipeline.parse(text)
    assert parse_keep("7=[0-2 9], 4=64") == {7: (0, 1, 2, 9), 4: 64}


@pytest.mark.parametrize("text", ["4", "4=", "a=3", "4=[1,2]", "4=[3-1]", "4=2,4=3", "4=[x]"])
def test_bad_options(text: str) -> None:
    with pytest.raises(UsageError, match="keep has"):
        parse_keep(text)


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        ({99: 3}, "there is no group 99; groups: 0 to 2"),
        ({1: 9}, "group 1 has 4 channels and 9 are to stay; accepted: 1 to 4"),
        ({1: 0}, "accepted: 1 to 4"),
        ({0: 2, 9: 1}, "group 0 .* is frozen: .*\n.*no group 9|no group 9"),
        ({1: (0, 7)}, "indices to keep must be from 0 to 3"),
        ({1: ()}, "at least one channel must stay"),
    ],
)
def test_what_does_not_fit_is_listed(keep: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        run_pipeline(two_layers([1, 2, 3, 4]), Pipeline.parse(f'shrink-channels{{keep="{keep_text(keep)}"}}'))


def test_an_unknown_criterion() -> None:
    with pytest.raises(UsageError, match="unknown criterion 'l3'"):
        run_pipeline(two_layers([1, 2]), 'shrink-channels{keep="1=1",criterion=l3}')


def test_architectures_are_refused() -> None:
    with pytest.raises(UsageError, match="arch"):
        run_pipeline(zoo.load("mobilenet-v1"), 'shrink-channels{keep="1=1"}')
