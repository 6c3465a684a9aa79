import numpy as np
import pytest

from nascompiler.ir import TensorType, UsageError, evaluate, parse
from nascompiler.passes import Pipeline, run_pipeline
from nascompiler.passes.fix_shapes import FixShapes, parse_shapes, parse_sizes

NET = """nir 1
graph @main(%x: f32[N,3,H,?], %y: f32[N,2]) {
  constant @tail : i64[1] = [-1]
  %n = nn.shape(%x) {end=1} : i64[1]
  %shape = nn.concat(%n, @tail) {axis=0} : i64[2]
  %flat = nn.dynamic_reshape(%x, %shape) : f32[?,?]
  %z = nn.concat(%flat, %y) {axis=1} : f32[N,?]
  return z=%z, h=%x
}
"""
FOLD = "fixpoint(canonicalize,fold-constants,eliminate-dead-code)"


def types(graph):
    return [str(v.type) for v in [*graph.inputs, *(r for n in graph.nodes for r in n.results)]]


def test_shapes_fix_symbols_everywhere():
    result = run_pipeline(parse(NET), f'fix-shapes{{shapes="x=2x3x4x5"}},{FOLD}')
    assert types(result) == ["f32[2,3,4,5]", "f32[2,2]", "f32[2,60]", "f32[2,62]"]
    assert all(v.type.is_static for v in result.outputs)


def test_what_is_computed_stays_the_same():
    inputs = {"x": np.random.default_rng(0).random((2, 3, 4, 5), np.float32), "y": np.ones((2, 2), np.float32)}
    before = evaluate(parse(NET), inputs)
    after = evaluate(run_pipeline(parse(NET), f'fix-shapes{{shapes="x=2x3x4x5"}},{FOLD}'), inputs)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_sizes_by_symbol_and_open_dimensions():
    result = run_pipeline(parse(NET), 'fix-shapes{sizes="N=1,H=8"}')
    assert types(result)[:2] == ["f32[1,3,8,?]", "f32[1,2]"]
    result = run_pipeline(parse(NET), 'fix-shapes{shapes="x=?x3x?x7"}')
    assert types(result)[:2] == ["f32[N,3,H,7]", "f32[N,2]"]


def test_what_is_fixed_already_changes_nothing():
    once = run_pipeline(parse(NET), 'fix-shapes{shapes="x=2x3x4x5"}')
    assert run_pipeline(once, 'fix-shapes{shapes="x=2x3x4x5,y=2x2"}') is once


def test_an_input_of_unknown_rank_takes_any_shape():
    graph = parse("nir 1\ngraph @main(%x: f32[*]) {\n  %y = nn.relu(%x) : f32[*]\n  return y=%y\n}\n")
    assert types(run_pipeline(graph, 'fix-shapes{shapes="x=2x0"}')) == ["f32[2,0]", "f32[2,0]"]
    assert types(run_pipeline(graph, 'fix-shapes{shapes="x="}')) == ["f32[]", "f32[]"]


@pytest.mark.parametrize(
    "options, message",
    [
        ('shapes="z=1"', r"unknown input 'z'.*accepted: x or y"),
        ('shapes="x=2x4x4x5"', r"input 'x' is f32\[2,3,4,\?\]; the shape 2x4x4x5 does not fit it"),
        ('shapes="x=2x3"', r"input 'x' is f32\[2,3,H,\?\]; the shape 2x3 does not fit it"),
        ('shapes="x=2x3x4x5,y=1x2"', r"the size N cannot be 1 and 2 at once; 'x' is declared f32\[N,3,H,\?\]"),
        ('sizes="N=2", shapes="y=1x2"', r"the size N cannot be 1 and 2 at once"),
        ('sizes="M=2"', r"unknown symbolic size 'M'.*accepted: H or N"),
    ],
)
def test_what_does_not_fit_the_declaration(options, message):
    with pytest.raises(UsageError, match=message):
        run_pipeline(parse(NET), f"fix-shapes{{{options}}}")


def test_a_shape_that_does_not_fit_the_network():
    graph = parse(
        "nir 1\ngraph @main(%x: f32[1,?]) {\n  %y = nn.reshape(%x) {shape=[3, -1]} : f32[3,?]\n  return y=%y\n}\n"
    )
    with pytest.raises(UsageError, match=r"the network does not fit x=1x7: nn.reshape.*no multiple of 3"):
        run_pipeline(graph, 'fix-shapes{shapes="x=1x7"}')


@pytest.mark.parametrize("text", ["x", "x=1x", "x=-1", "x=1,x=1", "=3", "x=1.5", "x=٣", "x=" + "9" * 30])
def test_shapes_that_cannot_be_read(text):
    with pytest.raises(UsageError):
        Pipeline.parse(f'fix-shapes{{shapes="{text}"}}')


@pytest.mark.parametrize("text", ["N", "N=", "N=-1", "N=1,N=2", "N=?"])
def test_sizes_that_cannot_be_read(text):
    with pytest.raises(UsageError):
        FixShapes(sizes=text)


def test_reading():
    assert parse_shapes("x:0=1x3, a=b=2 ,s=") == {"x:0": (1, 3), "a=b": (2,), "s": ()}
    assert parse_shapes("") == {}
    assert parse_sizes("N=1, H=48") == {"N": 1, "H": 48}


def test_from_python_and_round_trip():
    step = FixShapes.of({"x": (2, 3, None, 5), "s": ()}, {"H": 4})
    assert step == FixShapes("x=2x3x?x5,s=", "H=4")
    text = 'fix-shapes{shapes="x=2x3x?x5,s=", sizes="H=4"}'
    assert str(Pipeline.parse(text)) == text
    assert Pipeline.parse(text).steps[0].step == step


def test_symbols_of_cells_are_fixed_too():
    graph = parse(NET)
    cell = graph.clone()
    cell.name = "cell"
    graph.cells["cell"] = cell
    result = run_pipeline(graph, 'fix-shapes{sizes="N=1"}')
    assert result.cells["cell"].inputs[1].type == TensorType((1, 2))
