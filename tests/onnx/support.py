"""Small ONNX models, and the comparison of their import with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from nascompiler.ir.evaluate import evaluate
from nascompiler.ir.graph import Graph
from nascompiler.ir.types import Array
from nascompiler.ir.verify import verify
from nascompiler.onnx import import_onnx

Shape = Sequence[int | str | None]
_GENERATOR = np.random.default_rng(20)
_BEGIN = _GENERATOR.bit_generator.state


def begin_anew() -> None:
    """Let `normal` draw what it drew first, so that a test's numbers do not depend on the tests before it."""
    _GENERATOR.bit_generator.state = _BEGIN


def normal(*shape: int, dtype: Any = np.float32) -> Array:
    return _GENERATOR.standard_normal(shape).astype(dtype)


def node(operator: str, inputs: str, outputs: str = "y", **attributes: Any) -> onnx.NodeProto:
    """A node; names are separated by blanks, `_` stands for an absent input."""
    names = ["" if name == "_" else name for name in inputs.split()]
    return helper.make_node(operator, names, outputs.split(), **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Array],
    weights: Mapping[str, Array] | None = None,
    *,
    outputs: str = "y",
    opset: int = 17,
    shapes: Mapping[str, Shape] | None = None,
) -> bytes:
    """A model with inputs of the types of these arrays; `shapes` declares other (symbolic) shapes for some."""
    declared = {**{name: array.shape for name, array in inputs.items()}, **(shapes or {})}
    typed = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), declared[name])
        for name, array in inputs.items()
    ]
    untyped = [onnx.ValueInfoProto(name=name) for name in outputs.split()]
    initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(list(nodes), "test", typed, untyped, initializers)
    opsets = [helper.make_opsetid(domain, 1) for domain in sorted({n.domain for n in nodes} - {""})]
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), *opsets], ir_version=8)
    return onnx.shape_inference.infer_shapes(made).SerializeToString()


def run(data: bytes, inputs: Mapping[str, Array], *, optimized: bool = True) -> dict[str, Array]:
    """What ONNX Runtime computes, by output name, on one thread."""
    options = onnxruntime.SessionOptions()
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    wanted = {value.name for value in session.get_inputs()}
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, {k: v for k, v in inputs.items() if k in wanted}), strict=True))


def assert_same(actual: Mapping[str, Array], expected: Mapping[str, Array], tolerance: float = 1e-4) -> None:
    assert list(actual) == list(expected)
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype
        np.testing.assert_allclose(actual[name], array, rtol=tolerance, atol=tolerance, err_msg=name)


def agrees(
    data: bytes, inputs: Mapping[str, Array], *, shapes: Mapping[str, Sequence[int]] | None = None, runtime: bool = True
) -> Graph:
    """The imported graph, after its reference evaluation proved to agree with ONNX Runtime."""
    graph = import_onnx(data, shapes=shapes)
    verify(graph)
    results = evaluate(graph, inputs)
    if runtime:
        assert_same(results, run(data, inputs))
    return graph


def largest_difference(data: bytes, inputs: Mapping[str, Array], *, optimized: bool = True) -> float:
    """Between the reference evaluation of the import and ONNX Runtime, over all results."""
    graph = import_onnx(data)
    verify(graph)
    return difference(evaluate(graph, inputs), run(data, inputs, optimized=optimized))


def difference(actual: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """The largest absolute one, of results with the same names, types and shapes."""
    assert list(actual) == list(expected)
    found = 0.0
    for name, array in expected.items():
        assert (actual[name].dtype, actual[name].shape) == (array.dtype, array.shape)
        gap = np.abs(actual[name].astype(np.float64) - array.astype(np.float64))
        found = max(found, float(gap.max(initial=0)))
    return found


def ops(graph: Graph) -> list[str]:
    """The ops of a graph in order, without prefix and without the transposes of layouts."""
    names = [n.op.name.removeprefix("nn.") for n in graph.nodes]
    return [name for name in names if name != "transpose"]
