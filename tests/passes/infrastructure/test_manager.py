"""Running pipelines: clones, changes, contracts, analyses, fixpoints."""

import dataclasses

import pytest

from nascompiler.ir import Builder, Choice, Error, Graph, UsageError, VerificationError, fingerprint
from nascompiler.passes import Fixpoint, Pass, PassManager, Pipeline, Step, run_pipeline
from nascompiler.passes.infrastructure.base import Analyses
from nascompiler.passes.infrastructure.instruments import Instrument, Verify
from nascompiler.passes.infrastructure.pipeline import MAX_FIXPOINT_ROUNDS


def network() -> Graph:
    builder = Builder()
    return builder.outputs(y=builder.nn.relu(builder.nn.identity(builder.input("x", (2,)))))


def step(run, name="test-pass", **facts) -> Step:
    """A pass from a function, not registered."""
    body = {"name": name, "run": lambda self, graph, context: run(graph, context), **facts}
    return Step(dataclasses.dataclass(frozen=True)(type("Test", (Pass,), body))())


def pipeline(*steps) -> Pipeline:
    return Pipeline(tuple(steps))


class Log(Instrument):
    def __init__(self):
        self.records, self.failures = [], []

    def after(self, record):
        self.records.append(record)

    def failed(self, step, before, remaining, error):
        self.failures.append((step, before, str(remaining), error))


def insert_relu(graph, context):
    value = graph.outputs[0]
    graph.set_outputs({"y": graph.insert("nn.relu", [value]).result})


def test_the_graph_given_is_never_changed():
    graph = network()
    before, version = fingerprint(graph), graph.version
    result = run_pipeline(graph, "canonicalize")
    assert len(result) == 1
    assert (fingerprint(graph), graph.version) == (before, version)


def test_a_pass_that_raises_leaves_the_graph_as_it_was():
    graph = network()
    before = fingerprint(graph)

    def half_way(graph, context):
        insert_relu(graph, context)
        raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        PassManager().run(graph, pipeline(step(half_way)))
    assert fingerprint(graph) == before


def test_nothing_changed_returns_the_graph_itself():
    graph = network()
    assert run_pipeline(graph, "") is graph
    assert run_pipeline(graph, "eliminate-dead-code,fold-constants") is graph


@pytest.mark.parametrize(
    "change",
    [
        lambda graph: graph.attributes.update(seen=True),
        lambda graph: graph.choices.update(c=Choice("c", (1,))),
        lambda graph: graph.cells.update(cell=network()),
        lambda graph: setattr(graph, "name", "other"),
        lambda graph: graph.set_type(graph.inputs[0], graph.inputs[0].type),
        lambda graph: graph.add_input("more", graph.inputs[0].type),
        lambda graph: graph.set_outputs({"z": graph.outputs[0]}),
    ],
)
def test_a_change_of_any_part_is_a_change(change):
    log = Log()
    graph = network()
    result = PassManager([log]).run(graph, pipeline(step(lambda g, context: change(g))))
    assert result is not graph
    assert [record.changed for record in log.records] == [True]


def test_a_change_inside_a_cell_is_a_change():
    graph = network()
    graph.cells["cell"] = network()
    graph.cells["cell"].name = "cell"
    result = run_pipeline(graph, "canonicalize")
    assert [len(g) for g in (result, result.cells["cell"], graph.cells["cell"])] == [1, 1, 2]


def test_contracts_are_checked_before_any_pass_runs():
    log = Log()
    needs = step(insert_relu, name="test-lower", requires_level=("arch",))
    with pytest.raises(UsageError, match="test-lower needs arch; the pipeline is already at nn"):
        PassManager([log]).run(network(), pipeline(step(insert_relu), needs))
    assert not log.records


def test_broken_promises_are_errors():
    ensures = step(insert_relu, ensures_level="qnn")
    with pytest.raises(Error, match="test-pass promised level qnn, but left the graph at nn"):
        PassManager().run(network(), pipeline(ensures))

    def open_up(graph, context):
        graph.choices["c"] = Choice("c", (1,))

    with pytest.raises(Error, match="test-pass promised closed, which does not hold after it"):
        PassManager().run(network(), pipeline(step(open_up, ensures=frozenset({"closed"}))))


