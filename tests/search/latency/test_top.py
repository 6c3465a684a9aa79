"""Ranks by measurement, and which of them say nothing."""

from __future__ import annotations

import pytest

from nascompiler.backends.measure import Kind
from nascompiler.ir.errors import UsageError
from nascompiler.search.evaluation import TargetLatency
from nascompiler.search.latency import measure_top, providers, top
from nascompiler.search.latency.end_to_end import Timed
from nascompiler.search.latency.top import Candidate, ranked, told_apart


def rounds(*medians, disturbed=()):
    return Timed(tuple((m, m, m) for m in medians), tuple(i in disturbed for i in range(len(medians))))


def test_differences_inside_the_noise_decide_nothing():
    steady = rounds(*[100.0] * 8)
    assert not told_apart(steady, rounds(*[103.0] * 8))
    assert told_apart(steady, rounds(*[110.0] * 8))
    assert not told_apart(steady, rounds(90, 130, 95, 125, 100, 140, 85, 120))


def test_drift_that_hits_both_is_no_noise():
    drifting = [100.0, 110, 120, 130, 140, 150]
    assert told_apart(rounds(*drifting), rounds(*[1.1 * x for x in drifting]))


def test_disturbed_rounds_are_left_out_and_too_few_others_decide_nothing():
    a, b = rounds(100, 100, 100, 900), rounds(110, 110, 110, 110)
    assert told_apart(Timed(a.rounds, (False, False, False, True)), b)
    assert not told_apart(Timed(a.rounds, (False, False, True, True)), b)


def test_the_fastest_stands_first_predicted_beside_measured(space, network_worker):
    graph = space.architecture(space.sample(0))
    predicted = TargetLatency(220.0, Kind.PREDICTED)
    candidates = [Candidate("a=206", graph), Candidate("broken", graph), Candidate("b=200", graph, predicted)]
    candidates.append(Candidate("c=400", graph))
    rows = measure_top(candidates, "cpu", rounds=3, command=network_worker)
    assert [(row.name, row.tied) for row in rows] == [
        ("b=200", False), ("a=206", True), ("c=400", False), ("broken", False),
    ]  # fmt: skip
    assert rows[0].error == pytest.approx(0.1)
    assert rows[1].error is None
    assert (rows[3].measured, rows[3].problem) == (None, rows[3].problem)
    assert "no such op" in rows[3].problem
    assert rows[0].to_json()["measured"]["kind"] == "measured"


def test_networks_that_a_crash_took_along_are_measured_all_the_same(space, network_worker):
    graph = space.architecture(space.sample(0))
    rows = measure_top([Candidate("a=100", graph), Candidate("crash", graph)], "cpu", rounds=3, command=network_worker)
    assert [row.name for row in rows] == ["a=100", "crash"]
    assert rows[0].measured is not None
    assert rows[1].problem


class Simulator:
    """A target of a package: simulated latencies without noise."""

    kinds = frozenset({Kind.SIMULATED})

    def source(self, target, kind, *, space=None):
        assert kind in self.kinds
        return self

    target = "chip:v1"

    def latency(self, trial):
        return TargetLatency(1000.0 - trial.number, Kind.SIMULATED)


class Predictions(Simulator):
    kinds = frozenset({Kind.PREDICTED})


def test_a_target_of_a_package_is_ranked_by_its_simulator(space, monkeypatch):
    monkeypatch.setattr(top, "provider", lambda target: Simulator())
    monkeypatch.setattr(providers, "provider", lambda target: Simulator())
    graph = space.architecture(space.sample(0))
    rows = measure_top([Candidate("a", graph), Candidate("b", graph)], "chip:v1")
    assert [(row.name, row.tied) for row in rows] == [("b", False), ("a", False)]


def test_a_target_that_cannot_be_run_says_what_it_has(monkeypatch):
    monkeypatch.setattr(providers, "provider", lambda target: Predictions())
    with pytest.raises(UsageError, match="latencies on board:x cannot be measured here, only predicted"):
        providers.latency_source("board:x", measure=True)
    assert isinstance(providers.latency_source("board:x"), Predictions)


def test_an_unknown_target_is_refused():
    with pytest.raises(UsageError, match="unknown target with latencies 'gpu'"):
        providers.latency_source("gpu:v9")


def test_rows_without_a_measurement_keep_their_prediction(space):
    graph = space.architecture(space.sample(0))
    prediction = TargetLatency(5.0, Kind.PREDICTED)
    (row,) = ranked([Candidate("a", graph, prediction)], {}, {"a": "lost"})
    assert (row.predicted, row.measured, row.problem) == (prediction, None, "lost")
