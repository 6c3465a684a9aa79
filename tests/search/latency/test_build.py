"""Filling a table, with times that are made up; and once for real."""

from __future__ import annotations

import pytest

from nascompiler.backends.cpu.choice import variants
from nascompiler.backends.errors import TuningError
from nascompiler.backends.predict import start_ns
from nascompiler.backends.store import DISTURBED, Outcome
from nascompiler.backends.tune import tune_graph
from nascompiler.search.latency.build import build_table
from nascompiler.search.latency.collection import Collection
from nascompiler.search.latency.lowering import lowered
from nascompiler.search.latency.table import LatencyTable
from tests.search.latency.conftest import START_NS


@pytest.fixture
def table(space, target, known):
    collection = Collection.begin(space, target)
    collection.extend(space, target, samples=1)
    return LatencyTable(collection, target, known)


def test_every_call_gets_a_row_of_the_variant_that_is_used(table, target, measurer):
    assert len(table.missing()) == len(table.collection.calls)
    told = []
    result = build_table(table, budget_s=600, report=told.append, measurer=measurer())
    assert (result.measured, result.known, result.failed, result.left) == (len(table.collection.calls), 0, (), 0)
    assert [p.done for p in told] == list(range(1, result.measured + 1))
    rows = list(table.rows())
    assert {row.call for row in rows} == set(table.collection.calls)
    assert [row.architectures for row in rows] == sorted((row.architectures for row in rows), reverse=True)
    for row in rows:
        call = table.collection.calls[row.call]
        assert row.variant == next(iter(variants(call, target)))
        assert row.median == 1000 + sum(t.bytes for t in (*call.operands, *call.results))
        assert (row.count, row.spread, row.unit, row.kind, row.disturbed) == (40, 10.0, "ns", "measured", False)
        assert row.device
    assert table.missing() == []
    again = build_table(table, budget_s=600, measurer=measurer())
    assert (again.measured, again.known) == (0, len(rows))


def test_the_start_of_a_program_is_timed_too(table, target, known, measurer):
    assert start_ns(known, target) == 0.0
    build_table(table, budget_s=600, measurer=measurer())
    assert start_ns(known, target) == START_NS


def test_what_the_budget_leaves_over_is_measured_the_next_time(table, measurer):
    first = build_table(table, budget_s=0, measurer=measurer())
    assert first.measured == 1
    assert [row.count for row in table.rows()] == [15]  # there was no time to measure it in turns with others
    second = build_table(table, budget_s=600, measurer=measurer())
    assert (second.known, second.left) == (1, 0)


def test_an_interruption_loses_no_call(table, measurer):
    def interrupt(progress):
        if progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_table(table, budget_s=600, report=interrupt, measurer=measurer())
    assert [row.count for row in table.rows()] == [15] * 3


def test_where_the_variant_fails_the_others_are_measured(table, target, measurer):
    call = next(c for c in table.collection.calls.values() if len(variants(c, target)) > 2)
    broken = next(iter(variants(call, target)))
    result = build_table(table, budget_s=600, measurer=measurer(broken))
    assert result.failed == ()
    row = next(row for row in table.rows() if row.call == call.key)
    assert row.variant != broken


def test_calls_that_fail_in_every_variant_are_an_error_and_not_tried_again(table, target, measurer):
    with pytest.raises(TuningError, match=r"nothing could be measured.*made up"):
        build_table(table, budget_s=600, measurer=measurer("*"))
    assert list(table.rows()) == []
    assert table.missing() == []


def test_a_call_that_fails_is_listed_among_others_that_do_not(table, target, measurer):
    keys = list(table.collection.calls)
    lost = table.collection.calls.pop(keys[0])
    build_table(table, budget_s=600, measurer=measurer())
    table.collection.calls[keys[0]] = lost
    told = []
    with pytest.raises(TuningError):
        build_table(table, budget_s=600, report=told.append, measurer=measurer("*"))
    (progress,) = told
    assert {row.outcome for row in progress.tuning.rows} == {Outcome.WRONG_RESULT}
    assert {row.variant for row in progress.tuning.rows} == set(variants(lost, target))


def test_disturbed_rows_are_marked_and_measured_again_on_request(table, measurer):
    build_table(table, budget_s=600, measurer=measurer(detail=DISTURBED))
    assert all(row.disturbed for row in table.rows())
    assert table.missing() == []
    assert len(table.missing(disturbed=True)) == len(table.collection.calls)
    build_table(table, budget_s=600, again_disturbed=True, measurer=measurer())
    assert not any(row.disturbed for row in table.rows())


def test_tuning_still_measures_the_other_variants(table, space, target, known, measurer):
    build_table(table, budget_s=600, measurer=measurer())
    graph = lowered(space.architecture(space.sample(0)), target)
    result = tune_graph(graph, target, budget_s=600, known=known, measurer=measurer())
    assert result.known == sum(len(variants(c, target)) == 1 for c in _calls(graph).values())
    assert result.measured > 0
    assert tune_graph(graph, target, budget_s=600, known=known, measurer=measurer()).measured == 0


def _calls(graph):
    from nascompiler.backends.cpu.kernel_call import KernelCall
    from nascompiler.backends.predict import timed_calls

    return {key: KernelCall.of(nodes[0]) for key, nodes in timed_calls(graph).items()}


def test_two_calls_for_real(table):
    keys = sorted(table.collection.calls, key=len)[:2]
    table.collection.calls = {key: table.collection.calls[key] for key in keys}
    result = build_table(table, budget_s=600)
    assert (result.measured, result.failed) == (2, ())
    for row in table.rows():
        assert row.median > 0
        assert row.count >= 15
