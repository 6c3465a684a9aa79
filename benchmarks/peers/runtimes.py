"""The runtimes that we measure against, each as its documentation says it is fastest for one image on a CPU.

Only `step` is timed: the image lies in the runtime's own tensor before, the answer stays in the runtime's own tensor.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.prepare import INPUT, SHAPE
from nascompiler.bench.peers import OnnxRuntime as OnnxRuntimeRunner
from nascompiler.bench.peers import OpenVino as OpenVinoRunner
from nascompiler.bench.peers import Peer
from nascompiler.bench.protocol import Runner

Image = NDArray[np.float32]
"""[1, 3, 224, 224]"""
Answer = NDArray[np.float32]


class Runtime(Runner, Protocol):
    """A loaded network that takes images."""

    def put(self, image: Image) -> None:
        """What the next steps run on."""

    def answer(self) -> Answer:
        """The logits of the last step, 1000 of them in any shape."""


@dataclass(frozen=True)
class Entry:
    """`make(path, threads)` loads a file of a model's folder; `files` has one for each dtype that is served."""

    module: str
    make: Callable[[Path, int], Runtime]
    files: Mapping[str, str]
    unserved: str = ""
    """Why another dtype is not served."""

    def obstacle(self, dtype: str) -> str | None:
        """Why this dtype cannot be measured here, if so."""
        if find_spec(self.module) is None:
            return f"not installed: no module {self.module}"
        return None if dtype in self.files else f"serves no {dtype}: {self.unserved}"


class OnnxRuntime(OnnxRuntimeRunner):
    """ONNX Runtime, as `nascompiler bench` measures it."""

    def __init__(self, path: Path, threads: int) -> None:
        super().__init__(path, threads, {INPUT: np.zeros(SHAPE, np.float32)})

    def put(self, image: Image) -> None:
        import onnxruntime

        self.binding.bind_ortvalue_input(INPUT, onnxruntime.OrtValue.ortvalue_from_numpy(image))

    def answer(self) -> Answer:
        result: Answer = self.binding.copy_outputs_to_cpu()[0]
        return result


class OpenVino(OpenVinoRunner):
    """OpenVINO, as `nascompiler bench` measures it; the layers that its int8 model leaves in float run in float32."""

    def __init__(self, path: Path, threads: int) -> None:
        super().__init__(path, threads, {INPUT: np.zeros(SHAPE, np.float32)})

    def put(self, image: Image) -> None:
        self.request.get_input_tensor().data[:] = image

    def answer(self) -> Answer:
        result: Answer = self.request.get_output_tensor().data
        return result


class LiteRt(Peer):
    """LiteRT's interpreter with its XNNPACK delegate."""

    def __init__(self, path: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(str(path), num_threads=threads)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]
        self.output = self.interpreter.get_output_details()[0]
        self.version = importlib.metadata.version("ai-edge-litert")
        self.note = "XNNPACK delegate, NHWC"

    def put(self, image: Image) -> None:
        array: NDArray[Any] = image.transpose(0, 2, 3, 1)
        dtype = self.input["dtype"]
        if dtype != np.float32:
            scale, zero_point = self.input["quantization"]
            limits = np.iinfo(dtype)
            array = np.clip(np.round(array / scale) + zero_point, limits.min, limits.max).astype(dtype)
        self.interpreter.set_tensor(self.input["index"], np.ascontiguousarray(array))

    def step(self) -> None:
        self.interpreter.invoke()

    def answer(self) -> Answer:
        result: NDArray[Any] = self.interpreter.get_tensor(self.output["index"])
        if self.output["dtype"] != np.float32:
            scale, zero_point = self.output["quantization"]
            result = (result.astype(np.float32) - zero_point) * scale
        return result


class Ncnn(Peer):
    """ncnn on the CPU, without half precision."""

    def __init__(self, path: Path, threads: int) -> None:
        import ncnn

        self.network = ncnn.Net()
        options = self.network.opt
        options.num_threads = threads
        options.use_vulkan_compute = False
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_storage = False
        self.network.load_param(str(path))
        self.network.load_model(str(path.with_suffix(".bin")))
        self.matrix = ncnn.Mat
        self.version = importlib.metadata.version("ncnn")
        self.note = "fp16 and bf16 off"

    def put(self, image: Image) -> None:
        self.image = self.matrix(np.ascontiguousarray(image[0])).clone()

    def step(self) -> None:
        extractor = self.network.create_extractor()
        extractor.input("in0", self.image)
        _, self.result = extractor.extract("out0")

    def answer(self) -> Answer:
        return np.array(self.result)


