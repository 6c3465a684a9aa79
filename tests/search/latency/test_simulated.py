"""Latencies on a TPU, from the structure of architectures."""

from __future__ import annotations

import sys

import pytest

from nascompiler import api
from nascompiler.backends.measure import Kind
from nascompiler.ir.errors import UsageError
from nascompiler.search.failures import FailureClass, TrialFailure
from nascompiler.search.latency.providers import latency_source, provider
from nascompiler.search.latency.simulated import SimulatedLatency
from nascompiler.search.trial import TrialSpec


@pytest.fixture
def graph(space):
    return space.architecture(space.sample(0))


def test_the_source_of_a_tpu_simulates(graph) -> None:
    assert provider("tpu:v1").kinds == {Kind.SIMULATED}
    for measure in (False, True):
        source = latency_source("tpu:v1{extensions=all}", measure=measure)
        found = source.latency(TrialSpec(0, (), graph, 0))
        assert found.kind is Kind.SIMULATED
        assert found.ns > 0
        assert (found.missing, found.spread_ns) == (0, 0.0)


def test_it_repeats_and_tells_machines_apart(graph) -> None:
    slow, fast = SimulatedLatency("tpu:v1"), SimulatedLatency("tpu:v1{extensions=all}")
    assert slow.of(graph) == slow.of(graph)
    assert fast.of(graph).ns < slow.of(graph).ns


def test_an_integer_network_takes_about_as_long_as_its_structure(graph) -> None:
    network = api.optimize(graph, "expand-cells")
    quantized = api.quantize(network, samples=1, evaluate=1).graph
    source = SimulatedLatency("tpu:v1")
    # zero points that differ from layer to layer are written to registers, which takes a cycle each
    assert source.of(quantized).ns == pytest.approx(source.of(graph).ns, rel=0.01)


def test_what_does_not_fit_is_a_failed_trial(graph) -> None:
    with pytest.raises(TrialFailure, match="cannot be computed on tpu:v1") as failure:
        SimulatedLatency("tpu:v1{unified-buffer=2KiB}").of(graph)
    assert failure.value.failure_class is FailureClass.BUILD
    with pytest.raises(UsageError):
        SimulatedLatency("tpu:v9")


def test_tvm_is_not_needed(graph) -> None:
    code = (
        "import sys; from nascompiler.search.latency.simulated import SimulatedLatency; from nascompiler import api;"
        "SimulatedLatency('tpu:v1').of(api.load('mobilenet-v3-small'));"
        "sys.exit('tvm' in sys.modules or 'tvm_ffi' in sys.modules)"
    )
    import subprocess

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
