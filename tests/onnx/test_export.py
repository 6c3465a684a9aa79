"""What is exported passes ONNX's checker, and ONNX Runtime computes what the reference evaluation does."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from nascompiler.ir.builder import Builder
from nascompiler.ir.errors import UsageError
from nascompiler.ir.evaluate import evaluate
from nascompiler.ir.graph import Graph
from nascompiler.ir.types import Array, DType
from nascompiler.onnx import OnnxError, UnsupportedNodesError, export_onnx, import_onnx, save_onnx
from tests.ir.op_examples import EXAMPLES, OpExample
from tests.onnx.support import assert_same, normal, run


def exported(graph: Graph, inputs: dict[str, Array]) -> onnx.ModelProto:
    """The export, proved to compute what the graph does."""
    before = str(graph)
    proto = export_onnx(graph)
    assert str(graph) == before
    onnx.checker.check_model(proto, full_check=True)
    assert_same(run(proto.SerializeToString(), inputs), evaluate(graph, inputs), 1e-3)
    return proto


def operators(proto: onnx.ModelProto) -> list[str]:
    return [n.op_type for n in proto.graph.node]


@pytest.mark.parametrize("constant_parameters", [True, False], ids=["constants", "inputs"])
@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.op.startswith("nn.")], ids=str)
def test_every_op(example: OpExample, constant_parameters: bool) -> None:
    graph = example.graph(constant_parameters=constant_parameters)
    exported(graph, example.inputs(graph))


def image_network(b: Builder, x: Any) -> Any:
    """Conv, batch norm, activation, depthwise, squeeze-excite, residual: the blocks of MobileNetV3 (NHWC)."""
    y = b.nn.conv2d(x, b.constant(normal(3, 3, 3, 8)), strides=(2, 2), padding=(1, 1, 1, 1))
    y = b.nn.batch_norm(y, *(b.constant(np.abs(normal(8)) + 0.1) for _ in range(4)))
    y = b.nn.hard_swish(y)
    z = b.nn.conv2d(y, b.constant(normal(3, 3, 1, 8)), padding=(1, 1, 1, 1), groups=8)
    z = b.nn.squeeze_excite(z, *(b.constant(normal(*s)) for s in ((8, 2), (2,), (2, 8), (8,))))
    z = b.nn.add(z, y)
    z = b.nn.mul(z, b.constant(normal(8)))
    return b.nn.concat(z, y, axis=-1)


def test_images_that_stay_images_need_no_transposes() -> None:
    b = Builder()
    x = b.input("image", (1, 3, 16, 16))
    y = image_network(b, b.nn.transpose(x, permutation=(0, 2, 3, 1)))
    pooled = b.nn.flatten(b.nn.global_average_pool(y))
    scores = b.nn.softmax(b.nn.linear(pooled, b.constant(normal(16, 5)), b.constant(normal(5))))
    graph = b.outputs(scores=scores, features=b.nn.transpose(y, permutation=(0, 3, 1, 2)))
    proto = exported(graph, {"image": normal(1, 3, 16, 16)})
    assert "Transpose" not in operators(proto)
    assert [v.name for v in proto.graph.input] == ["image"]
    assert [v.name for v in proto.graph.output] == ["scores", "features"]


def test_an_image_network_on_nhwc_has_transposes_at_its_edges_only() -> None:
    b = Builder()
    graph = b.outputs(y=image_network(b, b.input("x", (1, 16, 16, 3))))
    proto = exported(graph, {"x": normal(1, 16, 16, 3)})
    assert Counter(operators(proto))["Transpose"] == 2
    assert operators(proto)[0] == operators(proto)[-1] == "Transpose"


@pytest.mark.parametrize("symbolic", [False, True])
def test_ops_on_axes_follow_the_layout(symbolic: bool) -> None:
    b = Builder()
    x = b.input("x", ("N", 3, None, None) if symbolic else (2, 3, 6, 8))
    y = b.nn.conv2d(b.nn.transpose(x, permutation=(0, 2, 3, 1)), b.constant(normal(1, 1, 3, 4)))
    left, right = b.nn.split(y, axis=3, sizes=(1, 3))
    y = b.nn.concat(right, left, axis=3)
    y = b.nn.pad(y, before=(0, 1, 0, 2), after=(0, 0, 3, 0), value=0.5)
    y = b.nn.slice(y, axes=(1, -1), starts=(1, 0), ends=(5, 5), steps=(2, 1))
    y = b.nn.add(y, b.constant(normal(1, 5)))
    means = b.nn.reduce_mean(y, axes=(1, 2), keepdims=False)
    widest = b.nn.reduce_max(y, axes=(2,), keepdims=True)
    graph = b.outputs(
        means=means,
        best=b.nn.argmax(y, axis=-1, keepdims=False),
        probabilities=b.nn.transpose(b.nn.softmax(y), permutation=(0, 3, 1, 2)),
        widest=b.nn.transpose(widest, permutation=(0, 3, 1, 2)),
    )
    proto = exported(graph, {"x": normal(2, 3, 6, 8)})
    assert "Transpose" not in operators(proto)


def test_fused_activations_and_composites_are_written_out() -> None:
    b = Builder()
    x = b.input("x", (1, 4, 4, 3))
    y = b.nn.conv2d(x, b.constant(normal(1, 1, 3, 3)), activation="hard_swish")
    graph = b.outputs(y=b.nn.swish(b.nn.add(y, x, activation="relu6")), z=y)
    assert {"HardSwish", "Clip", "Sigmoid"} < set(operators(exported(graph, {"x": normal(1, 4, 4, 3)})))


def test_layer_norm_of_an_unknown_size_is_written_out() -> None:
    b = Builder()
    x = b.input("x", (2, None, None))
    scaled = b.nn.layer_norm(x, b.constant(normal(1)), b.constant(normal(1)), axis=1)
    proto = exported(b.outputs(y=b.nn.layer_norm(x), z=scaled), {"x": normal(2, 3, 4)})
    assert "LayerNormalization" not in operators(proto)


def test_outputs_may_be_inputs_constants_and_twice_the_same() -> None:
    b = Builder()
    x = b.input("x", (3,))
    y = b.nn.relu(x)
    graph = b.outputs(a=x, k=b.constant(normal(2)), y=y, again=y)
    exported(graph, {"x": normal(3)})


def test_names_that_clash_are_changed_inside_only() -> None:
    b = Builder()
    x = b.input("x", (3,))
    graph = b.outputs(relu=b.nn.neg(b.nn.relu(x, name="relu"), name="x"))
    proto = exported(graph, {"x": normal(3)})
    assert [v.name for v in (*proto.graph.input, *proto.graph.output)] == ["x", "relu"]


def test_symbolic_sizes_are_kept() -> None:
    b = Builder()
    graph = b.outputs(y=b.nn.relu(b.input("x", ("batch", None, 3))))
    shapes = [
        [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in export_onnx(graph).graph.input
    ]
    assert shapes == [["batch", 0, 3]]


def test_everything_without_an_onnx_form_is_listed() -> None:
    b = Builder()
    x = b.input("x", (3,))
    y = b.nn.mod(x, x, name="rest")
    z = b.nn.range(*(b.constant(np.array(v, np.float16)) for v in (0, 3, 1)), name="steps")
    graph = b.outputs(y=y, z=z)
    assert z.type.dtype is DType.F16
    with pytest.raises(UnsupportedNodesError, match="cannot export 2") as raised:
        export_onnx(graph)
    assert [(n.name, n.operator) for n in raised.value.nodes] == [("rest", "nn.mod"), ("steps", "nn.range")]


def relu_graph() -> Graph:
    b = Builder()
    return b.outputs(y=b.nn.relu(b.input("x", (3,))))


def test_a_file_appears_whole_and_replaces_another(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")
    save_onnx(relu_graph(), path)
    assert len(import_onnx(path)) == 1
    assert os.listdir(tmp_path) == ["m.onnx"]


def test_links_and_folders_are_not_written_through(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    (tmp_path / "symbolic").symlink_to(target)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    os.link(target, tmp_path / "hard")
    (tmp_path / "folder").mkdir()
    for name in ("symbolic", "hard", "dangling", "folder", "missing/m.onnx"):
        with pytest.raises(UsageError):
            save_onnx(relu_graph(), tmp_path / name)
    assert target.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()


def test_a_graph_that_cannot_be_exported_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")
    b = Builder()
    x = b.input("x", (3,))
    with pytest.raises(OnnxError):
        save_onnx(b.outputs(y=b.nn.mod(x, x)), path)
    assert path.read_bytes() == b"old"


def test_import_of_an_export_is_the_same_network() -> None:
    x = normal(1, 3, 8, 8)
    b = Builder()
    first = b.nn.transpose(b.input("x", x.shape), permutation=(0, 2, 3, 1))
    graph = b.outputs(y=b.nn.transpose(image_network(b, first), permutation=(0, 3, 1, 2)))
    again = import_onnx(export_onnx(graph).SerializeToString())
    assert_same(evaluate(again, {"x": x}), evaluate(graph, {"x": x}))
    assert helper.make_model(export_onnx(again).graph).graph.output[0].name == "y"