def test_facts_are_required_at_run_time_too():
    def open_up(graph, context):
        graph.choices["c"] = Choice("c", (1,))

    closed = step(insert_relu, requires=frozenset({"closed"}))
    with pytest.raises(UsageError, match="test-pass needs closed, which does not hold"):
        PassManager().run(network(), pipeline(step(open_up), closed))


def test_a_graph_that_a_pass_breaks_is_caught_after_that_pass():
    def break_it(graph, context):
        graph.set_type(graph.outputs[0], graph.inputs[0].type.with_shape((7,)))

    log = Log()
    with pytest.raises(VerificationError, match=r"declared f32\[7\], but inferred f32\[2\]"):
        PassManager([Verify(), log]).run(network(), pipeline(step(break_it, name="test-break"), step(insert_relu)))
    ((failed, _, remaining, _),) = log.failures
    assert failed.name == "test-break"
    assert remaining == "test-break,test-pass"


def test_fixpoints_run_until_nothing_changes():
    def erase_last(graph, context):
        last = list(graph.nodes)[-1:]
        for node in last:
            graph.replace_all_uses(node.result, node.operands[0])
            graph.erase(node)

    log = Log()
    result = PassManager([log]).run(network(), pipeline(Fixpoint((step(erase_last),))))
    assert len(result) == 0
    assert [record.changed for record in log.records] == [True, True, False]


def test_a_fixpoint_without_end_is_an_error():
    endless = Fixpoint((step(insert_relu),))
    message = rf"fixpoint\(test-pass\) still changes the graph after {MAX_FIXPOINT_ROUNDS} rounds"
    with pytest.raises(Error, match=message):
        PassManager([]).run(network(), pipeline(endless))


def test_what_remains_after_a_failure_inside_a_fixpoint():
    def fail(graph, context):
        raise ValueError("no")

    log = Log()
    inner = Fixpoint((step(insert_relu, name="first"), step(fail, name="second"), step(insert_relu, name="third")))
    with pytest.raises(ValueError, match="no"):
        PassManager([log]).run(network(), pipeline(inner, step(insert_relu, name="fourth")))
    assert log.failures[0][2] == "second,third,fixpoint(first,second,third),fourth"


def test_an_instrument_that_fails_does_not_hide_the_error():
    class Broken(Instrument):
        def failed(self, step, before, remaining, error):
            raise Error("the disk is full")

    def fail(graph, context):
        raise ValueError("the reason")

    log = Log()
    with pytest.raises(ValueError, match="the reason") as caught:
        PassManager([Broken(), log]).run(network(), pipeline(step(fail)))
    assert caught.value.__notes__ == ["the disk is full"]
    assert len(log.failures) == 1


def test_analyses_are_computed_once_for_each_state():
    runs = []

    def count_nodes(graph):
        runs.append(len(graph))
        return len(graph)

    graph, analyses = network(), Analyses()
    assert [analyses.get(count_nodes, graph) for _ in range(3)] == [2, 2, 2]
    assert runs == [2]
    insert_relu(graph, None)
    assert analyses.get(count_nodes, graph) == 3
    assert runs == [2, 3]


def test_analyses_outlive_passes_that_change_nothing():
    runs = []

    def count_nodes(graph):
        runs.append(len(graph))
        return len(graph)

    def look(graph, context):
        context.analyses.get(count_nodes, graph)

    looks = [step(look)] * 3
    PassManager().run(network(), pipeline(*looks, step(insert_relu), *looks))
    assert runs == [2, 3]


def test_analyses_see_a_change_within_a_pass():
    def look_twice(graph, context):
        assert context.analyses.get(len, graph) == 2
        insert_relu(graph, context)
        assert context.analyses.get(len, graph) == 3

    PassManager().run(network(), pipeline(step(look_twice)))


def test_a_manager_runs_many_graphs():
    manager = PassManager()
    assert [len(manager.run(network(), "canonicalize")) for _ in range(3)] == [1, 1, 1]
