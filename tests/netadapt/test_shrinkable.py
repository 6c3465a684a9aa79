"""What shrinks together, by the structure of networks."""

from __future__ import annotations

import pytest

from nascompiler import zoo
from nascompiler.ir import Graph
from nascompiler.ir.channels import channel_structure
from nascompiler.netadapt.shrinkable import Shrinkable, Sort, shrinkables
from nascompiler.passes import run_pipeline


def network(name: str) -> Graph:
    return run_pipeline(zoo.load(name), "expand-cells{statistics=random}")


def found(name: str, preset: str = "all") -> tuple[tuple[Shrinkable, ...], list[int]]:
    structure = channel_structure(network(name))
    return shrinkables(structure, preset), [group.length for group in structure.groups]


def test_mobilenet_v3_large() -> None:
    """Table 1 of arXiv:1905.02244: expansions (but for the first block, which has none), bottlenecks by their size."""
    shrinks, lengths = found("mobilenet-v3-large")
    expansions = [lengths[each.groups[0]] for each in shrinks if each.sort is Sort.EXPANSION]
    assert expansions == [64, 72, 72, 120, 120, 240, 200, 184, 184, 480, 672, 672, 960, 960]
    bottlenecks = [lengths[each.groups[0]] for each in shrinks if each.sort is Sort.BOTTLENECK]
    assert bottlenecks == [16, 24, 40, 80, 112, 160]
    assert [lengths[each.groups[0]] for each in shrinks if each.sort is Sort.FILTERS] == [960, 1280]
    gated = [each for each in shrinks if each.followers]
    assert [lengths[f] for each in gated for f in each.followers] == [24, 32, 32, 120, 168, 168, 240, 240]
    papers, _ = found("mobilenet-v3-large", "mobilenet-v3")
    assert [each.sort for each in papers].count(Sort.EXPANSION) == 14
    assert len(papers) == 20


def test_mobilenet_v1_has_layers_only() -> None:
    shrinks, lengths = found("mobilenet-v1")
    assert [lengths[each.groups[0]] for each in shrinks] == [32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]
    assert all(len(each.groups) == 1 for each in shrinks)


def test_gates_follow_in_proportion() -> None:
    shrinks, lengths = found("mobilenet-v3-small")
    each = next(s for s in shrinks if s.followers and lengths[s.groups[0]] == 240)
    (gate,) = each.followers
    assert lengths[gate] == 64
    assert each.counts(120, lengths) == {each.groups[0]: 120, gate: 32}
    assert each.counts(240, lengths) == {}
    assert Shrinkable.from_json(each.to_json()) == each


@pytest.mark.parametrize("name", ["mobilenet-v2", "mnasnet-a1", "resnet-50", "nasnet-a-cifar"])
def test_every_free_group_is_proposed_once(name: str) -> None:
    structure = channel_structure(network(name))
    named = [g for each in shrinkables(structure) for g in (*each.groups, *each.followers)]
    assert sorted(named) == [group.index for group in structure.free_groups]
    alone = [g for each in shrinkables(structure, "layers") for g in each.groups]
    assert sorted(alone) == sorted(named)


def test_names_say_where() -> None:
    shrinks, _ = found("mobilenet-v2")
    names = [each.name for each in shrinks]
    assert len(set(names)) == len(names)
    assert "bottleneck of block2.1.project to block2.2.project" in names
