"""A network as small as a worker can be tried on, prepared as `benchmarks.peers.prepare` would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.peers.prepare import INPUT, OUTPUT, SHAPE


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A folder with fp32.onnx (3 channels averaged, then 10 logits), two images, and the answers to them."""
    generator = np.random.default_rng(7)
    weights = numpy_helper.from_array(generator.standard_normal((3, 10)).astype(np.float32), "w")
    nodes = [
        helper.make_node("GlobalAveragePool", [INPUT], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], [OUTPUT]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [1, 10])],
        [weights],
    )
    folder = tmp_path / "tiny"
    folder.mkdir()
    path = folder / "fp32.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    images = generator.standard_normal((2, *SHAPE[1:])).astype(np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    np.save(folder / "input.npy", images)
    np.save(folder / "calib.npy", images)
    np.save(folder / "reference.npy", np.concatenate([session.run(None, {INPUT: x[None]})[0] for x in images]))
    return folder
