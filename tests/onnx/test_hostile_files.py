"""Damaged and malicious files: one clear error each, at once, and without taking memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, ModelProto, TensorProto

from nascompiler.ir.errors import ModelError
from nascompiler.onnx import OnnxError, import_onnx
from tests.onnx.support import model, node, normal

X = normal(2, 3)
WEIGHTS = {"w": normal(3, 4), "b": normal(4)}
DATA = model([node("MatMul", "x w", "h"), node("Add", "h b", "a"), node("Relu", "a")], {"x": X}, WEIGHTS)


@pytest.fixture(autouse=True)
def at_once() -> Iterator[None]:
    start = time.process_time()
    yield
    assert time.process_time() - start < 2


def changed(change: Callable[[ModelProto], object]) -> bytes:
    proto = ModelProto.FromString(DATA)
    change(proto)
    return proto.SerializeToString()


def refused(data: bytes, message: str) -> None:
    with pytest.raises(OnnxError, match=message) as raised:
        import_onnx(data)
    assert raised.value.exit_code == 3


@pytest.mark.parametrize("name", ["missing.onnx", "", "empty.onnx", "text.onnx"])
def test_files_that_are_no_models(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "text.onnx").write_text("not a model at all")
    with pytest.raises(OnnxError, match=r"cannot be read|a folder|is empty|not an ONNX model"):
        import_onnx(tmp_path / name)


def test_every_truncation() -> None:
    for length in range(len(DATA)):
        with pytest.raises(OnnxError):
            import_onnx(DATA[:length])


def test_bytes_changed_at_random() -> None:
    """Whatever happens is an error of ours, or a model that is still valid."""
    rng = np.random.default_rng(0)
    for _ in range(500):
        data = bytearray(DATA)
        for place in rng.integers(len(data), size=rng.integers(1, 5)):
            data[place] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)])
        with suppress(ModelError):
            import_onnx(bytes(data))


def test_a_cycle() -> None:
    refused(changed(lambda m: m.graph.node[0].input.__setitem__(0, "a")), "cycle: MatMul#0, Add#1")


def test_a_missing_initializer_and_a_missing_output() -> None:
    refused(changed(lambda m: m.graph.initializer.pop()), "missing: .*'b' .used by Add#1")
    refused(changed(lambda m: m.graph.node.pop()), "missing: .*'y' .an output")


def test_names_defined_twice() -> None:
    refused(changed(lambda m: m.graph.node.append(node("Relu", "x", "h"))), "defined twice: 'h' .again by Relu#3")
    refused(changed(lambda m: m.graph.input.append(m.graph.input[0])), "defined twice: input 'x'")
    refused(changed(lambda m: m.graph.initializer.append(m.graph.initializer[0])), "defined twice: initializer 'w'")
    refused(changed(lambda m: m.graph.output.append(m.graph.output[0])), "defined twice: output 'y'")


@pytest.mark.parametrize("dims", [[-3, -4], [3, 2**62], [2**32, 2**32], [2**20, 2**20], [0, 2**62], [3, 5], [1] * 40])
def test_dimensions_that_do_not_fit_the_data(dims: list[int]) -> None:
    refused(changed(lambda m: m.graph.initializer[0].dims.__setitem__(slice(None), dims)), r"w \(initializer\)")


def test_data_too_short_too_long_or_absent() -> None:
    raw = ModelProto.FromString(DATA).graph.initializer[0].raw_data
    for data in (raw[:-1], raw + b"\0", b""):
        refused(changed(lambda m, data=data: setattr(m.graph.initializer[0], "raw_data", data)), "needs 48")
    refused(changed(lambda m: m.graph.initializer[0].ClearField("raw_data")), "holds 0 values in float_data")


def test_values_outside_their_type() -> None:
    tensor = TensorProto(name="k", data_type=TensorProto.INT8, dims=[1], int32_data=[1000])
    refused(changed(lambda m: m.graph.initializer.append(tensor)), "outside i8")


@pytest.mark.parametrize("size", [-2, 2**62, 2**40])
def test_inputs_of_absurd_sizes(size: int) -> None:
    dimension = ModelProto.FromString(DATA).graph.input[0].type.tensor_type.shape.dim[0]
    dimension.dim_value = size
    refused(changed(lambda m: m.graph.input[0].type.tensor_type.shape.dim[0].CopyFrom(dimension)), "negative|too large")


@pytest.mark.parametrize(
    "nodes",
    [
        [node("ConstantOfShape", "huge")],
        [node("Expand", "x huge")],
        [node("Tile", "x many")],
        [node("Range", "zero far one")],
        [node("Pad", "x pads")],
        [node("Resize", "i _ large", mode="nearest")],
        [node("Unsqueeze", "x many_axes")],
        [node("MaxPool", "i", kernel_shape=[2**40, 1])],
        [node("Conv", "i k", pads=[2**62, 0, 0, 0])],
        [node("Conv", "i k", strides=[0, 0])],
        [node("Conv", "i k", group=0)],
        [node("Conv", "i k", group=-1)],
        [node("Concat", "x x", axis=7)],
        [node("Transpose", "x", perm=[0, 0])],
        [node("Slice", "x s e a t")],
        [node("Reshape", "x minus")],
        [node("Gather", "x out", axis=2**40)],
        [node("Split", "x", "y z", axis=0, num_outputs=2**40)],
        [node("Hardmax", "wide", axis=1)],
        [node("LRN", "i", size=2**40)],
        [node("DepthToSpace", "i", blocksize=0)],
        [node("LSTM", "seq huge_w huge_r", "y", hidden_size=2**30)],
    ],
    ids=lambda nodes: nodes[-1].op_type,
)
def test_nodes_that_ask_for_the_impossible(nodes: list[onnx.NodeProto]) -> None:
    weights = {
        "huge": np.array([2**30, 2**30]),
        "many": np.array([2**30, 2**30]),
        "zero": np.array(0),
        "far": np.array(2**62),
        "one": np.array(1),
        "pads": np.array([2**40, 2**40, 2**40, 2**40]),
        "large": np.array([1, 1, 1e9, 1e9], np.float32),
        "many_axes": np.arange(60) + 2,
        "k": np.ones((1, 1, 1, 1), np.float32),
        "s": np.array([0]),
        "e": np.array([1]),
        "a": np.array([0]),
        "t": np.array([0]),
        "minus": np.array([-1, -1]),
        "out": np.array([10**9]),
    }
    inputs = {"x": X, "i": normal(1, 1, 4, 4), "seq": normal(1, 1, 1)}
    proto = ModelProto.FromString(model([node("Relu", "x")], inputs, weights, opset=18))
    for name, shape in (("wide", [2, 2**34]), ("huge_w", [1, 2**32, 1]), ("huge_r", [1, 2**2, 2**30])):
        proto.graph.input.append(onnx.helper.make_tensor_value_info(name, 1, shape))
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    proto.graph.output[0].ClearField("type")
    with pytest.raises(OnnxError, match=f"{nodes[-1].op_type}#"):
        import_onnx(proto.SerializeToString())


def test_opsets_and_attributes_that_make_no_sense() -> None:
    refused(changed(lambda m: setattr(m.opset_import[0], "version", 99)), "opset 99 is not supported")
    refused(changed(lambda m: setattr(m.opset_import[0], "version", 6)), "accepted: 7 to")
    refused(changed(lambda m: m.opset_import.pop()), "no graph, opset or outputs")
    refused(changed(lambda m: m.opset_import.add(domain="", version=9)), "two versions")
    reference = AttributeProto(name="axis", type=AttributeProto.INT, ref_attr_name="outer")
    refused(changed(lambda m: m.graph.node[2].attribute.append(reference)), "unknown attribute 'axis'")


def test_names_that_are_no_text() -> None:
    refused(DATA.replace(b"MatMul", b"\xff\xfe\xfd\xff\xfe\xfd"), "not UTF-8|not an ONNX model")


def test_a_long_chain_needs_no_recursion() -> None:
    proto = ModelProto.FromString(model([node("Relu", "x", "v0")], {"x": normal(2)}, outputs="v0"))
    proto.graph.node.extend(node("Relu", f"v{i}", f"v{i + 1}") for i in range(2000))
    proto.graph.output[0].name = "v2000"
    assert len(import_onnx(proto.SerializeToString())) == 2001
