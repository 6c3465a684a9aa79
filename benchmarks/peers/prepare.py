"""Makes the model files of the runtimes, each by the runtime's own documented route.

    python -m benchmarks.peers.prepare MODEL PEER DTYPE FOLDER

PEER `reference` is what the others start from: the ONNX model, the calibration images, and the evaluation images with
torch's float32 answers to them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.images import SIZE

MODELS = (
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "mnasnet_a1",
    "nasnet_mobile",
)
SHAPE = (1, 3, SIZE, SIZE)
INPUT = "input"
OUTPUT = "output"


@dataclass(frozen=True)
class Preparation:
    """`make(model, folder)` writes `files` into the folder; `after` names the files that it starts from."""

    files: tuple[str, ...]
    make: Callable[[str, Path], None]
    after: tuple[str, str] | None = ("reference", "fp32")


def prepare(model: str, peer: str, dtype: str, folder: Path) -> str | None:
    """Make what the folder lacks, in a process of its own; the reason when that fails.

    Nothing is made for a peer and dtype without files of their own.
    """
    preparation = PREPARATIONS.get((peer, dtype))
    if preparation is None or all((folder / name).exists() for name in preparation.files):
        return None
    if preparation.after is not None and (reason := prepare(model, *preparation.after, folder)):
        return reason
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.peers.prepare", model, peer, dtype, str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if run.returncode == 0:
        return None
    (folder / f"{peer}_{dtype}.error.txt").write_text(run.stderr, encoding="utf-8")
    last = next((line.strip() for line in reversed(run.stderr.splitlines()) if line.strip()), "no message")
    return f"its {dtype} model could not be made: {last}"[:300]


def reference(model: str, folder: Path) -> None:
    import onnx
    import torch

    from benchmarks.peers import images, networks
    from benchmarks.peers.onnx_forms import use_fast_forms

    network = networks.build(model)
    given = images.evaluation_images()
    with torch.no_grad():
        answers = [network(torch.from_numpy(image[None])).numpy() for image in given]
    np.save(folder / "input.npy", given)
    np.save(folder / "reference.npy", np.concatenate(answers))
    np.save(folder / "calib.npy", images.calibration_images())
    (folder / "info.json").write_text(json.dumps(asdict(networks.count(network))), encoding="utf-8")
    path = folder / "fp32.onnx"
    torch.onnx.export(
        network,
        (torch.zeros(SHAPE),),
        str(path),
        opset_version=18,
        dynamo=True,
        input_names=[INPUT],
        output_names=[OUTPUT],
        external_data=False,
    )
    exported = onnx.load(path)
    use_fast_forms(exported)
    onnx.checker.check_model(exported)
    onnx.save(exported, path)


def onnxruntime_int8(model: str, folder: Path) -> None:
    """Static quantisation with QDQ nodes: unsigned activations, signed weights per channel."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc] # the package has no types
        def __init__(self) -> None:
            self.images = _calibration(folder)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            image = next(self.images, None)
            return None if image is None else {INPUT: image}

    prepared = folder / "ort_prepared.onnx"
    quant_pre_process(str(folder / "fp32.onnx"), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(folder / "ort_int8.onnx"),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    prepared.unlink()


def openvino_fp32(model: str, folder: Path) -> None:
    import openvino

    network = openvino.convert_model(str(folder / "fp32.onnx"))
    network.reshape(list(SHAPE))
    openvino.save_model(network, str(folder / "ov_fp32.xml"), compress_to_fp16=False)


def openvino_int8(model: str, folder: Path) -> None:
    import nncf
    import openvino

    quantised = nncf.quantize(
        openvino.Core().read_model(str(folder / "ov_fp32.xml")),
        nncf.Dataset(list(_calibration(folder))),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(np.load(folder / "calib.npy", mmap_mode="r")),
    )
    openvino.save_model(quantised, str(folder / "ov_int8.xml"), compress_to_fp16=False)


def litert_fp32(model: str, folder: Path) -> None:
    """NHWC, as its models are."""
    import litert_torch
    import torch

    from benchmarks.peers import networks

    network = litert_torch.to_channel_last_io(networks.build(model), args=[0]).eval()
    example = torch.zeros(SHAPE).permute(0, 2, 3, 1).contiguous()
    litert_torch.convert(network, (example,)).export(str(folder / "litert_fp32.tflite"))


def litert_int8(model: str, folder: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    path = str(folder / "litert_fp32.tflite")
    quantise = quantizer.Quantizer(path)
    quantise.load_quantization_recipe(recipe.static_wi8_ai8())
    signature, names = next(iter(Interpreter(path).get_signature_list().items()))
    images = [{names["inputs"][0]: np.ascontiguousarray(x.transpose(0, 2, 3, 1))} for x in _calibration(folder)]
    quantised = quantise.quantize(quantise.calibrate({signature: images}))
    quantised.export_model(str(folder / "litert_int8.tflite"), overwrite=True)


def ncnn_fp32(model: str, folder: Path) -> None:
    from torch import jit, zeros

    from benchmarks.peers import networks

    scratch = folder / "pnnx"
    scratch.mkdir(exist_ok=True)
    trace: Any = jit.trace
    trace(networks.build(model), zeros(SHAPE)).save(str(scratch / "network.pt"))
    converter = Path(sys.executable).parent / "pnnx"
    shape = ",".join(map(str, SHAPE))
    subprocess.run([str(converter), "network.pt", f"inputshape=[{shape}]", "fp16=0"], cwd=scratch, check=True)
    for kind in ("param", "bin"):
        (scratch / f"network.ncnn.{kind}").replace(folder / f"ncnn.{kind}")
    shutil.rmtree(scratch)


def mnn_fp32(model: str, folder: Path) -> None:
    import _tools  # MNN's converters; its scripts around them run pip behind one's back

    source, target = str(folder / "fp32.onnx"), str(folder / "mnn_fp32.mnn")
    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", source, "--MNNModel", target, "--bizCode", "peers"])


def mnn_int8(model: str, folder: Path) -> None:
    import _tools

    scratch = folder / "mnn_calibration"
    shutil.rmtree(scratch, ignore_errors=True)
    images = list(_calibration(folder))
    for number, image in enumerate(images):
        sample = scratch / str(number)
        sample.mkdir(parents=True)
        np.savetxt(sample / f"{INPUT}.txt", image.reshape(-1), fmt="%.5f")
        description = {"inputs": [{"name": INPUT, "shape": SHAPE}], "outputs": [OUTPUT]}
        (sample / "input.json").write_text(json.dumps(description), encoding="utf-8")
    settings = {
        "format": "RGB",
        "mean": [0, 0, 0],
        "normal": [1, 1, 1],
        "width": SIZE,
        "height": SIZE,
        "path": f"{scratch}/",
        "used_sample_num": len(images),
        "feature_quantize_method": "KL",
        "weight_quantize_method": "MAX_ABS",
        "input_type": "sequence",
        "batch_size": 1,
    }
    (scratch / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    _tools.mnnquant(str(folder / "mnn_fp32.mnn"), str(folder / "mnn_int8.mnn"), str(scratch / "settings.json"))
    shutil.rmtree(scratch)


def torch_fp32(model: str, folder: Path) -> None:
    _compile_with_torch(_channels_last(model), folder / "torch_fp32.pt2")


def torch_int8(model: str, folder: Path) -> None:
    """Static quantisation of the exported program (PT2E), as its x86 back end wants it."""
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    settings = x86.get_default_x86_inductor_quantization_config()
    quantizer = x86.X86InductorQuantizer().set_global(settings)
    images = [torch.from_numpy(x).to(memory_format=torch.channels_last) for x in _calibration(folder)]
    observed = prepare_pt2e(torch.export.export(_channels_last(model), (images[0],)).module(), quantizer)
    with torch.no_grad():
        for image in images:
            observed(image)
    _compile_with_torch(convert_pt2e(observed), folder / "torch_int8.pt2")


def _channels_last(model: str) -> Any:
    import torch

    from benchmarks.peers import networks

    network: Any = networks.build(model)
    return network.to(memory_format=torch.channels_last)  # of which torch's types know nothing


def _compile_with_torch(network: Any, path: Path) -> None:
    import torch
    import torch._inductor.config as settings

    settings.freezing = True
    settings.cpp.dynamic_threads = True  # as many as it is run with, not as many as it was compiled with
    example = torch.zeros(SHAPE).to(memory_format=torch.channels_last)
    with torch.no_grad():
        program = torch.export.export(network, (example,))
        torch._inductor.aoti_compile_and_package(program, package_path=str(path))


def tvm_fp32(model: str, folder: Path) -> None:
    """Default schedules for this processor; nothing is tuned."""
    import onnx
    import tvm
    from tvm.relax.frontend.onnx import from_onnx

    module = from_onnx(onnx.load(folder / "fp32.onnx"), shape_dict={INPUT: list(SHAPE)}, keep_params_in_input=False)
    cpu = tvm.target.codegen.llvm_get_system_cpu()
    target = tvm.target.Target({"kind": "llvm", "mcpu": cpu})
    tvm.compile(module, target=target).export_library(str(folder / "tvm_fp32.so"))


PREPARATIONS: Mapping[tuple[str, str], Preparation] = {
    ("reference", "fp32"): Preparation(("fp32.onnx", "input.npy", "reference.npy", "calib.npy"), reference, None),
    ("onnxruntime", "int8"): Preparation(("ort_int8.onnx",), onnxruntime_int8),
    ("openvino", "fp32"): Preparation(("ov_fp32.xml", "ov_fp32.bin"), openvino_fp32),
    ("openvino", "int8"): Preparation(("ov_int8.xml", "ov_int8.bin"), openvino_int8, ("openvino", "fp32")),
    ("litert", "fp32"): Preparation(("litert_fp32.tflite",), litert_fp32),
    ("litert", "int8"): Preparation(("litert_int8.tflite",), litert_int8, ("litert", "fp32")),
    ("ncnn", "fp32"): Preparation(("ncnn.param", "ncnn.bin"), ncnn_fp32),
    ("mnn", "fp32"): Preparation(("mnn_fp32.mnn",), mnn_fp32),
    ("mnn", "int8"): Preparation(("mnn_int8.mnn",), mnn_int8, ("mnn", "fp32")),
    ("torch", "fp32"): Preparation(("torch_fp32.pt2",), torch_fp32),
    ("torch", "int8"): Preparation(("torch_int8.pt2",), torch_int8),
    ("tvm", "fp32"): Preparation(("tvm_fp32.so",), tvm_fp32),
}


def _calibration(folder: Path) -> Iterator[NDArray[np.float32]]:
    """The calibration images, [1, 3, SIZE, SIZE] each."""
    return iter(np.load(folder / "calib.npy")[:, None])


def main(arguments: list[str]) -> None:
    model, peer, dtype, folder = arguments
    PREPARATIONS[peer, dtype].make(model, Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
