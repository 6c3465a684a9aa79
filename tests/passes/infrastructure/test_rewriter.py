"""Rules and their driver."""

import numpy as np
import pytest

from nascompiler.ir import Builder, Error, Graph, fingerprint, verify
from nascompiler.passes import (
    PassContext,
    RewritePass,
    Rewriter,
    Rule,
    anything,
    apply_rules,
    op,
    register_pass,
    run_pipeline,
)


def chain(*names: str) -> Graph:
    builder = Builder()
    value = builder.input("x", (2,))
    for name in names:
        value = builder.op(f"nn.{name}", value)
    return builder.outputs(y=value)


def ops(graph: Graph) -> list[str]:
    return [node.op.name.removeprefix("nn.") for node in graph.nodes]


DOUBLE_NEGATION = Rule("-(-x) = x", op("nn.neg", op("nn.neg", anything("x"))), lambda match, builder: match["x"])


def test_rules_apply_until_none_fits():
    graph = chain("neg", "neg", "exp", "neg", "neg", "neg", "neg", "neg")
    context = PassContext()
    assert apply_rules(graph, [DOUBLE_NEGATION], context)
    assert ops(graph) == ["exp", "neg"]
    assert context.statistics == {"-(-x) = x": 3}
    verify(graph)


def test_a_match_that_a_rewrite_makes_possible_is_found():
    # abs(neg(neg(x))): only after the pair is gone does exp stand behind abs
    rules = [DOUBLE_NEGATION, Rule("|e^x| = e^x", op("nn.abs", op("nn.exp", name="e")), lambda m, b: m["e"])]
    graph = chain("exp", "neg", "neg", "abs")
    apply_rules(graph, rules)
    assert ops(graph) == ["exp"]


def test_a_value_that_loses_its_other_users_is_tried_again():
    builder = Builder()
    x = builder.nn.exp(builder.input("x", (2,)))
    other = builder.nn.neg(builder.nn.neg(x))
    builder.outputs(y=builder.nn.relu(x), z=builder.nn.identity(builder.nn.sub(other, other)))
    graph = builder.graph
    rules = [
        Rule("relu(e^x) = e^x", op("nn.relu", op("nn.exp", name="e", single_use=True)), lambda m, b: m["e"]),
        Rule(
            "x - x = 0",
            op("nn.sub", anything("x"), anything("x")),
            lambda m, b: b.constant(np.zeros(2, np.float32)),
        ),
    ]
    context = PassContext()
    apply_rules(graph, rules, context)
    assert ops(graph) == ["exp", "identity"]
    assert [reason for _, _, reason in context.misses] == ["%? : f32[2] has other users"]


def test_the_first_way_to_fit_that_passes_the_check_is_taken():
    builder = Builder()
    x, z = builder.input("x", (2,)), builder.input("z", (2,))
    graph = builder.outputs(y=builder.nn.add(builder.nn.exp(x), builder.nn.exp(z)))
    rule = Rule(
        "e^z + y = -y",
        op("nn.add", op("nn.exp", anything("a")), anything("b")),
        lambda match, b: b.nn.neg(match["b"]),
        lambda match: None if match["a"].name == "z" else "not z",
    )
    context = PassContext()
    assert apply_rules(graph, [rule], context)
    assert ops(graph) == ["exp", "neg"]
    assert graph.inputs[1].use_count == 0
    assert not context.misses


def test_misses_are_reported_once_for_a_place():
    context = PassContext()
    rule = Rule("e^x = x", op("nn.exp", anything("x")), lambda m, b: m["x"], lambda m: "the check says no")
    graph = chain("neg", "neg", "exp", "exp")
    apply_rules(graph, [rule, DOUBLE_NEGATION], context)
    assert [reason for _, _, reason in context.misses] == ["the check says no"] * 2


def test_a_rewrite_may_decline():
    graph = chain("exp")
    before = fingerprint(graph)
    rule = Rule("e^x = ?", op("nn.exp"), lambda match, builder: None)
    context = PassContext()
    assert not apply_rules(graph, [rule], context)
    assert fingerprint(graph) == before
    assert not context.statistics


def test_rules_that_undo_each_other_are_stopped():
    rules = [
        Rule("exp = log", op("nn.exp", anything("x")), lambda match, builder: builder.nn.log(match["x"])),
        Rule("log = exp", op("nn.log", anything("x")), lambda match, builder: builder.nn.exp(match["x"])),
    ]
    with pytest.raises(Error, match="seems to go on for ever; its result fits its own pattern"):
        apply_rules(chain("exp"), rules)