class Mnn(Peer):
    """MNN's session on the CPU, in full precision."""

    def __init__(self, path: Path, threads: int) -> None:
        import MNN

        self.tensor = MNN.Tensor
        self.float, self.nchw = MNN.Halide_Type_Float, MNN.Tensor_DimensionType_Caffe
        self.interpreter = MNN.Interpreter(str(path))
        self.session = self.interpreter.createSession(
            {"backend": "CPU", "numThread": threads, "precision": "high", "memory": "high", "power": "high"}
        )
        self.input = self.interpreter.getSessionInput(self.session)
        self.interpreter.resizeTensor(self.input, SHAPE)
        self.interpreter.resizeSession(self.session)
        self.version = importlib.metadata.version("MNN")
        self.note = "precision, memory and power high"

    def put(self, image: Image) -> None:
        source = np.ascontiguousarray(image)  # MNN keeps its address only
        self.input.copyFrom(self.tensor(SHAPE, self.float, source, self.nchw))

    def step(self) -> None:
        self.interpreter.runSession(self.session)

    def answer(self) -> Answer:
        output = self.interpreter.getSessionOutput(self.session)
        room = np.zeros(output.getShape(), np.float32)
        copy = self.tensor(output.getShape(), self.float, room, self.nchw)
        output.copyToHostTensor(copy)
        return np.array(copy.getData(), np.float32)


class Torch(Peer):
    """What torch's ahead-of-time compiler makes, which is faster than eager torch."""

    def __init__(self, path: Path, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self.network = torch._inductor.aoti_load_package(str(path))
        self.inference_mode = torch.inference_mode
        self.from_numpy, self.layout = torch.from_numpy, torch.channels_last
        self.version = torch.__version__
        self.note = "AOTInductor, weights frozen, channels last"

    def put(self, image: Image) -> None:
        self.image = self.from_numpy(image.copy()).to(memory_format=self.layout)

    def step(self) -> None:
        with self.inference_mode():
            self.result = self.network(self.image)

    def answer(self) -> Answer:
        result: Answer = (self.result if hasattr(self.result, "numpy") else self.result[0]).numpy()
        return result


class Tvm(Peer):
    """TVM with its default schedules. Its thread pool takes TVM_NUM_THREADS, which a worker finds set."""

    def __init__(self, path: Path, threads: int) -> None:
        import tvm
        from tvm import relax

        self.machine = relax.VirtualMachine(tvm.runtime.load_module(str(path)), tvm.cpu())
        self.tensor = tvm.runtime.tensor
        self.version = tvm.__version__
        self.note = "untuned"

    def put(self, image: Image) -> None:
        self.image = self.tensor(np.ascontiguousarray(image))

    def step(self) -> None:
        self.result = self.machine["main"](self.image)

    def answer(self) -> Answer:
        result: Answer = self.result.numpy()
        return result


RUNTIMES: Mapping[str, Entry] = {
    "onnxruntime": Entry("onnxruntime", OnnxRuntime, {"fp32": "fp32.onnx", "int8": "ort_int8.onnx"}),
    "openvino": Entry("openvino", OpenVino, {"fp32": "ov_fp32.xml", "int8": "ov_int8.xml"}),
    "litert": Entry("ai_edge_litert", LiteRt, {"fp32": "litert_fp32.tflite", "int8": "litert_int8.tflite"}),
    "ncnn": Entry("ncnn", Ncnn, {"fp32": "ncnn.param"}, "its quantisation tools are not in its package"),
    "mnn": Entry("MNN", Mnn, {"fp32": "mnn_fp32.mnn", "int8": "mnn_int8.mnn"}),
    "torch": Entry("torch", Torch, {"fp32": "torch_fp32.pt2", "int8": "torch_int8.pt2"}),
    "tvm": Entry("tvm", Tvm, {"fp32": "tvm_fp32.so"}, "it has no quantiser"),
}
