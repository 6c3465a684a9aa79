"""Post-training quantisation here, in ONNX Runtime and in NNCF: the same networks, the same calibration images.

    python benchmarks/quantizers.py [NETWORK ...] [--seeds 3] [--calibration 128] [--images 1000] [--json results.json]

For each network and seed (which draws the calibration images): signal-to-noise of the logits against the float
network, in dB, the share of predictions that stay the same, and accuracy. Peers run in ONNX Runtime and OpenVINO, each
as its quantiser's documentation says; ours on the reference evaluator, whose integers every backend repeats.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nascompiler import api
from nascompiler.ir import Graph, evaluate
from nascompiler.quantization.batching import fitting_batch, rebatched

Images = NDArray[np.float32]
Logits = NDArray[np.float32]
Runner = Callable[[Images], Logits]
"""From images [N, ...] to logits [N, classes]."""
GLYPHS = ("glyphs-mobilenet-v3", "glyphs-mnasnet", "glyphs-nasnet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=["ocr-direction", *GLYPHS])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--calibration", type=int, default=128, help="images to calibrate with")
    parser.add_argument("--images", type=int, default=1000, help="images to compare on")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for name in options.networks:
        graph, pool, test, labels = network(name, options.calibration, options.images)
        reference = evaluated(graph, test)
        rows.append({"network": name, "seed": 0, "method": "float", **compared(reference, reference, labels)})
        for seed in range(options.seeds):
            chosen = np.random.default_rng(seed).choice(len(pool), options.calibration, replace=False)
            for method, runner in quantised(graph, pool[np.sort(chosen)]):
                row = {"network": name, "seed": seed, "method": method, **compared(reference, runner(test), labels)}
                rows.append(row)
                print(json.dumps(row), flush=True)
    report(rows)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


def network(name: str, calibration: int, images: int) -> tuple[Graph, Images, Images, NDArray[np.int64]]:
    """A trained float graph with one image input, a pool to draw calibration images from, test images and labels."""
    if name == "ocr-direction":
        from nascompiler.data.models import ocr_model
        from nascompiler.data.text_lines import text_lines

        graph = api.load(ocr_model("direction"), shapes={"x": (1, 3, 48, 192)})
        return before_softmax(graph), text_lines(4 * calibration, seed=1)[0], *text_lines(images, seed=2)
    from nascompiler.data.load import load_dataset
    from nascompiler.training.glyph_networks import glyph_network

    data = load_dataset("glyphs-62")
    pool = next(data.held_out.batches(4 * calibration))[0]
    return glyph_network(name), pool, *next(data.test.batches(images))


def before_softmax(graph: Graph) -> Graph:
    """The network up to its logits: all quantisers are compared on those."""
    graph = graph.clone()
    (name,), (value,) = graph.output_names, graph.outputs
    while value.producer is not None and value.producer.op.name in ("nn.softmax", "nn.identity"):
        value = value.producer.operands[0]
    graph.set_outputs({name: value})
    return api.optimize(graph, "eliminate-dead-code")


def evaluated(graph: Graph, images: Images) -> Logits:
    """The logits of all images by the reference evaluator, several at a time: integers do not depend on it."""
    size = fitting_batch(graph)
    wide = rebatched(graph, size)
    parts = []
    for start in range(0, len(images), size):
        part = images[start : start + size]
        if wide is not None and len(part) == size:
            (made,) = evaluate(wide, {graph.inputs[0].name: part}).values()
            parts.append(made.reshape(size, -1))
        else:
            for image in part:
                (made,) = evaluate(graph, {graph.inputs[0].name: image[None]}).values()
                parts.append(made.reshape(1, -1))
    return np.asarray(np.concatenate(parts), np.float32)


def one_by_one(run: Callable[[Images], Logits], images: Images) -> Logits:
    return np.concatenate([run(image[None]).reshape(1, -1) for image in images])


def quantised(graph: Graph, calibration: Images) -> Iterator[tuple[str, Runner]]:
    """Every quantiser's network."""
    yield from ours(graph, calibration)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "float.onnx"
        api.export(graph, model)
        yield from onnx_runtime(model, calibration)
        yield "NNCF", nncf(model, calibration)


