"""The trained models of rapidocr-onnxruntime import as they are, and compute what ONNX Runtime does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import onnx
import pytest

from nascompiler.data.models import ocr_model
from nascompiler.ir.evaluate import evaluate
from nascompiler.ir.types import Array
from nascompiler.ir.verify import Legality, verify
from nascompiler.onnx import UnsupportedNodesError, export_onnx, import_onnx
from tests.onnx.support import assert_same, run

SHAPES = {"direction": (1, 3, 48, 192), "detection": (1, 3, 64, 96), "recognition": (1, 3, 48, 160)}


def image(name: str) -> dict[str, Array]:
    return {"x": np.random.default_rng(5).standard_normal(SHAPES[name]).astype(np.float32)}


@pytest.fixture(scope="module")
def expected() -> Mapping[str, dict[str, Array]]:
    return {name: run(ocr_model(name).read_bytes(), image(name)) for name in SHAPES}


@pytest.mark.parametrize("given", [False, True], ids=["open", "given"])
@pytest.mark.parametrize("name", SHAPES)
def test_import_and_export(name: str, given: bool, expected: Mapping[str, dict[str, Array]]) -> None:
    graph = import_onnx(ocr_model(name), shapes={"x": SHAPES[name]} if given else None)
    verify(graph, Legality(static=given))
    assert_same(evaluate(graph, image(name)), expected[name])
    proto = export_onnx(graph)
    onnx.checker.check_model(proto, full_check=True)
    assert_same(run(proto.SerializeToString(), image(name)), expected[name])


def test_the_classifier_becomes_a_static_network_whatever_the_batch() -> None:
    """Its Reshape to a computed shape folds to reshape{shape=(-1, 200)}; the constants of 308 nodes are no nodes."""
    counts = Counter(n.op.name for n in import_onnx(ocr_model("direction")).nodes)
    assert not any(op.startswith("nn.dynamic") or op == "nn.shape" for op in counts)
    assert counts["nn.conv2d"] == 53
    assert counts["nn.batch_norm"] == 35
    assert counts["nn.reshape"] == 1


def test_exported_classifier_and_detector_need_no_transposes() -> None:
    for name in ("direction", "detection"):
        proto = export_onnx(import_onnx(ocr_model(name)))
        assert not [n.name for n in proto.graph.node if n.op_type == "Transpose"]


def test_a_size_that_the_detector_cannot_have() -> None:
    with pytest.raises(UnsupportedNodesError, match=r"p2o\.Add\.248 .*do not broadcast"):
        import_onnx(ocr_model("detection"), shapes={"x": (1, 3, 48, 192)})
