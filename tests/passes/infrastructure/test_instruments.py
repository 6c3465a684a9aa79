"""What is watched around passes."""

import dataclasses

import numpy as np
import pytest

from nascompiler.ir import Builder, DType, Error, Graph, TensorType, parse, structurally_equal
from nascompiler.ir.files import load
from nascompiler.passes import (
    Exact,
    Nothing,
    Pass,
    PassManager,
    Pipeline,
    Tolerance,
    anything,
    apply_rules,
    op,
    register_pass,
    run_pipeline,
)
from nascompiler.passes.infrastructure.instruments import (
    NumericCheck,
    PrintAfterChange,
    Reproducer,
    Timing,
    Verify,
    difference,
    random_inputs,
)
from nascompiler.passes.infrastructure.rewriter import Rule


@pytest.fixture
def wrong_passes(registry):
    """Passes that scale the output by a little, with promises of different strength, and one that raises."""
    for name, preserves in (
        ("test-exact", Exact()),
        ("test-close", Tolerance(1e-3)),
        ("test-far", Tolerance(1e-5)),
        ("test-free", Nothing("it is a test")),
    ):

        def run(self, graph, context):
            factor = graph.constant(np.float32([1.0001]))
            (y,) = graph.outputs
            graph.set_outputs({"y": graph.insert("nn.mul", [y, factor]).result})

        register_pass(
            dataclasses.dataclass(frozen=True)(type(name, (Pass,), {"name": name, "run": run, "preserves": preserves}))
        )

    @register_pass
    class TestRaise(Pass):
        after: int = 0

        def run(self, graph, context):
            if len(graph) > self.after:
                raise RuntimeError("it broke")


def network() -> Graph:
    builder = Builder()
    weight = builder.constant(np.arange(12, dtype=np.float32).reshape(3, 4), "w")
    x = builder.nn.identity(builder.input("x", (2, 3)))
    return builder.outputs(y=builder.nn.relu(builder.nn.matmul(x, weight)))


def test_only_changes_are_printed_and_numbered(tmp_path):
    run_pipeline(
        network(),
        "eliminate-dead-code,canonicalize,fold-constants,fixpoint(canonicalize,eliminate-dead-code)",
        instruments=[PrintAfterChange(tmp_path / "ir")],
    )
    names = sorted(path.name for path in (tmp_path / "ir").iterdir())
    assert names == ["000-input.nir", "001-canonicalize.nir"]
    graphs = [parse((tmp_path / "ir" / name).read_text()) for name in names]
    assert [[n.op.name for n in g.nodes] for g in graphs] == [
        ["nn.identity", "nn.matmul", "nn.relu"],
        ["nn.linear", "nn.relu"],
    ]


def test_timing_counts_runs_changes_statistics_and_misses():
    timing = Timing()
    run_pipeline(network(), "fixpoint(canonicalize,eliminate-dead-code)", instruments=[timing])
    assert list(timing.passes) == ["canonicalize", "eliminate-dead-code"]
    entry = timing.passes["canonicalize"]
    assert (entry.runs, entry.changes) == (2, 1)
    assert entry.time_ns > 0
    assert entry.counts == {"identity(x) = x": 1, "matmul(x, weight) = linear(x, weight)": 1}
    assert entry.misses == []


def test_the_verifier_looks_only_at_changes():
    graph = network()
    graph.set_type(graph.outputs[0], TensorType((9,)))  # broken before the pipeline began
    assert PassManager([Verify()]).run(graph, "eliminate-dead-code") is graph


def test_the_numeric_check_holds_passes_to_their_promise(wrong_passes):
    for name, promise in (("test-exact", "exact"), ("test-far", r"tolerance\(1e-05\)")):
        with pytest.raises(Error, match=rf"{name} promises {promise}, but output 'y' differs"):
            run_pipeline(network(), name, instruments=[NumericCheck()])
    check = NumericCheck(images=3)
    run_pipeline(network(), "test-close,test-free", instruments=[check])
    assert check.skipped == [("test-free", "it is a test")]