def test_a_rule_that_grows_is_stopped():
    rule = Rule("relu = relu relu", op("nn.relu", anything("x")), lambda m, b: b.nn.relu(b.nn.relu(m["x"])))
    with pytest.raises(Error, match="the rule 'relu = relu relu' seems to go on for ever"):
        apply_rules(chain("relu"), [rule])


def test_replacement_keeps_names_and_origins():
    builder = Builder(origin="layer 3")
    graph = builder.outputs(y=builder.nn.relu(builder.nn.exp(builder.input("x", (2,))), name="act"))
    rule = Rule("relu = relu6", op("nn.relu", anything("x")), lambda m, b: b.nn.relu6(m["x"]))
    apply_rules(graph, [rule])
    last = list(graph.nodes)[-1]
    assert (last.op.name, last.result.name, last.origin) == ("nn.relu6", "act", "layer 3")


def test_types_that_become_known_are_carried_on():
    builder = Builder()
    x, shape = (
        builder.input("x", (2, 3)),
        builder.input("shape", (1,), dtype=builder.constant(np.int64([1])).type.dtype),
    )
    value = builder.nn.exp(builder.nn.relu(builder.nn.dynamic_reshape(x, shape)))
    graph = builder.outputs(y=value)
    assert str(value.type) == "f32[?]"
    rule = Rule("flat", op("nn.dynamic_reshape", anything("x")), lambda m, b: b.nn.reshape(m["x"], shape=(-1,)))
    apply_rules(graph, [rule])
    assert [str(node.result.type) for node in graph.nodes] == ["f32[6]"] * 3


def test_what_was_known_of_a_type_stays_known():
    builder = Builder()
    x, known = builder.input("x", (None, 3)), builder.input("known", (4, 3))
    graph = builder.outputs(y=builder.nn.relu(builder.nn.add(x, known)))
    rule = Rule("x + known = e^x", op("nn.add", anything("x")), lambda m, b: b.nn.exp(m["x"]))
    apply_rules(graph, [rule])
    assert [str(node.result.type) for node in graph.nodes] == ["f32[4,3]"] * 2


def test_erase_takes_producers_along_but_not_shared_ones():
    builder = Builder()
    x = builder.nn.exp(builder.input("x", (2,)))
    y = builder.nn.relu(x)
    dead = builder.nn.log(builder.nn.neg(x))
    graph = builder.outputs(y=y)
    Rewriter(graph).erase(dead.producer)
    assert ops(graph) == ["exp", "relu"]


def test_replace_wants_a_value_for_each_result():
    builder = Builder()
    first, _ = builder.nn.split(builder.input("x", (4,)), axis=0, sizes=(2, 2))
    graph = builder.outputs(y=first)
    with pytest.raises(ValueError, match="has 2 results, but 1 replacements are given"):
        Rewriter(graph).replace(first.producer, first)


def test_replace_op():
    graph = chain("exp")
    (node,) = graph.nodes
    value = Rewriter(graph).replace_op(node, "nn.clip", node.operands, min=1.0)
    assert graph.outputs == (value,)
    assert node.is_erased


def test_several_results_are_replaced_together():
    builder = Builder()
    x = builder.input("x", (4,))
    first, second = builder.nn.split(x, axis=0, sizes=(2, 2))
    graph = builder.outputs(a=first, b=second)

    def slices(match, b):
        return [b.nn.slice(match.root.operands[0], axes=(0,), starts=(i,), ends=(i + 2,), steps=(1,)) for i in (0, 2)]

    apply_rules(graph, [Rule("split = slices", op("nn.split"), slices)])
    assert ops(graph) == ["slice", "slice"]
    verify(graph)


def test_a_rewrite_pass_visits_cells(registry):
    @register_pass
    class TestNoNegation(RewritePass):
        rules = (DOUBLE_NEGATION,)

    graph = chain("exp")
    graph.cells["cell"] = chain("neg", "neg")
    graph.cells["cell"].name = "cell"
    assert ops(run_pipeline(graph, "test-no-negation").cells["cell"]) == []


def test_a_sweep_over_many_nodes_and_many_users():
    builder = Builder()
    x = builder.nn.exp(builder.input("x", (1,)))
    parts = [builder.nn.neg(builder.nn.neg(x)) for _ in range(5_000)]
    graph = builder.outputs(y=builder.nn.concat(*parts, axis=0))
    apply_rules(graph, [DOUBLE_NEGATION])
    assert ops(graph) == ["exp", "concat"]