def ours(graph: Graph, calibration: Images) -> Iterator[tuple[str, Runner]]:
    from nascompiler.passes.quantization.quantizer import Settings, quantize_graph

    name = graph.inputs[0].name
    for label, settings in {
        "ours": Settings(),
        "ours, per tensor": Settings(per_channel=False),
        "ours, tables": Settings(tables=True),
    }.items():
        made = quantize_graph(graph, ({name: image[None]} for image in calibration), settings)
        yield label, partial(evaluated, made.graph)


def onnx_runtime(model: Path, calibration: Images) -> Iterator[tuple[str, Runner]]:
    """Static quantisation with pre-processing, QDQ, min-max calibration: its defaults, per tensor and per channel."""
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self, name: str) -> None:
            self.samples = iter([{name: image[None]} for image in calibration])

        def get_next(self) -> dict[str, Images] | None:
            return next(self.samples, None)

    prepared = model.with_suffix(".prepared.onnx")
    quant_pre_process(str(model), str(prepared))
    name = onnxruntime.InferenceSession(str(prepared), providers=["CPUExecutionProvider"]).get_inputs()[0].name
    for per_channel in (False, True):
        target = model.with_suffix(f".{per_channel}.onnx")
        quantize_static(
            str(prepared),
            str(target),
            Reader(name),
            quant_format=QuantFormat.QDQ,
            per_channel=per_channel,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
        label = f"ONNX Runtime, {'per channel' if per_channel else 'per tensor'}"
        yield label, partial(one_by_one, lambda x, s=session: s.run(None, {name: x})[0])


def nncf(model: Path, calibration: Images) -> Runner:
    """`nncf.quantize` of the OpenVINO model with its defaults, the mixed preset for networks that are not all relu."""
    import nncf as library
    import openvino

    core = openvino.Core()
    network = core.read_model(str(model))
    name = network.inputs[0].get_any_name()
    data = library.Dataset([image[None] for image in calibration], lambda image: {name: image})
    made = library.quantize(network, data, subset_size=len(calibration), preset=library.QuantizationPreset.MIXED)
    compiled = core.compile_model(made, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return partial(one_by_one, lambda x: np.asarray(compiled([x])[0]))


def compared(reference: Logits, logits: Logits, labels: NDArray[np.int64]) -> dict[str, float]:
    signal, noise = reference.astype(np.float64), (logits - reference).astype(np.float64)
    ratio = float(np.sum(signal**2) / max(np.sum(noise**2), 1e-300))
    return {
        "snr_db": round(10 * float(np.log10(ratio)), 2),
        "agreement": round(float(np.mean(reference.argmax(1) == logits.argmax(1))), 5),
        "accuracy": round(float(np.mean(labels == logits.argmax(1))), 5),
    }


def report(rows: list[dict[str, object]]) -> None:
    """Means over the seeds, with their spread."""
    print(f"\n{'network':22}{'quantiser':28}{'SNR dB':>16}{'agreement %':>18}{'accuracy %':>18}")
    for network_name in dict.fromkeys(r["network"] for r in rows):
        for method in dict.fromkeys(r["method"] for r in rows):
            chosen = [r for r in rows if (r["network"], r["method"]) == (network_name, method)]
            cells = []
            for key, factor in (("snr_db", 1), ("agreement", 100), ("accuracy", 100)):
                values = [factor * float(str(r[key])) for r in chosen]
                cells.append(f"{statistics.mean(values):.2f} ± {statistics.pstdev(values):.2f}")
            print(f"{network_name!s:22}{method!s:28}{cells[0]:>16}{cells[1]:>18}{cells[2]:>18}")


if __name__ == "__main__":
    main()