def test_the_numeric_check_says_what_it_cannot_check():
    graph = parse("nir 1\ngraph @g(%x: f32[N]) {\n  %y = nn.identity(%x) : f32[N]\n  return y=%y\n}\n")
    check = NumericCheck()
    run_pipeline(graph, "canonicalize", instruments=[check])
    assert check.skipped == [("canonicalize", "input 'x' has open sizes: f32[N]")]


def test_random_inputs_repeat_and_fit():
    builder = Builder()
    builder.input("f", (2, 3))
    builder.input("i", (100,), DType.I64)
    builder.input("b", (4,), DType.BOOL)
    first, second = (random_inputs(builder.graph, 1) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert {name: str(TensorType.of(a)) for name, a in first.items()} == {
        "f": "f32[2,3]",
        "i": "i64[100]",
        "b": "bool[4]",
    }
    assert set(first["i"].tolist()) == {0, 1, 2, 3}
    assert not np.array_equal(first["f"], random_inputs(builder.graph, 2)["f"])


def test_difference():
    def compare(a, b, allowed):
        return difference({"y": np.array(a, np.float32)}, {"y": np.array(b, np.float32)}, allowed)

    nan, inf = np.nan, np.inf
    assert compare([1, nan, inf], [1, nan, inf], Exact()) is None
    assert compare([1, nan, inf], [1, nan, inf], Tolerance(0)) is None
    assert compare([1, 2], [1, 2.0001], Exact()) == "output 'y' differs"
    assert compare([1, -200], [1.1, -200], Tolerance(1e-3)) is None
    assert "differs by 0.1, 0.1 of its largest value" in str(compare([0, 1], [0.1, 1], Tolerance(1e-3)))
    assert compare([1, inf], [1, -inf], Tolerance(1)) == "output 'y' differs in infinities or NaN"
    assert compare([1, 2], [nan, 2], Tolerance(1)) is not None
    assert compare([], [], Tolerance(0)) is None
    assert "was float32(1,), is float32(2,)" in str(compare([1], [1, 1], Tolerance(1)))
    assert difference({"a": np.ones(1)}, {"b": np.ones(1)}, Exact()) == "the outputs ['a'] became ['b']"
    assert difference({"a": np.array([1])}, {"a": np.array([2])}, Tolerance(9)) == "output 'a' differs"


def test_a_failure_leaves_a_reproducer_that_replays(wrong_passes, tmp_path):
    reproducer = Reproducer(tmp_path / "deep" / "er")
    pipeline = "canonicalize,fixpoint(eliminate-dead-code,test-raise{after=1}),fold-constants"
    with pytest.raises(RuntimeError, match="it broke"):
        run_pipeline(network(), pipeline, instruments=[reproducer])
    assert reproducer.written == tmp_path / "deep" / "er" / "reproducer-test-raise.nir"
    graph = load(reproducer.written)
    assert structurally_equal(graph, run_pipeline(network(), "canonicalize"))
    assert graph.attributes["error"] == "RuntimeError: it broke"
    remaining = graph.attributes["pipeline"]
    assert remaining == "test-raise{after=1},fixpoint(eliminate-dead-code,test-raise{after=1}),fold-constants"
    with pytest.raises(RuntimeError, match="it broke"):
        run_pipeline(graph, Pipeline.parse(remaining, start=graph))


def test_a_wrong_result_leaves_a_reproducer_too(wrong_passes, tmp_path):
    reproducer = Reproducer(tmp_path)
    with pytest.raises(Error, match="promises exact"):
        run_pipeline(network(), "test-exact", instruments=[NumericCheck(), reproducer])
    assert structurally_equal(load(tmp_path / "reproducer-test-exact.nir"), network())


def test_misses_name_the_node_its_origin_and_the_reason():
    builder = Builder(origin="onnx:Relu_3")
    graph = builder.outputs(y=builder.nn.relu(builder.input("x", (2,)), name="r"))
    rule = Rule("relu(x) = x", op("nn.relu", anything("x")), lambda match, b: match["x"], lambda match: "not today")
    from nascompiler.passes import PassContext

    context = PassContext()
    assert not apply_rules(graph, [rule], context)
    assert context.misses == [("relu(x) = x", "%r = nn.relu(%x) from onnx:Relu_3", "not today")]
