"""Weights in files beside the model: read from under its folder, and from nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest

from nascompiler.ir.evaluate import evaluate
from nascompiler.onnx import OnnxError, import_onnx
from tests.onnx.support import model, node, normal

W = normal(4, 5)


def write_model(folder: Path, location: str, *, count: int = 1, **entries: object) -> Path:
    """A model in `folder` whose weights w0, w1, ... lie at `location`."""
    proto = onnx.ModelProto.FromString(model([node("Add", "x w0")], {"x": W}, {"w0": W}))
    del proto.graph.initializer[:]
    for index in range(count):
        tensor = proto.graph.initializer.add(name=f"w{index}", data_type=1, dims=W.shape)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in {"location": location, **entries}.items():
            tensor.external_data.add(key=key, value=str(value))
    folder.mkdir(exist_ok=True)
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize("location", ["weights.bin", "sub/weights.bin", "./weights.bin"])
@pytest.mark.parametrize("offset", [None, 64])
def test_external_weights_are_read(tmp_path: Path, location: str, offset: int | None) -> None:
    entries = {} if offset is None else {"offset": offset, "length": W.nbytes}
    path = write_model(tmp_path / "m", location, count=3, **entries)
    target = path.parent / location
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(b"\0" * (offset or 0) + W.tobytes())
    (result,) = evaluate(import_onnx(path), {"x": W}).values()
    np.testing.assert_array_equal(result, W + W)


@pytest.mark.parametrize("location", ["../secret", "a/../../secret", "{absolute}", "", "a//b", "..", ".", "c:\\secret"])
def test_locations_outside_are_refused(tmp_path: Path, location: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(W.tobytes())
    path = write_model(tmp_path / "m", location.format(absolute=secret))
    (path.parent / "a").mkdir()
    with pytest.raises(OnnxError, match="external location"):
        import_onnx(path)


def test_links_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(W.tobytes())
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "symbolic").symlink_to(secret)
    os.link(secret, folder / "hard")
    (folder / "beside").symlink_to(tmp_path)
    for location in ("symbolic", "hard", "beside/secret"):
        with pytest.raises(OnnxError, match="link"):
            import_onnx(write_model(folder, location))


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": 1},
        {"offset": -4},
        {"offset": 2**62},
        {"offset": "9" * 30},
        {"offset": "0x10"},
        {"length": W.nbytes - 1},
        {"length": W.nbytes + 1},
        {"length": -1},
        {"length": 2**62},
    ],
    ids=str,
)
def test_offsets_and_lengths_that_do_not_fit(tmp_path: Path, entries: dict[str, object]) -> None:
    path = write_model(tmp_path / "m", "weights.bin", **entries)
    (path.parent / "weights.bin").write_bytes(W.tobytes())
    with pytest.raises(OnnxError, match="w0"):
        import_onnx(path)


def test_folders_pipes_and_missing_files(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    for location in ("folder", "pipe", "missing", "pipe/x"):
        with pytest.raises(OnnxError, match="external location"):
            import_onnx(write_model(folder, location))


def test_regions_that_overlap_do_not_multiply_memory(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m", "weights.bin")
    (path.parent / "weights.bin").write_bytes(bytes(W.nbytes + 400))
    proto = onnx.ModelProto.FromString(path.read_bytes())
    for index in range(100):
        tensor = proto.graph.initializer.add()
        tensor.CopyFrom(proto.graph.initializer[0])
        tensor.name = f"v{index}"
        tensor.external_data.add(key="offset", value=str(4 * index))
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(OnnxError, match="overlap"):
        import_onnx(path)


def test_bytes_have_no_folder(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m", "weights.bin")
    with pytest.raises(OnnxError, match="give its path"):
        import_onnx(path.read_bytes())


def test_attribute_tensors_are_no_way_around(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(W.tobytes())
    tensor = onnx.TensorProto(data_type=1, dims=W.shape, data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret")
    proto = onnx.ModelProto.FromString(model([node("Relu", "x")], {"x": W}))
    constant = onnx.NodeProto(op_type="Constant", output=["c"])
    constant.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(tensor)
    proto.graph.node.append(constant)
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(OnnxError, match=r"'\.\./secret' is refused"):
        import_onnx(folder / "model.onnx")
