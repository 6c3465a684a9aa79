from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nascompiler.backends.cpu.choice import TVM
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.host import detect_host
from nascompiler.backends.measure.latency import Kind
from nascompiler.backends.predict import predict, timed_calls
from nascompiler.backends.store import Measurements, Row, Session, Store, Tuning
from nascompiler.backends.store.generator import generator_hash
from nascompiler.backends.target import parse_target
from nascompiler.ir import Graph
from nascompiler.ir.builder import Builder
from nascompiler.passes import run_pipeline

TARGET = parse_target("cpu")


def network() -> Graph:
    """The same convolution twice, a reshape that costs nothing, and a softmax."""
    builder = Builder("net")
    weight = builder.constant(np.ones((1, 1, 8, 8), np.float32))
    y = builder.nn.conv2d(builder.nn.conv2d(builder.input("x", (1, 4, 4, 8)), weight), weight)
    return builder.outputs(y=builder.nn.log_softmax(builder.nn.flatten(y)))


def test_a_prediction_is_the_sum_of_rows_and_lists_what_is_missing(tmp_path):
    store = Store(tmp_path / "m.sqlite")
    calls = timed_calls(run_pipeline(network(), "assign-kernels"))
    convolution, softmax = calls
    assert [KernelCall.of(nodes[0]).op for nodes in calls.values()] == ["cpu.conv2d", "nn.log_softmax"]

    def add(call: str, ns: float, generator: str) -> None:
        session = Session(TARGET.fingerprint, generator, "2026-01-01")
        rows = (Row(TVM, median_ns=ns, repeats=3, gain=1.0),)
        store.add(call, session, Tuning(rows, 0.01, Kind.MEASURED, True))

    nothing = predict(network(), "cpu", Measurements((store,)))
    assert nothing.latency.median_ns == 0
    assert list(nothing.missing) == [convolution, softmax]
    assert [len(nodes) for nodes in nothing.missing.values()] == [2, 1]

    add(convolution, 500.0, generator_hash())
    partly = predict(network(), "cpu", Measurements((store,)))
    assert partly.latency.kind is Kind.PREDICTED
    assert partly.latency.median_ns == 1000.0
    assert [layer.op for layer in partly.latency.layers] == ["cpu.conv2d"] * 2
    assert (list(partly.missing), partly.older, partly.shipped) == ([softmax], 0, 0)

    add(softmax, 70.0, "earlier")
    whole = predict(run_pipeline(network(), "assign-kernels"), TARGET, Measurements((store,)))
    assert (whole.latency.median_ns, whole.missing, whole.older) == (1070.0, {}, 1)
    shipped = predict(network(), "cpu", Measurements((Store(store.path, read_only=True),)))
    assert (shipped.latency.median_ns, shipped.shipped) == (1070.0, 3)


@pytest.mark.parametrize(("l2_bytes", "ns"), [(1 << 20, 30.0), (512, 100.0)])
def test_weights_that_stay_in_the_cache_are_predicted_as_such(tmp_path, l2_bytes, ns):
    target = parse_target("cpu", host=replace(detect_host(), l2_bytes=l2_bytes))
    builder = Builder("net")
    y = builder.nn.conv2d(builder.input("x", (1, 4, 4, 8)), builder.constant(np.ones((1, 1, 8, 8), np.float32)))
    graph = builder.outputs(y=y)
    store = Store(tmp_path / "m.sqlite")
    (call,) = timed_calls(run_pipeline(graph, "assign-kernels"))
    row = Row(TVM, median_ns=100.0, warm_ns=30.0, repeats=3, gain=1.0)
    session = Session(target.fingerprint, generator_hash(), "2026-01-01")
    store.add(call, session, Tuning((row,), 0.01, Kind.MEASURED, True))
    assert predict(graph, target, Measurements((store,))).latency.median_ns == ns
