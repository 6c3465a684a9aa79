"""Networks for ARM cores that are not here: estimated by bench, tune and a search's sources."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.api import bench, compile
from nascompiler.backends.arm.estimate.tools import INSTALL
from nascompiler.backends.cpu.choice import TEMPLATE
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.measure import Kind
from nascompiler.backends.store import Measurements, Outcome, Row, Store, Tuning
from nascompiler.backends.target import parse_target
from nascompiler.bench.comparison import compare_artifacts
from nascompiler.bench.estimated import estimate_artifact, joined
from nascompiler.ir import Builder, DType, Graph, TensorType
from nascompiler.search.latency import latency_source
from nascompiler.tuning import tune_network
from tests.backends.arm.estimate.conftest import missing_tools

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason=f"{', '.join(missing_tools())} missing: {INSTALL}")

A72 = "arm:cortex-a72"


def network(channels: int = 16) -> Graph:
    """Two convolutions and a mean."""
    generator = np.random.default_rng(0)
    graph = Graph("network")
    builder = Builder(graph)
    value = graph.add_input("x", TensorType((1, 8, 8, channels), DType.F32))
    for _ in range(2):
        weight = graph.constant(generator.standard_normal((1, 1, channels, channels)).astype(np.float32))
        value = builder.op("nn.relu", builder.op("nn.conv2d", value, weight))
    graph.set_outputs({"y": builder.op("nn.global_average_pool", value)})
    return graph


def test_bench_of_an_artifact_is_the_sum_of_its_calls(tmp_path, monkeypatch):
    monkeypatch.setenv("NASCOMPILER_CACHE", str(tmp_path / "cache"))
    compile(network(), target=A72, output=tmp_path / "made")
    figures = bench(tmp_path / "made").to_json()
    assert figures["kind"] == "estimated"
    assert "cortex-a72 by LLVM" in figures["environment"]["cpu"]
    assert figures["environment"]["frequency_mhz"] == 1500
    layers = figures["layers"]
    assert sum(layer["ns"] for layer in layers) == pytest.approx(figures["median_ns"])
    assert all(layer["compute_cycles"] > 0 and layer["memory_cycles"] > 0 for layer in layers[:3])
    assert bench(tmp_path / "made").to_json()["median_ns"] == figures["median_ns"]
    with pytest.raises(DeviceError, match="estimates for arm:cortex-a72 are of one thread"):
        bench(tmp_path / "made", threads=2)
    with pytest.raises(DeviceError, match="no estimates of onnxruntime"):
        bench(tmp_path / "made", against=["onnxruntime"])


def test_two_artifacts_are_compared_by_their_estimates(tmp_path, monkeypatch):
    monkeypatch.setenv("NASCOMPILER_CACHE", str(tmp_path / "cache"))
    compile(network(32), target=A72, output=tmp_path / "wide")
    compile(network(16), target=A72, output=tmp_path / "narrow")
    found = compare_artifacts(tmp_path / "wide", tmp_path / "narrow")
    assert {found.first.kind, found.second.kind} == {Kind.ESTIMATED}
    assert found.decided
    assert found.ratio == found.first.median_ns / found.second.median_ns > 1
    assert compare_artifacts(tmp_path / "wide", tmp_path / "narrow").ratio == found.ratio
    with pytest.raises(DeviceError, match="of one thread"):
        compare_artifacts(tmp_path / "wide", tmp_path / "narrow", threads=2)


def test_what_is_estimated_once_is_known(tmp_path, monkeypatch):
    from nascompiler.backends.manifest import Manifest
    from nascompiler.bench import estimated

    compile(network(24), target=A72, output=tmp_path / "made")
    known = Measurements((Store(tmp_path / "store.sqlite"),))
    manifest = Manifest.read(tmp_path / "made")
    first, _ = estimate_artifact(tmp_path / "made", manifest, known)
    monkeypatch.setattr(estimated, "kernel_measurer", None)  # nobody to ask
    second, _ = estimate_artifact(tmp_path / "made", manifest, known)
    assert first.samples_ns == second.samples_ns


def test_tuning_keeps_estimates_and_says_what_it_gains(tmp_path):
    store = tmp_path / "store.sqlite"
    result = tune_network(network(), A72, budget_s=600, store=store)
    assert result.measured == len(result.calls) > 1
    assert not result.failures
    conv = next(call for call in result.calls if call.op == "cpu.conv2d")
    known = Measurements((Store(store),))
    tuning = known.tunings([conv.call], parse_target(A72).timing_fingerprint)[conv.call]
    assert tuning.kind is Kind.ESTIMATED
    assert TEMPLATE in tuning.measured
    for row in tuning.measured.values():
        assert row.cycles["compute"] > 0
        assert row.cycles["events"]["instructions"] > 0
    (session, *_) = (session for _, session, _ in Store(store).all())
    assert session.environment["core_model"] == "cortex-a72"
    assert session.environment["memory_stream_cycles"] > 0
    assert tune_network(network(), A72, budget_s=600, store=store).measured == 0


def test_a_search_takes_estimates():
    source = latency_source(A72)
    latency = source.of(network())
    assert latency.kind is Kind.ESTIMATED
    assert latency.ns > 0
    assert latency_source(A72, measure=True).of(network()) == latency


def test_estimates_of_some_variants_join_those_of_others():
    before = Tuning((Row("a", median_ns=10.0, gain=1.0),), 0.0, Kind.ESTIMATED, True)
    new = Tuning((Row("b", median_ns=5.0, gain=1.0), Row("c", Outcome.CRASH)), 0.02, Kind.ESTIMATED, True)
    found = joined(before, new)
    assert {name: row.gain for name, row in found.measured.items()} == {"a": 1.0, "b": 2.0}
    assert len(found.rows) == 3
    assert joined(None, new) == new
