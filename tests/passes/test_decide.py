"""decide: by name, by vector, at random; conditions; what stays open."""

import pytest

from nascompiler.ir import UsageError, canonical_text, parse, verify
from nascompiler.passes import run_pipeline

SPACE = """nir 1
graph @space(%x: f32[1,32,32,8]) {family=mnasnet} {
  choice @op = [conv, inverted_bottleneck]
  choice @expansion = [3, 6] if @op in [inverted_bottleneck]
  choice @se = [0.0, 0.25] if @expansion in [6]
  choice @repeats = [1, 2, 3]
  %a = arch.block(%x) {op=@op, expansion=@expansion, filters=16, se_ratio=@se, repeats=@repeats}
  %b = arch.block(%a) {op=@op, filters=16}
  return y=%b
}
"""
CELLS = """nir 1
graph @main(%x: f32[1,8,8,4]) {family=nasnet} {
  choice @left = [0, 1]
  choice @mask = [[1, 2], []]
  cell @normal(%current: f32[*], %previous: f32[*]) {
    %s = arch.combine(%current, %previous) {left=@left, left_op=identity, right=1, right_op=max3}
    %out = arch.concat(%current, %previous, %s) {mask=@mask}
    return out=%out
  }
  %y = arch.cell(%x) {cell=@normal, filters=4}
  return y=%y
}
"""


def decided(options, text=SPACE):
    graph = run_pipeline(parse(text), f"decide{{{options}}}")
    verify(graph)
    return graph


def block(graph):
    return next(iter(graph.nodes)).attributes


def test_by_name_closes_every_use_and_leaves_the_rest_open():
    graph = decided('choices="op=inverted_bottleneck, repeats=2"')
    assert [node["op"] for node in graph.nodes] == ["inverted_bottleneck"] * 2
    assert block(graph)["repeats"] == 2
    assert list(graph.choices) == ["expansion", "se"]
    assert graph.choices["expansion"].condition is None
    assert graph.choices["se"].condition == ("expansion", (6,))


def test_what_a_condition_rules_out_becomes_its_first_option():
    graph = decided('choices="op=conv"')
    assert list(graph.choices) == ["repeats"]
    assert (block(graph)["expansion"], block(graph)["se_ratio"]) == (3.0, 0.0)


def test_by_vector():
    graph = decided("vector=[1, 1, 1, 2]")
    assert not graph.is_open
    values = block(graph)
    assert (values["op"], values["expansion"], values["se_ratio"], values["repeats"]) == (
        "inverted_bottleneck",
        6.0,
        0.25,
        3,
    )
    ignored = (decided(f"vector=[0, {e}, {s}, 0]") for e in (0, 1) for s in (0, 1))
    assert len({canonical_text(graph) for graph in ignored}) == 1


def test_by_seed():
    assert canonical_text(decided("seed=3")) == canonical_text(decided("seed=3"))
    assert len({canonical_text(decided(f"seed={seed}")) for seed in range(40)}) > 8
    for seed in range(5):
        graph = decided(f'choices="repeats=3", seed={seed}')
        assert not graph.is_open
        assert block(graph)["repeats"] == 3


def test_a_decided_space_expands():
    assert run_pipeline(parse(SPACE), "decide{seed=1},expand-cells").level == "nn"


def test_inside_cells_and_in_lists():
    graph = decided('choices="left=1,mask=[1, 2]"', CELLS)
    combine, concat = graph.cells["normal"].nodes
    assert (combine["left"], concat["mask"]) == (1, (1, 2))
    assert graph.cells["normal"].is_open is False


def test_nothing_to_decide_changes_nothing():
    graph = decided("vector=[0, 0, 0, 0]")
    assert run_pipeline(graph, "decide{seed=0}") is graph


@pytest.mark.parametrize(
    "options, message",
    [
        ('choices="op=con"', "op cannot be 'con'; accepted: conv or inverted_bottleneck"),
        ('choices="ob=conv"', "unknown choice 'ob'; accepted: expansion, op, repeats or se"),
        ('choices="op"', "accepted: NAME=OPTION"),
        ('choices="op=conv,op=conv"', "gives op twice"),
        ('choices="op=conv,expansion=3"', "expansion exists only where op is inverted_bottleneck"),
        ("vector=[0, 0, 0]", "vector has 3 indices; accepted: 4"),
        ("vector=[0, 2, 0, -1]", "2 for expansion; accepted: 0 to 1 .3 or 6.; -1 for repeats"),
        ("vector=[0, 0, 0, 0], seed=1", "a vector decides everything"),
        ("seed=-1", "seed is -1; accepted: integers from 0 on"),
    ],
)
def test_what_cannot_be_decided(options, message):
    with pytest.raises(UsageError, match=message):
        decided(options)
