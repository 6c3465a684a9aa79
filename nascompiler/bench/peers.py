"""Other runtimes as benchmark workers: `python -m nascompiler.bench.peers NAME MODEL.onnx THREADS INPUTS.npz`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from nascompiler.backends.measure.latency import LayerTime
from nascompiler.bench.protocol import Runner, serve, take_stdout
from nascompiler.ir import Array, UsageError
from nascompiler.ir.errors import choices_text


class Peer:
    """What every runtime tells; none tells the time of its layers."""

    version = ""
    note = ""

    def profile(self, runs: int) -> tuple[Sequence[LayerTime], Sequence[Sequence[float]]]:
        return (), [() for _ in range(runs)]

    def probe(self) -> Mapping[str, Any]:
        return {}


class OnnxRuntime(Peer):
    """ONNX Runtime's CPU provider with all graph optimisations, inputs and outputs bound once."""

    def __init__(self, model: Path, threads: int, inputs: Mapping[str, Array]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self.binding = self.session.io_binding()
        for name, array in inputs.items():
            self.binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
        for output in self.session.get_outputs():
            self.binding.bind_output(output.name, "cpu")
        self.version = onnxruntime.__version__
        self.note = "CPUExecutionProvider, all optimisations"

    def step(self) -> None:
        self.session.run_with_iobinding(self.binding)


class OpenVino(Peer):
    """OpenVINO's CPU plugin for latency, float32 forced: on AMX machines it would take bfloat16 by itself."""

    def __init__(self, model: Path, threads: int, inputs: Mapping[str, Array]) -> None:
        import openvino

        core = openvino.Core()
        network = core.read_model(str(model))
        network.reshape({name: list(array.shape) for name, array in inputs.items()})
        compiled = core.compile_model(
            network,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
                "ENABLE_CPU_PINNING": False,
                "INFERENCE_PRECISION_HINT": "f32",
            },
        )
        self.request = compiled.create_infer_request()
        for name, array in inputs.items():
            self.request.set_tensor(name, openvino.Tensor(array))
        self.version = openvino.__version__.partition("-")[0]
        self.note = "CPU plugin, latency hint, float32"

    def step(self) -> None:
        self.request.infer()


PEERS: Mapping[str, tuple[str, Callable[[Path, int, Mapping[str, Array]], Runner]]] = {
    "onnxruntime": ("onnxruntime", OnnxRuntime),
    "openvino": ("openvino", OpenVino),
}
"""name -> (module it needs, what makes a runner of a model file)"""


def check_peers(names: Sequence[str]) -> None:
    """Raise UsageError for names of runtimes that we do not know or that are not installed."""
    for name in names:
        if name not in PEERS:
            raise UsageError(f"unknown runtime {name!r}; accepted: {choices_text(PEERS)}")
        module = PEERS[name][0]
        if find_spec(module) is None:
            raise UsageError(f"{name} is not installed: pip install {module}")


def main(arguments: Sequence[str]) -> None:
    wire = take_stdout()
    name, model, threads, inputs = arguments

    def make() -> Runner:
        with np.load(inputs, allow_pickle=False) as arrays:
            given = {key: np.ascontiguousarray(arrays[key]) for key in arrays.files}
        return PEERS[name][1](Path(model), int(threads), given)

    serve(make, wire)


if __name__ == "__main__":
    main(sys.argv[1:])
