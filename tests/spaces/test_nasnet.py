"""NASNet's space: its size, and one pair of cells in three networks."""

from __future__ import annotations

from itertools import islice
from math import prod

import pytest

from nascompiler import spaces, zoo
from nascompiler.ir import Graph, ModelError, UsageError, fingerprint, graph_cost, structurally_equal, verify
from nascompiler.ir.dialects.arch.cells import CELL_OPS
from nascompiler.passes import run_pipeline
from nascompiler.spaces import SKELETONS, SearchSpace, stack_cells
from tests.spaces.networks import SMALL, agrees_with_torch


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return spaces.load("nasnet")


def nasnet_a(space: SearchSpace) -> dict[str, object]:
    """NASNet-A's blocks as decisions."""
    decisions: dict[str, object] = {}
    for name, cell in zoo.load("nasnet-a-cifar").cells.items():
        combines = [n for n in cell.nodes if n.op.name == "arch.combine"]
        for index, node in enumerate(combines):
            decisions |= {f"{name}.b{index}.{key}": value for key, value in node.attributes.items()}
    return decisions


def test_size(space: SearchSpace) -> None:
    """Of each block two of its b + 2 states, an operation for either, and the combiner (section 3.1)."""
    assert len(CELL_OPS) == 13
    of_a_cell = prod((b + 2) ** 2 * 13**2 * 2 for b in range(5))
    assert space.size == of_a_cell**2
    assert len(space.choices) == 2 * 5 * 5


def test_order_of_the_decisions_is_that_of_the_paper(space: SearchSpace) -> None:
    assert list(space.choices)[:5] == [f"normal.b0.{n}" for n in ("left", "right", "left_op", "right_op", "combiner")]
    assert all(name.startswith("reduction.") for name in list(space.choices)[25:])


def test_nasnet_a_is_in_the_space(space: SearchSpace) -> None:
    """Its blocks are; which states its cells give out differs from the rule for sampled cells (traps, no. 16)."""
    graph = space.architecture(nasnet_a(space))  # type: ignore[arg-type]
    wanted = zoo.load("nasnet-a-cifar").cells
    for name, cell in graph.cells.items():
        found = [n.attributes for n in cell.nodes if n.op.name == "arch.combine"]
        assert found == [n.attributes for n in wanted[name].nodes if n.op.name == "arch.combine"]


def test_the_released_cells_stack_into_the_released_networks() -> None:
    cells = zoo.load("nasnet-a-large")
    for skeleton, name in SKELETONS.items():
        assert structurally_equal(stack_cells(cells, skeleton), zoo.load(name))


@pytest.mark.parametrize("seed", range(3))
def test_one_vector_makes_three_networks(space: SearchSpace, seed: int) -> None:
    vector = space.encode(space.sample(seed))
    found = {}
    for skeleton in SKELETONS:
        stacked = spaces.load(f"nasnet-{skeleton}")
        assert stacked.choices == space.choices
        architecture = stacked.architecture(vector)
        assert {n: fingerprint(c) for n, c in architecture.cells.items()} == {
            n: fingerprint(c) for n, c in space.architecture(vector).cells.items()
        }
        network = run_pipeline(architecture, "expand-cells")
        verify(network)
        assert_classifies(network)
        found[skeleton] = graph_cost(network).params
    assert found["cifar"] < found["large"]
    assert found["mobile"] < found["large"]


def assert_classifies(network: Graph) -> None:
    assert network.outputs[0].type.shape in ((1, 10), (1, 1000))


def test_a_closed_pair_of_cells_stacks_as_well(space: SearchSpace) -> None:
    closed = space.architecture(space.sample(5))
    stacked = stack_cells(closed, "mobile")
    assert not stacked.is_open
    assert structurally_equal(stacked, spaces.load("nasnet-mobile").architecture(space.sample(5)))


def test_only_choices_of_the_cells_are_taken_along(space: SearchSpace) -> None:
    graph = space.graph.clone()
    graph.choices["other"] = next(iter(graph.choices.values()))
    assert list(stack_cells(graph, "cifar").choices) == list(space.choices)


def test_bad_skeletons_and_cells() -> None:
    with pytest.raises(UsageError, match="unknown skeleton 'imagenet'; accepted: cifar, large or mobile"):
        stack_cells(zoo.load("nasnet-a-cifar"), "imagenet")
    with pytest.raises(ModelError, match="mnasnet-a1 has no cell @normal and no cell @reduction; its cells: none"):
        stack_cells(zoo.load("mnasnet-a1"), "cifar")


def test_enumeration_begins_with_the_first_options(space: SearchSpace) -> None:
    first, second, third = islice(space.enumerate(), 3)
    assert set(space.encode(first)) == {0}
    assert {name: (first[name], second[name]) for name in first if first[name] != second[name]} == {
        "reduction.b4.combiner": ("add", "concat")
    }
    assert third["reduction.b4.right_op"] == CELL_OPS[1]


@pytest.mark.parametrize("seed", range(20))
def test_random_architectures(space: SearchSpace, seed: int) -> None:
    agrees_with_torch(space.architecture(space.sample(seed)), SMALL["nasnet"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 220))
def test_more_random_architectures(space: SearchSpace, seed: int) -> None:
    agrees_with_torch(space.architecture(space.sample(seed)), SMALL["nasnet"])


@pytest.mark.slow
@pytest.mark.parametrize("skeleton", SKELETONS)
def test_every_random_pair_of_cells_transfers(skeleton: str) -> None:
    stacked = spaces.load(f"nasnet-{skeleton}")
    for seed in range(100):
        verify(run_pipeline(stacked.architecture(stacked.sample(seed)), "expand-cells"))
