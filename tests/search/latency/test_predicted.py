"""Sums of kernel calls."""

from __future__ import annotations

import pytest

from nascompiler.backends.measure import Kind
from nascompiler.backends.predict import timed_calls
from nascompiler.ir.text import parse
from nascompiler.search.failures import FailureClass, TrialFailure
from nascompiler.search.latency.lowering import lowered
from nascompiler.search.latency.predicted import PredictedLatency
from nascompiler.search.trial import TrialSpec
from tests.search.latency.conftest import START_NS


@pytest.fixture
def graph(space):
    return space.architecture(space.sample(0))


def test_missing_calls_are_measured_once_and_add_up(graph, target, known, measurer):
    source = PredictedLatency("cpu", known=known, measurer=measurer())
    found = source.latency(TrialSpec(0, (), graph, 0))
    calls = timed_calls(lowered(graph, target))
    sizes = [v.type.bytes for nodes in calls.values() for n in nodes for v in (*n.operands, *n.results)]
    count = sum(map(len, calls.values()))
    assert found.ns == 1000 * count + sum(sizes) + START_NS
    assert (found.kind, found.missing, found.repeats, found.spread_ns) == (Kind.PREDICTED, 0, 0, 10.0 * count)

    def never(*_: object) -> None:
        raise AssertionError("measured again")

    assert PredictedLatency("cpu", known=known, measurer=never).of(graph) == found  # type: ignore[arg-type]


def test_a_checked_error_is_stated(graph, known, measurer):
    plain = PredictedLatency("cpu", known=known, measurer=measurer()).of(graph)
    assert PredictedLatency("cpu", known=known, error=0.03).of(graph).spread_ns == pytest.approx(0.03 * plain.ns)


def test_missing_calls_are_counted_where_none_may_be_measured(graph, known):
    found = PredictedLatency("cpu", known=known, complete=False).of(graph)
    assert found.ns == 0
    assert found.missing > 3


def test_what_cannot_be_lowered_is_a_failure_to_build(known):
    graph = parse("nir 1\ngraph @g(%x: f32[1,2,2,3]) {family=plain} {\n"
                  "  %y = arch.conv(%x) {filters=4, kernel=5, padding=valid}\n  return y=%y\n}\n")  # fmt: skip
    with pytest.raises(TrialFailure, match="cannot be lowered for cpu") as failed:
        PredictedLatency("cpu", known=known).of(graph)
    assert failed.value.failure_class is FailureClass.BUILD
