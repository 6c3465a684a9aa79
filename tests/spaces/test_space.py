"""SearchSpace on small spaces: counting, numbering, listing, drawing, refusing."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nascompiler.ir import Choice, Graph, UsageError, parse, structurally_equal
from nascompiler.passes import run_pipeline
from nascompiler.spaces import SearchSpace

TEXT = """nir 1
graph @small(%x: f32[1,8,8,3]) {
  choice @expansion = [3, 6] if @op in [inverted_bottleneck]
  choice @op = [conv, inverted_bottleneck]
  choice @kernel = [3, 5, 7]
  choice @se = [0.0, 0.25] if @expansion in [6]
  %y = arch.block(%x) {op=@op, kernel=@kernel, expansion=@expansion, filters=8, se_ratio=@se}
  return y=%y
}
"""


@pytest.fixture
def space() -> SearchSpace:
    return SearchSpace(parse(TEXT))


def test_size_counts_choices_only_where_they_exist(space: SearchSpace) -> None:
    assert space.size == (1 + (1 + 2)) * 3


def test_enumeration_gives_every_architecture_once_in_order(space: SearchSpace) -> None:
    listed = list(space.enumerate())
    assert len(listed) == space.size
    assert len({space.encode(d) for d in listed}) == space.size
    assert listed == list(space.enumerate())
    assert list(listed[0].items()) == [("op", "conv"), ("kernel", 3)]
    assert listed[3] == {"expansion": 3, "op": "inverted_bottleneck", "kernel": 3}
    assert list(listed[-1]) == ["expansion", "op", "kernel", "se"]


def test_vectors_are_indices_in_order_of_declaration(space: SearchSpace) -> None:
    assert space.encode({"op": "conv", "kernel": 7}) == (0, 0, 2, 0)
    assert space.decode((1, 1, 0, 1)) == {"expansion": 6, "op": "inverted_bottleneck", "kernel": 3, "se": 0.25}


def test_indices_of_choices_that_do_not_exist_are_ignored(space: SearchSpace) -> None:
    assert space.decode((1, 0, 2, 1)) == {"op": "conv", "kernel": 7}
    assert structurally_equal(space.architecture((1, 0, 2, 1)), space.architecture((0, 0, 2, 0)))


def test_every_vector_comes_back(space: SearchSpace) -> None:
    for decisions in space.enumerate():
        assert space.decode(space.encode(decisions)) == decisions


def test_architecture_is_closed(space: SearchSpace) -> None:
    graph = space.architecture({"op": "inverted_bottleneck", "expansion": 6, "se": 0.25, "kernel": 5})
    assert not graph.is_open
    node = next(graph.nodes)
    assert (node["op"], node["expansion"], node["se_ratio"], node["kernel"]) == ("inverted_bottleneck", 6.0, 0.25, 5)
    assert space.graph.is_open


def test_samples_depend_on_the_seed_only(space: SearchSpace) -> None:
    samples = [space.sample(seed) for seed in range(200)]
    assert samples == [space.sample(seed) for seed in range(200)]
    assert {space.encode(d) for d in samples} == {space.encode(d) for d in space.enumerate()}


def test_samples_are_what_decide_takes(space: SearchSpace) -> None:
    for seed in range(5):
        decided = run_pipeline(space.graph, f"decide{{seed={seed}}}")
        assert structurally_equal(decided, space.architecture(space.sample(seed)))


def test_everything_wrong_with_decisions_is_listed(space: SearchSpace) -> None:
    with pytest.raises(UsageError) as error:
        space.encode({"op": "conv", "expansion": 3, "kernal": 3, "kernel": 9})
    message = str(error.value)
    assert "unknown choice 'kernal' (did you mean kernel?)" in message
    assert "expansion exists only where op is inverted_bottleneck" in message
    assert "kernel cannot be 9; accepted: 3, 5 or 7" in message
    with pytest.raises(UsageError, match="op is missing; accepted: conv or inverted_bottleneck"):
        space.architecture({"kernel": 3})


def test_bad_vectors(space: SearchSpace) -> None:
    with pytest.raises(UsageError, match="vector has 3 indices; accepted: 4"):
        space.decode((0, 0, 0))
    with pytest.raises(UsageError, match="3 for kernel; accepted: 0 to 2"):
        space.architecture((0, 0, 3, 0))


def test_a_space_without_choices_holds_one_architecture() -> None:
    space = SearchSpace(Graph())
    assert (space.size, list(space.enumerate()), space.sample(0)) == (1, [{}], {})


@st.composite
def conditional_choices(draw: st.DrawFn) -> Graph:
    graph = Graph()
    for index in range(draw(st.integers(1, 5))):
        options = tuple(range(draw(st.integers(1, 3))))
        condition = None
        if index and draw(st.booleans()):
            other = graph.choices[f"c{draw(st.integers(0, index - 1))}"]
            condition = (other.name, other.options[: draw(st.integers(1, len(other.options)))])
        graph.choices[f"c{index}"] = Choice(f"c{index}", options, condition)
    order = draw(st.permutations(list(graph.choices)))
    graph.choices = {name: graph.choices[name] for name in order}
    return graph


@settings(max_examples=60, deadline=None)
@given(conditional_choices())
def test_size_is_the_length_of_the_enumeration(graph: Graph) -> None:
    space = SearchSpace(graph)
    vectors = [space.encode(decisions) for decisions in islice(space.enumerate(), 300)]
    assert len(set(vectors)) == len(vectors) == space.size
