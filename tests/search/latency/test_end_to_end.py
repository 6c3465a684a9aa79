"""Networks timed whole: what becomes of crashes, and once for real."""

from __future__ import annotations

import pytest

from nascompiler.backends.measure import Kind
from nascompiler.search.failures import FailureClass, TrialFailure
from nascompiler.search.latency.end_to_end import NetworkTimer, Timed
from nascompiler.search.latency.lowering import network_of
from nascompiler.search.latency.measured import MeasuredLatency
from nascompiler.search.trial import TrialSpec


def test_only_quiet_rounds_count_while_there_are_any():
    timed = Timed(((10.0, 12.0, 11.0), (100.0, 101.0), (11.0, 13.0)), (False, True, False))
    assert timed.latency.ns == 11.0
    assert timed.latency.repeats == 5
    assert timed.round_medians == (11.0, 100.5, 12.0)
    assert not timed.is_disturbed
    lost = Timed(timed.rounds, (True, True, True))
    assert lost.is_disturbed
    assert lost.latency.ns == 12.0


def test_a_crash_costs_the_networks_of_the_process_and_the_next_one_starts_anew(space, target, network_worker):
    graph = space.architecture(space.sample(0))
    with NetworkTimer(target, command=network_worker) as timer:
        assert timer.prepare("net=500", graph) == 3
        with pytest.raises(TrialFailure, match=r"cannot be compiled for cpu.*no such op") as failed:
            timer.prepare("broken", graph)
        assert failed.value.failure_class is FailureClass.BUILD
        assert timer.holds("net=500")
        with pytest.raises(TrialFailure, match="exit code -6") as failed:
            timer.prepare("crash", graph)
        assert failed.value.failure_class is FailureClass.CRASH
        assert not timer.holds("net=500")
        timer.prepare("net=500", graph)
        assert timer.measure(["net=500"], rounds=2)["net=500"].latency.ns == 500.0


def test_a_process_that_cannot_start_is_a_lost_device(target, space):
    with NetworkTimer(target, command=["false"]) as timer, pytest.raises(TrialFailure) as failed:
        timer.prepare("net", space.architecture(space.sample(0)))
    assert failed.value.failure_class is FailureClass.DEVICE_LOST


def test_architectures_and_networks_for_real(space):
    source = MeasuredLatency("cpu", rounds=2, seconds=0.01)
    try:
        graph = space.architecture(space.sample(0))
        found = source.latency(TrialSpec(0, (), graph, 0))
        assert found.kind is Kind.MEASURED
        assert found.ns > 1000
        assert found.repeats >= 6
        assert source.of(network_of(graph)).ns > 1000
    finally:
        source.close()
