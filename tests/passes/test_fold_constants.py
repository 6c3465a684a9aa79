import numpy as np
import pytest

from nascompiler.ir import Builder, Constant, DType, TensorType, structurally_equal
from nascompiler.passes import Pipeline, run_pipeline
from nascompiler.passes.fold_constants import FoldConstants


def test_a_chain_of_constants_becomes_one(transforms):
    timing = transforms(
        """(%x: f32[2]) {
          constant @a : f32[2] = [1.0, 2.0]
          constant @b : f32[1] = [3.0]
          %c = nn.add(@a, @b) : f32[2]
          %d = nn.mul(%c, @a) : f32[2]
          %y = nn.add(%x, %d) : f32[2]
          return y=%y, d=%d
        }""",
        "fold-constants",
        """(%x: f32[2]) {
          constant @d : f32[2] = [4.0, 10.0]
          %y = nn.add(%x, @d) : f32[2]
          return y=%y, d=@d
        }""",
    )
    assert timing.passes["fold-constants"].counts == {"nodes folded": 2}


def test_several_results(transforms):
    transforms(
        """(%x: f32[1]) {
          constant @a : f32[3] = [1.0, 2.0, 3.0]
          %b, %c = nn.split(@a) {axis=0, sizes=[1, 2]} : f32[1], f32[2]
          %y = nn.add(%x, %c) : f32[2]
          return y=%y
        }""",
        "fold-constants",
        """(%x: f32[1]) {
          constant @c : f32[2] = [2.0, 3.0]
          %y = nn.add(%x, @c) : f32[2]
          return y=%y
        }""",
    )


def test_shapes_fold_where_the_sizes_asked_for_are_known(transforms):
    transforms(
        """(%x: f32[N,3,4]) {
          %known = nn.shape(%x) {start=1} : i64[2]
          %open = nn.shape(%x) : i64[3]
          return known=%known, open=%open
        }""",
        "fold-constants",
        """(%x: f32[N,3,4]) {
          constant @known : i64[2] = [3, 4]
          %open = nn.shape(%x) : i64[3]
          return known=@known, open=%open
        }""",
        evaluated=False,
    )


def test_a_computed_shape_makes_types_known_in_the_same_sweep(transforms):
    transforms(
        """(%x: f32[2,3,4]) {
          constant @one : i64[1] = [-1]
          %head = nn.shape(%x) {end=1} : i64[1]
          %shape = nn.concat(%head, @one) {axis=0} : i64[2]
          %r = nn.dynamic_reshape(%x, %shape) : f32[?,?]
          %y = nn.relu(%r) : f32[?,?]
          return y=%y
        }""",
        "fold-constants",
        """(%x: f32[2,3,4]) {
          constant @shape : i64[2] = [2, -1]
          %r = nn.dynamic_reshape(%x, @shape) : f32[2,12]
          %y = nn.relu(%r) : f32[2,12]
          return y=%y
        }""",
    )


LARGE = """(%x: f32[1]) {
  constant @shape : i64[2] = [100, 100]
  %zeros = nn.constant_of_shape(@shape) : f32[100,100]
  %y = nn.add(%zeros, %x) : f32[100,100]
  return y=%y
}"""


def test_results_too_large_stay_and_the_miss_says_so(transforms):
    timing = transforms(LARGE, "fold-constants{max-bytes=39999}")
    ((rule, node, reason),) = timing.passes["fold-constants"].misses
    assert rule == "f(constants) = constant"
    assert "constant_of_shape" in node
    assert "40000 bytes" in reason
    assert "max-bytes=39999" in reason


def test_a_large_result_that_is_no_larger_than_its_operands_is_folded():
    builder = Builder()
    weight = builder.constant(np.ones((100, 50), np.float32))
    graph = builder.outputs(y=builder.nn.relu(builder.nn.transpose(weight, permutation=(1, 0))))
    assert len(run_pipeline(graph, "fold-constants{max-bytes=0}")) == 0


def test_sizes_without_limit_are_refused_before_they_are_computed(transforms):
    transforms(
        """(%x: f32[1]) {
          constant @shape : i64[3] = [1000000, 1000000, 1000000]
          %zeros = nn.constant_of_shape(@shape) : f32[1000000,1000000,1000000]
          return y=%zeros, x=%x
        }""",
        "fold-constants",
        evaluated=False,
    )


def test_placeholders_and_nodes_that_cannot_be_evaluated_stay():
    builder = Builder()
    unloaded = builder.constant(Constant(TensorType((10,)), digest="0" * 32))
    table, index = builder.constant(np.float32([1, 2])), builder.constant(np.int64([7]))
    graph = builder.outputs(a=builder.nn.relu(unloaded), b=builder.nn.gather(table, index))
    assert run_pipeline(graph, "fold-constants") is graph


def test_nothing_to_fold_leaves_the_graph_itself():
    builder = Builder()
    graph = builder.outputs(y=builder.nn.relu(builder.input("x", (2,))))
    assert run_pipeline(graph, "fold-constants") is graph


@pytest.mark.parametrize("dtype", [DType.F16, DType.F64, DType.I8, DType.U64, DType.BOOL])
def test_element_types_are_kept(dtype):
    builder = Builder()
    value = builder.constant(np.array([0, 1], dtype.numpy))
    graph = builder.outputs(y=builder.nn.reshape(value, shape=(2, 1)))
    (result,) = run_pipeline(graph, "fold-constants").outputs
    assert result.type == TensorType((2, 1), dtype)


def test_options_round_trip():
    assert str(Pipeline.parse("fold-constants{max-bytes=0}")) == "fold-constants{max-bytes=0}"
    assert str(Pipeline.parse(f"fold-constants{{max-bytes={FoldConstants().max_bytes}}}")) == "fold-constants"


def test_folding_is_independent_of_names():
    first, second = Builder(), Builder()
    for builder, name in ((first, "a"), (second, "")):
        constant = builder.constant(np.float32([2]), name)
        builder.outputs(y=builder.nn.add(builder.input("x", (1,)), builder.nn.exp(constant, name=name)))
    assert structurally_equal(run_pipeline(first.graph, "fold-constants"), run_pipeline(second.graph, "fold-constants"))
