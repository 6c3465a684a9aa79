"""Mappings: what a tile holds, what of it belongs to the layer, which one is taken."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.backends.tpu.compiler.mapping import (
    Figures,
    Mapping,
    Shape,
    best_mapping,
    block_matrix,
    candidates,
    tiling,
    useful_weights,
)
from nascompiler.backends.tpu.compiler.work import Window
from nascompiler.backends.tpu.machine import parse_machine

V1 = Figures.of(parse_machine("tpu:v1"))
ALL = Figures.of(parse_machine("tpu:v1{extensions=all}"))

SHAPES = [
    Shape(Window((3, 3), (1, 1), 1, 1), 1, 5, 7, 9, 8, 1),
    Shape(Window((3, 2), (2, 1), 0, 0), 1, 3, 4, 9, 8, 1),
    Shape(Window((3, 3), (1, 1), 2, 2, (2, 2)), 6, 1, 1, 9, 9, 1),
    Shape(Window((5, 5), (2, 2), 2, 2), 12, 1, 1, 8, 8, 1),
    Shape(Window((3, 3), (1, 1), 1, 1), 4, 3, 2, 6, 6, 1),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_useful_weights_are_those_that_are_not_padding(shape: Shape) -> None:
    weights = np.ones((*shape.window.kernel, shape.group_channels, shape.groups * shape.group_features), np.int8)
    figures = Figures.of(parse_machine("tpu:tiny{extensions=elementwise}"))
    for mapping in candidates(shape, figures):
        made = tiling(shape, mapping)
        total = 0
        for block in made.blocks:
            matrix = block_matrix(shape, mapping, block, weights)
            assert matrix.shape == (made.rows(block), made.columns(block))
            for first in range(0, len(matrix), mapping.side):
                part = matrix[first : first + mapping.side]
                assert useful_weights(shape, mapping, block, first, len(part)) == np.count_nonzero(part)
                total += int(np.count_nonzero(part))
        assert total == weights.size * mapping.patch[0] * mapping.patch[1]


def test_every_feature_is_in_one_block() -> None:
    for shape in SHAPES:
        for mapping in candidates(shape, Figures.of(parse_machine("tpu:tiny"))):
            if not mapping.vector:
                blocks = tiling(shape, mapping).blocks
                covered = [f for b in blocks for f in range(b.first_feature, b.first_feature + b.features)]
                assert sorted(covered) == list(range(shape.groups * shape.group_features)), mapping


def _depthwise(channels: int, size: int) -> Shape:
    return Shape(Window((3, 3), (1, 1), 1, 1), channels, 1, 1, size, size, 1)


def test_the_papers_array_wants_few_tiles_and_the_extended_one_few_positions() -> None:
    assert best_mapping(_depthwise(960, 7), V1, 1).patch == (1, 1)
    assert best_mapping(_depthwise(960, 7), ALL, 1).vector
    blocked = best_mapping(_depthwise(16, 112), ALL, 1)
    assert blocked.patch[0] * blocked.patch[1] > 4
    assert not blocked.vector
    dense = Shape(Window((1, 1)), 1, 960, 320, 7, 7, 1)
    assert best_mapping(dense, V1, 1) == Mapping(256, (1, 1), 1, 256)


def test_few_features_share_the_columns_with_neighbouring_pixels() -> None:
    shape = Shape(Window((3, 3), (1, 1), 1, 1), 1, 64, 64, 56, 56, 1)
    assert best_mapping(shape, V1, 1).patch == (1, 2)  # of 2x2 there would be four tiles to fetch, not three
