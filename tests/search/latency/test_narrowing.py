"""Latencies with fewer channels, found without lowering, are those of the networks lowered one by one."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler import zoo
from nascompiler.backends.target import parse_target
from nascompiler.ir import Graph
from nascompiler.ir.channel_edit import without_channels
from nascompiler.ir.channels import ChannelStructure, channel_structure
from nascompiler.passes import run_pipeline
from nascompiler.search.latency.lowering import lowered
from nascompiler.search.latency.narrowing import _calls, narrowed_calls
from nascompiler.search.latency.predicted import PredictedLatency


def network(name: str, size: int = 64) -> Graph:
    return run_pipeline(zoo.load(name), f"set-resolution{{size={size}}},expand-cells{{statistics=random}}")


def lower(graph: Graph) -> Graph:
    return lowered(graph, parse_target("cpu"))


def selection(structure: ChannelStructure, seed: int) -> dict[int, int]:
    """A little off some groups, so that nothing fuses otherwise."""
    generator = np.random.default_rng(seed)
    free = [group for group in structure.free_groups if group.length > 8]
    chosen = [free[i] for i in generator.choice(len(free), 4, replace=False)]
    return {group.index: group.length - 8 * int(generator.integers(1, 1 + group.length // 64)) for group in chosen}


@pytest.mark.parametrize("name", ["mobilenet-v3-small", "mobilenet-v1", "mnasnet-small"])
def test_calls_of_networks_of_the_zoo(name: str) -> None:
    structure = channel_structure(network(name))
    calls = narrowed_calls(structure, lower)
    assert calls is not None
    for seed in range(3):
        counts = selection(structure, seed)
        expected = _calls(lower(without_channels(structure, {g: range(n) for g, n in counts.items()})))
        found = list(calls.calls)
        for index, call in calls.changed(counts).items():
            found[index] = call
        assert [call.text for call in found] == [call.text for call in expected]
        assert len(calls.changed(counts)) < len(found)


def test_predictions_are_those_of_whole_networks(known, measurer) -> None:
    graph = network("mobilenet-v3-small")
    structure = channel_structure(graph)
    source = PredictedLatency("cpu", known=known, measurer=measurer())
    narrowing = source.narrowing(structure)
    assert narrowing is not None
    variants = [{}, *(selection(structure, seed) for seed in range(2))]
    found = narrowing.amounts(variants)
    for counts, ns in zip(variants, found, strict=True):
        assert source.of(without_channels(structure, {g: range(n) for g, n in counts.items()})).ns == pytest.approx(ns)
    assert found[0] > max(found[1:])


def test_what_depends_on_channels_otherwise_is_left_to_others() -> None:
    """A lowering that takes other ways for other numbers of channels cannot be foretold."""
    structure = channel_structure(network("mobilenet-v3-small"))
    once = []

    def fickle(graph: Graph) -> Graph:
        once.append(graph)
        return lower(graph if len(once) == 1 else network("mobilenet-v1"))

    assert narrowed_calls(structure, fickle) is None
