"""MnasNet's factorised hierarchical space."""

from __future__ import annotations

import pytest

from nascompiler import spaces
from nascompiler.ir import Graph, verify
from nascompiler.passes import run_pipeline
from nascompiler.spaces import SearchSpace
from tests.spaces.networks import SMALL, agrees_with_torch

MOBILENET_V2 = [(16, 1), (24, 2), (32, 3), (64, 4), (96, 3), (160, 3), (320, 1)]
"""Filters and layers of each block of the skeleton (arXiv:1801.04381, table 2)."""


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return spaces.load("mnasnet")


def test_size(space: SearchSpace) -> None:
    """432 sub-spaces a block, as in section 4.1; one layer less is no choice for the two blocks of one layer."""
    of_a_block = (1 + 1 + 2) * 2 * 2 * 3 * 3 * 3
    assert of_a_block == 432
    assert space.size == 432**5 * (432 * 2 // 3) ** 2


@pytest.mark.parametrize(("block", "filters", "layers"), [(i, *row) for i, row in enumerate(MOBILENET_V2, start=1)])
def test_filters_and_layers_surround_those_of_the_skeleton(
    space: SearchSpace, block: int, filters: int, layers: int
) -> None:
    options = space.choices[f"block{block}.filters"].options
    assert len(options) == 3
    for option, multiplier in zip(options, (0.75, 1, 1.25), strict=True):
        assert isinstance(option, int)
        assert option % 8 == 0
        assert abs(option - filters * multiplier) <= 4
    repeats = tuple(n for n in (layers - 1, layers, layers + 1) if n)
    assert space.choices[f"block{block}.repeats"].options == repeats


def test_strides_are_those_of_the_skeleton(space: SearchSpace) -> None:
    blocks = [n for n in space.graph.nodes if n.op.name == "arch.block"]
    assert [n["stride"] for n in blocks] == [1, 2, 2, 2, 1, 2, 1]


def test_only_bottlenecks_have_an_expansion(space: SearchSpace) -> None:
    for seed in range(10):
        decisions = space.sample(seed)
        for block in range(1, 8):
            assert (f"block{block}.expansion" in decisions) == (decisions[f"block{block}.op"] == "inverted_bottleneck")


def test_all_architectures_of_a_block_expand(space: SearchSpace) -> None:
    """Every option of one block at least once, the others at their first."""
    base = {name: choice.options[0] for name, choice in space.choices.items() if choice.condition is None}
    for name, choice in space.choices.items():
        if name.startswith("block3."):
            for option in choice.options:
                decisions = base | ({"block3.op": "inverted_bottleneck", "block3.expansion": 3}) | {name: option}
                if decisions["block3.op"] != "inverted_bottleneck":
                    del decisions["block3.expansion"]
                assert expanded(space.architecture(decisions)).level == "nn"


def expanded(architecture: Graph) -> Graph:
    network = run_pipeline(architecture, "expand-cells")
    verify(network)
    return network


@pytest.mark.parametrize("seed", range(20))
def test_random_architectures(space: SearchSpace, seed: int) -> None:
    architecture = space.architecture(space.sample(seed))
    assert expanded(architecture).outputs[0].type.shape == (1, 1000)
    agrees_with_torch(architecture, SMALL["mnasnet"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 220))
def test_more_random_architectures(space: SearchSpace, seed: int) -> None:
    agrees_with_torch(space.architecture(space.sample(seed)), SMALL["mnasnet"])
