import numpy as np

from nascompiler.ir import Builder, Constant, OpDef, Operand, TensorType
from nascompiler.ir.ops import OPS
from nascompiler.passes import run_pipeline

CSE = "eliminate-common-subexpressions"


def test_equal_nodes_and_equal_constants_are_merged(transforms):
    timing = transforms(
        """(%x: f32[2]) {
          constant @w : f32[2] = [1.0, 2.0]
          constant @v : f32[2] = [1.0, 2.0]
          %a = nn.add(%x, @w) : f32[2]
          %b = nn.add(%x, @v) : f32[2]
          %c = nn.exp(%a) : f32[2]
          %d = nn.exp(%b) : f32[2]
          %e = nn.sub(%c, %d) : f32[2]
          return y=%e, z=%d
        }""",
        CSE,
        """(%x: f32[2]) {
          constant @w : f32[2] = [1.0, 2.0]
          %a = nn.add(%x, @w) : f32[2]
          %c = nn.exp(%a) : f32[2]
          %e = nn.sub(%c, %c) : f32[2]
          return y=%e, z=%c
        }""",
    )
    assert timing.passes[CSE].counts == {"constants merged": 1, "nodes merged": 2}


def test_several_results_are_merged_together(transforms):
    transforms(
        """(%x: f32[4]) {
          %a, %b = nn.split(%x) {axis=0, sizes=[2, 2]} : f32[2], f32[2]
          %c, %d = nn.split(%x) {axis=0, sizes=[2, 2]} : f32[2], f32[2]
          %e = nn.add(%a, %d) : f32[2]
          return y=%e
        }""",
        CSE,
        """(%x: f32[4]) {
          %a, %b = nn.split(%x) {axis=0, sizes=[2, 2]} : f32[2], f32[2]
          %e = nn.add(%a, %b) : f32[2]
          return y=%e
        }""",
    )


def test_attributes_operand_order_and_constants_of_other_types_tell_apart(transforms):
    transforms(
        """(%x: f32[2], %z: f32[2]) {
          constant @f : f32[1] = [1.0]
          constant @d : f64[1] = [1.0]
          constant @shaped : f32[] = [1.0]
          %a = nn.clip(%x) {min=0.0} : f32[2]
          %b = nn.clip(%x) {min=-0.0} : f32[2]
          %c = nn.sub(%x, %z) : f32[2]
          %e = nn.sub(%z, %x) : f32[2]
          %g = nn.add(%x, @f) : f32[2]
          %h = nn.add(%x, @shaped) : f32[2]
          return a=%a, b=%b, c=%c, e=%e, g=%g, h=%h, d=@d
        }""",
        CSE,
    )


def test_constants_that_differ_in_the_sign_of_zero_or_are_nan():
    builder = Builder()
    x = builder.input("x", (1,))
    values = [0.0, -0.0, float("nan"), float("nan")]
    outputs = {f"y{i}": builder.nn.mul(x, builder.constant(np.float32([v]))) for i, v in enumerate(values)}
    result = run_pipeline(builder.outputs(**outputs), CSE)
    assert len(result.constants) == len(result) == 3  # the same NaN twice is one


def test_nodes_of_the_architecture_level_get_weights_of_their_own():
    OPS.register(
        OpDef(name="arch.test_layer", summary="", operands=(Operand("x"),), infer=lambda x: TensorType(x.shape))
    )
    try:
        builder = Builder()
        x = builder.input("x", (2,))
        graph = builder.outputs(y=builder.nn.add(builder.arch.test_layer(x), builder.arch.test_layer(x)))
        assert run_pipeline(graph, CSE) is graph
    finally:
        del OPS._ops["arch.test_layer"]


def test_ten_thousand_equal_nodes():
    builder = Builder()
    x = builder.input("x", (1,))
    graph = builder.outputs(y=builder.nn.concat(*(builder.nn.exp(x) for _ in range(10_000)), axis=0))
    assert len(run_pipeline(graph, CSE)) == 2


def test_lazy_constants_are_not_made_to_be_compared():
    def fail():
        raise AssertionError("nobody needs the values")

    shared, other = Constant.lazy(TensorType((3,)), fail), Constant.lazy(TensorType((3,)), fail)
    builder = Builder()
    x = builder.input("x", (3,))
    same = [builder.nn.add(x, builder.constant(shared)) for _ in range(2)]
    graph = builder.outputs(a=same[0], b=same[1], c=builder.nn.add(x, builder.constant(other)))
    result = run_pipeline(graph, "eliminate-common-subexpressions")
    assert len(result) == 2
    assert result.outputs[0] is result.outputs[1]
