"""Names, types and shapes of inputs and outputs, and the shapes that a user gives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from onnx import ModelProto, helper

from nascompiler.ir.errors import UsageError
from nascompiler.onnx import OnnxError, import_onnx
from tests.onnx.support import agrees, model, node, normal

ARRAYS = {"x": normal(2, 3), "z": normal(2, 1)}
DATA = model([node("Add", "x z", "sum")], ARRAYS, outputs="sum", shapes={"x": ["N", 3], "z": ["N", None]})


def test_names_layouts_and_symbols_are_kept() -> None:
    graph = import_onnx(DATA)
    assert [(v.name, v.type.shape) for v in graph.inputs] == [("x", ("N", 3)), ("z", ("N", None))]
    assert graph.output_names == ["sum"]
    assert graph.outputs[0].type.shape == ("N", 3)
    assert graph.attributes == {"source": "onnx", "opset": 17}


def test_a_given_size_holds_for_every_dimension_of_that_name() -> None:
    graph = agrees(DATA, ARRAYS, shapes={"x": (2, 3)})
    assert [v.type.shape for v in graph.inputs] == [(2, 3), (2, None)]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"y": (2, 3)}, "unknown input 'y'; accepted: x or z"),
        ({"x": (2, 4)}, "shape 2x4 given for input 'x', which is declared f32[N,3]: dimension 1 must be 3"),
        ({"x": (2, 3, 1)}, "it needs 2 dimensions"),
        ({"x": (-1, 3)}, "sizes must not be negative"),
        ({"x": (2, 3), "z": (4, 1)}, "dimension 0 (N) is 2 elsewhere"),
        ({"x": (2**40, 3)}, "too large"),
    ],
)
def test_a_shape_that_does_not_fit(shapes: dict[str, Sequence[int]], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        import_onnx(DATA, shapes=shapes)


def test_an_initializer_that_is_also_an_input_is_a_constant() -> None:
    """What files before IR version 4 look like."""
    arrays = {"x": normal(2, 3), "w": normal(3)}
    proto = ModelProto.FromString(model([node("Add", "x w")], arrays, {"w": arrays["w"]}))
    graph = agrees(proto.SerializeToString(), {"x": arrays["x"]})
    assert [v.name for v in graph.inputs] == ["x"]


def test_nodes_out_of_order_are_sorted() -> None:
    x = normal(3)
    proto = ModelProto.FromString(model([node("Relu", "x", "a"), node("Neg", "a", "b"), node("Abs", "b")], {"x": x}))
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend(reversed(nodes))
    graph = agrees(proto.SerializeToString(), {"x": x}, runtime=False)
    assert [(n.op.name, n.origin) for n in graph.nodes] == [
        ("nn.relu", "onnx:Relu#2"),
        ("nn.neg", "onnx:Neg#1"),
        ("nn.abs", "onnx:Abs#0"),
    ]


def test_an_output_may_be_an_input_or_a_constant() -> None:
    x = normal(3)
    nodes = [node("Identity", "x"), node("Identity", "w", "k")]
    agrees(model(nodes, {"x": x}, {"w": normal(2)}, outputs="y k"), {"x": x})


@pytest.mark.parametrize(
    ("element_type", "shape", "message"),
    [(1, [2, 4], "declared f32[2,4], but the graph makes f32[2,3]"), (1, [6], "f32[6]"), (7, [2, 3], "i64[2,3]")],
)
def test_an_output_declared_as_something_else(element_type: int, shape: list[int], message: str) -> None:
    proto = ModelProto.FromString(model([node("Relu", "x")], {"x": normal(2, 3)}))
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", element_type, shape))
    with pytest.raises(OnnxError, match=re.escape(message)):
        import_onnx(proto.SerializeToString())


def test_operands_of_different_types() -> None:
    proto = ModelProto.FromString(model([node("Add", "x z")], {"x": normal(2), "z": normal(2)}))
    proto.graph.input[1].type.tensor_type.elem_type = 7
    with pytest.raises(OnnxError, match=r"Add#0.*same element type"):
        import_onnx(proto.SerializeToString())


@pytest.mark.parametrize("source", ["str", "path"])
def test_a_file_by_name(tmp_path: object, source: str) -> None:

    path = Path(str(tmp_path)) / "m.onnx"
    path.write_bytes(DATA)
    assert len(import_onnx(str(path) if source == "str" else path)) == 1
