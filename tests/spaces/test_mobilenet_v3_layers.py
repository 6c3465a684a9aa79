"""The space of single layers around MobileNetV3-Large."""

from __future__ import annotations

import pytest

from nascompiler import spaces, zoo
from nascompiler.ir import structurally_equal
from nascompiler.spaces import SearchSpace
from tests.spaces.networks import SMALL, agrees_with_torch


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return spaces.load("mobilenet-v3-layers")


def test_size(space: SearchSpace) -> None:
    """Kernel, squeeze-excite and activation in 15 layers, expansion in all but the first."""
    assert space.size == (3 * 2 * 2) ** 15 * 3**14


def test_mobilenet_v3_large_is_in_the_space(space: SearchSpace) -> None:
    large = zoo.load("mobilenet-v3-large")
    decisions = {
        f"{node.results[0].name}.{field}": node[field]
        for node in large.nodes
        for field in ("kernel", "expansion", "se_ratio", "activation")
        if f"{node.results[0].name}.{field}" in space.choices
    }
    assert structurally_equal(space.architecture(decisions), large)


@pytest.mark.parametrize("seed", range(20))
def test_random_architectures(space: SearchSpace, seed: int) -> None:
    agrees_with_torch(space.architecture(space.sample(seed)), SMALL["mobilenet-v3-layers"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 220))
def test_more_random_architectures(space: SearchSpace, seed: int) -> None:
    agrees_with_torch(space.architecture(space.sample(seed)), SMALL["mobilenet-v3-layers"])
