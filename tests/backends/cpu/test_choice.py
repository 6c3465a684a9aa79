"""Which variant is taken: by measurements, by record, by default; and that compiling does what was chosen."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.backends.artifact import load_artifact
from nascompiler.backends.compile import compile_graph, compile_locked
from nascompiler.backends.cpu.choice import (
    METASCHEDULE,
    SEPARATE,
    TEMPLATE,
    TEMPLATED,
    TVM,
    calls_of,
    choose,
    choose_recorded,
    settle,
    variants,
)
from nascompiler.backends.manifest import Manifest
from nascompiler.backends.measure.latency import Kind
from nascompiler.backends.store import Measurements, Row, Session, Store, Tuning, overlay_path
from nascompiler.backends.store.generator import generator_hash
from nascompiler.backends.target import parse_target
from nascompiler.ir import Graph, evaluate
from nascompiler.ir.builder import Builder
from nascompiler.ir.errors import UsageError
from nascompiler.passes import run_pipeline

TARGET = parse_target("cpu")


def network(channels: int = 16) -> Graph:
    """A pointwise convolution with relu, and a softmax that only TVM computes."""
    generator = np.random.default_rng(0)
    builder = Builder("net")
    weight = builder.constant(generator.standard_normal((1, 1, 8, channels)).astype(np.float32))
    y = builder.nn.conv2d(builder.input("x", (1, 4, 4, 8)), weight, activation="relu")
    return builder.outputs(y=builder.nn.log_softmax(y))


def only_call(graph: Graph) -> str:
    (text,) = calls_of(run_pipeline(graph, "assign-kernels"))
    return text


def known(store: Store, *rows: tuple[str, float], generator: str = "") -> Measurements:
    made = tuple(Row(name, median_ns=12300 / gain, repeats=9, gain=gain) for name, gain in rows)
    session = Session(TARGET.fingerprint, generator or generator_hash(), "2026-01-01")
    store.add(only_call(network()), session, Tuning(made, 0.05, Kind.MEASURED, True))
    return Measurements((store,))


def chosen(measurements: Measurements, target: str = "cpu") -> tuple[str, str]:
    graph = run_pipeline(network(), "assign-kernels")
    (choice,) = choose(calls_of(graph).values(), parse_target(target), measurements).values()
    return choice.variant, choice.reason


def test_measurements_of_one_thread_do_not_replace_a_default_for_several(tmp_path):
    (call,) = calls_of(run_pipeline(network(), "assign-kernels")).values()
    default, other, *_ = variants(call, TARGET)
    measured = known(Store(tmp_path / "measured.sqlite"), (default, 1.0), (other, 1.5))
    assert chosen(measured, "cpu{threads=2}")[0] == other
    unknown = known(Store(tmp_path / "unknown.sqlite"), (other, 1.5))
    assert chosen(unknown)[0] == other
    assert chosen(unknown, "cpu{threads=2}") == (default, "default for 2 threads: measured for one")


def test_the_ways_to_compute_a_call_begin_with_kernels_and_end_with_tvm():
    (call,) = calls_of(run_pipeline(network(), "assign-kernels")).values()
    names = list(variants(call, TARGET))
    assert len(names) >= 3
    assert names[-2:] == [TEMPLATE, TVM]
    assert all(made is not None for made in list(variants(call, TARGET).values())[:-2])


def test_without_measurements_the_default_is_taken():
    (call,) = calls_of(run_pipeline(network(), "assign-kernels")).values()
    assert chosen(Measurements(())) == (next(iter(variants(call, TARGET))), "default: no measurement")


def test_what_was_measured_decides_and_says_so(tmp_path):
    default, _ = chosen(Measurements(()))
    store = Store(tmp_path / "m.sqlite")
    assert chosen(known(store, (default, 1.0), (TVM, 1.5))) == (TVM, "measured 8.2 µs, 1.50x the default")
    variant, reason = chosen(known(store, (default, 1.0), (TVM, 1.04)))
    assert (variant, reason) == (default, "measured 12.3 µs, the default: nothing is faster by more than 5%")


def test_earlier_kernels_count_while_there_is_nothing_better(tmp_path):
    default, _ = chosen(Measurements(()))
    measurements = known(Store(tmp_path / "m.sqlite"), (default, 1.0), (TEMPLATE, 2.0), generator="earlier")
    variant, reason = chosen(measurements)
    assert variant == TEMPLATE
    assert reason.endswith("(by earlier kernels)")


def test_templates_are_those_of_the_generator():
    from nascompiler.backends.tvm_adapter.generate import TEMPLATES

    assert set(TEMPLATES) == TEMPLATED


def test_compiling_takes_what_was_measured_and_records_it(tmp_path, monkeypatch):
    monkeypatch.setenv("NASCOMPILER_CACHE", str(tmp_path / "cache"))
    graph = network()
    images = {"x": np.random.default_rng(1).standard_normal((1, 4, 4, 8)).astype(np.float32)}
    for variant in (TEMPLATE, TVM):
        known(Store(overlay_path()), (variant, 1.0))
        compile_graph(graph, "cpu", tmp_path / variant)
        artifact = load_artifact(tmp_path / variant)
        assert list(artifact.manifest.variants.values()) == [variant]
        assert artifact.placement()[0]["kernel"] == variant
        assert "measured 12.3 µs" in artifact.placement()[0]["reason"]
        np.testing.assert_allclose(artifact.run(images)["y"], evaluate(graph, images)["y"], rtol=1e-5)


def test_locked_reproduces_whatever_is_known_since(tmp_path, monkeypatch):
    monkeypatch.setenv("NASCOMPILER_CACHE", str(tmp_path / "cache"))
    graph = network()
    compile_graph(graph, "cpu", tmp_path / "a", pipeline="canonicalize")
    known(Store(overlay_path()), (TVM, 1.0))
    for number, locked in enumerate((tmp_path / "a", tmp_path / "a" / "manifest.json")):
        folder = tmp_path / str(number)
        compile_locked(graph, "cpu", folder, locked)
        first, second = Manifest.read(tmp_path / "a"), Manifest.read(folder)
        assert (second.variants, second.calls, second.pipeline) == (first.variants, first.calls, first.pipeline)


def test_locked_lists_everything_that_cannot_be_reproduced(tmp_path):
    graph = network()
    compile_graph(graph, "cpu", tmp_path / "a")
    with pytest.raises(UsageError, match=r"no variant is recorded for cpu\.conv2d"):
        compile_locked(network(channels=24), "cpu", tmp_path / "b", tmp_path / "a")
    calls = calls_of(run_pipeline(graph, "assign-kernels"))
    with pytest.raises(UsageError, match=r"no variant 'magic' of cpu\.conv2d.*; there is .* template or tvm"):
        choose_recorded(calls.values(), TARGET, dict.fromkeys(calls, "magic"), {})
    other = next(isa for isa in ("avx2", "sse2", "neon") if isa != TARGET.isa.name)
    with pytest.raises(UsageError, match="another kind of processor"):
        compile_locked(graph, f"cpu{{isa={other}}}", tmp_path / "b", tmp_path / "a")


def fused_network() -> Graph:
    """A depthwise convolution with a rectifier in front of it, as one call."""
    builder = Builder("fused")
    weight = builder.constant(np.random.default_rng(0).standard_normal((3, 3, 1, 16)).astype(np.float32))
    y = builder.op(
        "cpu.rectified_depthwise_conv2d", builder.input("x", (1, 5, 5, 16)), weight, builder.constant(np.ones(16, "f4"))
    )
    return builder.outputs(y=y)


def test_calls_that_fuse_others_may_be_computed_by_separate_kernels(tmp_path, monkeypatch):
    monkeypatch.setenv("NASCOMPILER_CACHE", str(tmp_path / "cache"))
    graph = fused_network()
    (call,) = calls_of(graph).values()
    assert list(variants(call, TARGET))[-1] == SEPARATE
    rows = (Row(SEPARATE, median_ns=5.0, repeats=3, gain=1.0),)
    session = Session(TARGET.fingerprint, generator_hash(), "2026-01-01")
    Store(overlay_path()).add(call.key, session, Tuning(rows, 0.01, Kind.MEASURED, True))

    settled, choices = settle(graph, TARGET)
    assert [node.op.name for node in settled.nodes] == ["nn.relu", "cpu.depthwise_conv2d"]
    assert [node.op.name for node in graph.nodes] == ["cpu.rectified_depthwise_conv2d"]
    assert [choice.variant == SEPARATE for choice in choices.values()] == [True, False]

    compile_graph(graph, "cpu", tmp_path / "a", pipeline="")
    overlay_path().unlink()
    compile_locked(graph, "cpu", tmp_path / "b", tmp_path / "a")
    images = {"x": np.random.default_rng(1).standard_normal((1, 5, 5, 16)).astype(np.float32)}
    for folder in (tmp_path / "a", tmp_path / "b"):
        artifact = load_artifact(folder)
        assert [row["op"] for row in artifact.placement()] == ["nn.relu", "cpu.depthwise_conv2d"]
        np.testing.assert_allclose(artifact.run(images)["y"], evaluate(graph, images)["y"], rtol=1e-4, atol=1e-5)


def found_schedule(graph: Graph) -> str:
    """A schedule for the convolution of a network whose kernels are assigned."""
    from nascompiler.backends.tvm_adapter.definition import Definition
    from nascompiler.backends.tvm_adapter.schedule_search import ScheduleSearch

    definition = Definition.of(next(node for node in graph.nodes if node.op.dialect == "cpu"))
    assert definition is not None
    return ScheduleSearch(definition.function(), TARGET).propose()[0]


def test_a_schedule_that_was_found_is_compiled_and_reproduced(tmp_path):
    graph = network()
    assigned = run_pipeline(graph, "assign-kernels")
    schedule = found_schedule(assigned)
    (call,) = calls_of(assigned).values()
    default = next(iter(variants(call, TARGET)))
    store = Store(overlay_path())
    tuning = Tuning(
        (Row(default, median_ns=200.0, gain=1.0), Row(METASCHEDULE, median_ns=100.0, gain=2.0, schedule=schedule)),
        0.01,
        Kind.MEASURED,
        True,
    )
    store.add(call.key, Session(TARGET.fingerprint, "earlier", "2026-01-01"), tuning)
    (choice,) = choose([call], TARGET).values()
    assert choice.variant == default  # by another definition of the call

    store.add(call.key, Session(TARGET.fingerprint, generator_hash(), "2026-01-01"), tuning)
    compile_graph(graph, "cpu", tmp_path / "a")
    manifest = Manifest.read(tmp_path / "a")
    assert manifest.variants[call.text] == METASCHEDULE
    assert manifest.schedules == {call.text: schedule}
    store.path.unlink()
    compile_locked(graph, "cpu", tmp_path / "b", tmp_path / "a")
    assert Manifest.read(tmp_path / "b").schedules == manifest.schedules
    x = np.random.default_rng(0).standard_normal((1, 4, 4, 8)).astype(np.float32)
    for name in "ab":
        result = load_artifact(tmp_path / name).run({"x": x})["y"]
        np.testing.assert_allclose(result, evaluate(graph, {"x": x})["y"], rtol=1e-5, atol=1e-6)
