"""Models as quantisers write them: ONNX Runtime's, on a small MobileNetV3, and torch's fake quantisation."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nascompiler as nc
from nascompiler.ir.evaluate import evaluate
from nascompiler.ir.types import Array
from nascompiler.ir.verify import verify
from nascompiler.onnx import import_onnx
from tests.onnx.support import difference, run

quantization = pytest.importorskip("onnxruntime.quantization")
shape_inference = pytest.importorskip("onnxruntime.quantization.shape_inference")

pytestmark = pytest.mark.slow

SHAPE = (1, 32, 32, 3)
TO_INTEGERS = "propagate-layout,fake-quantization-to-integer"
TYPES = [("QUInt8", "QInt8"), ("QUInt8", "QUInt8"), ("QInt8", "QInt8")]
ASYMMETRIC = {"WeightSymmetric": False}
SYMMETRIC = {"ActivationSymmetric": True}


def images(count: int) -> list[dict[str, Array]]:
    generator = np.random.default_rng(35)
    return [{"image": generator.standard_normal(SHAPE).astype(np.float32)} for _ in range(count)]


class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]
    """Four images."""

    def __init__(self) -> None:
        self._images = iter(images(4))

    def get_next(self) -> dict[str, Array] | None:
        return next(self._images, None)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float network, prepared as ONNX Runtime asks for."""
    logging.getLogger().setLevel(logging.ERROR)
    folder = tmp_path_factory.mktemp("network")
    nc.export(nc.load("mobilenet-v3-small", width=0.35, resolution=32), folder / "float.onnx")
    shape_inference.quant_pre_process(str(folder / "float.onnx"), str(folder / "prepared.onnx"))
    return folder / "prepared.onnx"


def quantized(network: Path, folder: Path, format: str, types: tuple[str, str], **how: Any) -> bytes:
    activation, weight = (getattr(quantization.QuantType, name) for name in types)
    quantization.quantize_static(
        str(network),
        str(folder / "q.onnx"),
        Reader(),
        quant_format=getattr(quantization.QuantFormat, format),
        activation_type=activation,
        weight_type=weight,
        **how,
    )
    return (folder / "q.onnx").read_bytes()


def check(data: bytes) -> Counter[str]:
    """How often each op is in the integer graph, after it proved to compute what ONNX Runtime does."""
    graph = import_onnx(data)
    verify(graph)
    integers = nc.optimize(graph, TO_INTEGERS)
    for image in images(6)[4:]:
        expected = run(data, image)
        assert len(np.unique(expected["logits"])) > 10
        step = float(np.diff(np.unique(expected["logits"])).min())
        for found in (graph, integers):
            assert difference(evaluate(found, image), expected) <= 1.5 * step
    return Counter(n.op.name for n in integers.nodes)


@pytest.mark.parametrize("format", ["QDQ", "QOperator"])
@pytest.mark.parametrize("types", TYPES, ids="-".join)
@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("reduce_range", [False, True])
def test_static_quantisation(
    network: Path, tmp_path: Path, format: str, types: tuple[str, str], per_channel: bool, reduce_range: bool
) -> None:
    how = {"per_channel": per_channel, "reduce_range": reduce_range}
    found = check(quantized(network, tmp_path, format, types, **how))
    assert found["qnn.conv2d"] == 52
    if types[1] == "QInt8":
        assert not found.keys() & {"nn.conv2d", "nn.linear", "nn.add", "nn.mul"}
    assert found["nn.transpose"] == 0


@pytest.mark.parametrize("format", ["QDQ", "QOperator"])
@pytest.mark.parametrize("options", [SYMMETRIC, ASYMMETRIC], ids=str)
@pytest.mark.parametrize("per_channel", [True, False])
def test_symmetric_and_asymmetric(
    network: Path, tmp_path: Path, format: str, options: dict[str, bool], per_channel: bool
) -> None:
    check(quantized(network, tmp_path, format, TYPES[0], per_channel=per_channel, extra_options=options))


def test_fake_quantisation_of_torch(tmp_path: Path) -> None:
    """Weights are quantised in the file, biases are float."""
    torch = pytest.importorskip("torch")

    class Network(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.convolution, self.linear = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Linear(8, 5)
            self.register_buffer("scale", torch.linspace(0.002, 0.004, 8))
            self.register_buffer("zero", torch.zeros(8, dtype=torch.int32))

        def forward(self, x: Any) -> Any:
            fake, by_channel = torch.fake_quantize_per_tensor_affine, torch.fake_quantize_per_channel_affine
            weight = by_channel(self.convolution.weight, self.scale, self.zero, 0, -128, 127)
            y = torch.nn.functional.conv2d(fake(x, 0.05, 3, -128, 127), weight, self.convolution.bias, padding=1)
            y = fake(torch.relu(y), 0.01, -128, -128, 127)
            y = fake(torch.nn.functional.adaptive_avg_pool2d(y, 1).flatten(1), 0.005, -128, -128, 127)
            weight = fake(self.linear.weight, 0.003, 0, -128, 127)
            return fake(torch.nn.functional.linear(y, weight, self.linear.bias), 0.01, 0, -128, 127)

    x = torch.randn(2, 3, 6, 6)
    path = tmp_path / "torch.onnx"
    torch.onnx.export(Network().eval(), (x,), path, dynamo=False, input_names=["x"], opset_version=17)
    data = path.read_bytes()
    graph = import_onnx(path)
    assert not any(n.op.name == "qnn.quantize_per_axis" for n in graph.nodes)
    inputs = {"x": x.numpy()}
    integers = nc.optimize(graph, TO_INTEGERS)
    names = Counter(n.op.name for n in integers.nodes)
    assert (names["qnn.conv2d"], names["qnn.linear"]) == (1, 1)
    for found in (graph, integers):
        assert difference(evaluate(found, inputs), run(data, inputs)) < 0.011
