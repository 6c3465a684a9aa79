"""Cells in other skeletons, as many and as wide as asked for."""

from pathlib import Path

import pytest

from nascompiler import zoo
from nascompiler.ir import Graph, UsageError, files
from nascompiler.passes import run_pipeline
from nascompiler.transfer.stacking import Stacking, stacked

CELLS = Path(__file__).with_name("tiny-cells.nir")


def sizes(graph: Graph) -> list[tuple[int, int]]:
    """Filters and repeats of each place where cells are applied."""
    return [
        (node["filters"], node.attributes.get("repeats", 1))
        for node in graph.nodes
        if node.op.name in ("arch.cell", "arch.stack")
    ]


def test_its_own_skeleton_with_more_cells_and_filters() -> None:
    graph = stacked(files.load(CELLS), Stacking(cells=3, filters=10))
    assert sizes(graph) == [(10, 3), (20, 1), (20, 3), (40, 1), (40, 3)]
    (stem,) = [node for node in graph.nodes if node.op.name == "arch.conv"]
    assert stem["filters"] == 30


def test_the_skeleton_for_large_images_keeps_its_stem() -> None:
    graph = stacked(files.load(CELLS), Stacking("mobile", cells=1, filters=12))
    assert sizes(graph)[2:] == [(12, 1), (24, 1), (24, 1), (48, 1), (48, 1)]
    (stem,) = [node for node in graph.nodes if node.op.name == "arch.conv"]
    assert stem["filters"] == 32
    assert set(graph.cells) == {"normal", "reduction"}
    assert run_pipeline(graph, "expand-cells{statistics=random}").outputs[0].type.shape == (1, 1000)


def test_the_architecture_given_is_left_alone() -> None:
    cells = files.load(CELLS)
    stacked(cells, Stacking(cells=3, filters=10))
    assert sizes(cells) == [(4, 1), (8, 1), (8, 1), (16, 1), (16, 1)]


def test_layers_are_only_made_wider_or_narrower() -> None:
    narrow = stacked(zoo.load("mnasnet-a1"), Stacking(width=0.5))
    assert next(node for node in narrow.nodes if node.op.name == "arch.conv")["filters"] == 16
    with pytest.raises(UsageError, match="not made of cells"):
        stacked(zoo.load("mnasnet-a1"), Stacking(cells=3))


def test_what_cannot_be_stacked() -> None:
    cells = files.load(CELLS)
    with pytest.raises(UsageError, match="unknown skeleton"):
        stacked(cells, Stacking("desktop"))
    with pytest.raises(UsageError, match="a network already"):
        stacked(run_pipeline(cells, "expand-cells{statistics=random}"), Stacking())
