"""Every op of the dialect in torch against the reference evaluator, by the table of examples."""

import numpy as np
import pytest

from nascompiler.ir.builder import Builder
from nascompiler.ir.evaluate import evaluate
from nascompiler.ir.ops import OPS
from nascompiler.ir.types import DType
from nascompiler.torch_bridge import to_module
from nascompiler.torch_bridge.lowering.table import LOWERINGS
from tests.ir.op_examples import EXAMPLES
from tests.torch_bridge.comparing import assert_agrees


@pytest.mark.parametrize("constant_parameters", [True, False], ids=["constants", "inputs"])
@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_the_op_computes_what_the_reference_does(example, constant_parameters):
    graph = example.graph(constant_parameters=constant_parameters)
    inputs = example.inputs(graph)
    module = to_module(graph).eval()
    assert_agrees(module.run(inputs), evaluate(graph, inputs))


@pytest.mark.parametrize(
    "example", [e for e in EXAMPLES if len(e.operands[0].shape) == 4 and e.op != "nn.shape"], ids=str
)
def test_it_does_so_between_ops_that_work_on_nchw_images(example):
    """The operands come from pools, which leave NCHW; the planner must translate what is said about NHWC."""
    builder = Builder()
    values, inputs = [], {}
    for index, array in enumerate(example.operands):
        if array is None:
            values.append(None)
            continue
        value = builder.input(f"x{index}", array.shape, DType.of(array.dtype))
        inputs[value.name] = array
        if array.ndim == 4 and array.dtype != bool:
            value = builder.nn.max_pool2d(value, kernel=(1, 1))
        values.append(value)
    made = builder.op(example.op, *values, **example.attributes)
    results = made if isinstance(made, tuple) else (made,)
    graph = builder.outputs(**{f"y{i}": v for i, v in enumerate(results)})
    module = to_module(graph).eval()
    assert_agrees(module.run(inputs), evaluate(graph, inputs))


def test_every_op_of_the_dialect_has_a_lowering_or_is_a_module():
    modules = {"nn.dropout", "nn.drop_path"}
    conversions = {f"qnn.{name}{axis}" for name in ("quantize", "dequantize") for axis in ("", "_per_axis")}
    assert {name for name in OPS if name.startswith("nn.")} | conversions == LOWERINGS.keys() | modules


def test_a_reshape_that_keeps_the_batch_keeps_any_batch():
    builder = Builder()
    x = builder.input("x", (1, 2, 3, 4))
    graph = builder.outputs(y=builder.nn.reshape(x, shape=(1, 24)))
    made = to_module(graph).run({"x": np.zeros((5, 2, 3, 4), np.float32)})
    assert made["y"].shape == (5, 24)
