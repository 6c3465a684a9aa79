"""The main job on a real trained network, end to end; `make demo` runs this.

The text-direction classifier of the rapidocr-onnxruntime package (MobileNetV3-like, with squeeze-excite and hard-swish)
is imported as it is, optimised, compiled for this CPU, verified against the reference evaluator and ONNX Runtime,
judged on rendered lines of text, and timed side by side with ONNX Runtime.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

import nascompiler as nc
from nascompiler.cli.common import count, duration, say, table
from nascompiler.data.models import ocr_model
from nascompiler.data.text_lines import text_lines
from nascompiler.ir import Array

LINES = 500
SHAPE = (1, 3, 48, 192)


def accuracy(answer: Callable[[Array], Array], images: Array, labels: Array) -> float:
    """Share of lines whose direction (0: upright, 1: upside down) is recognised."""
    right = [int(answer(image[None]).argmax()) == label for image, label in zip(images, labels, strict=True)]
    return float(np.mean(right))


def main() -> None:
    path = ocr_model("direction")
    say(f"importing {path.name} as it is")
    graph = nc.load(path, shapes={"x": SHAPE})
    before = nc.inspect(graph)

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "direction"
        say("optimising and compiling for cpu")
        start = time.process_time()
        artifact = nc.compile(path, "cpu", folder, shapes={"x": SHAPE})
        compile_s = time.process_time() - start
        calls = artifact.manifest.calls

        say("verifying against the reference evaluator and ONNX Runtime")
        verification = nc.verify(artifact)
        say(str(verification))
        verification.check()

        say(f"recognising the direction of {LINES} rendered lines")
        images, labels = text_lines(LINES, seed=1)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        ours = accuracy(lambda x: next(iter(artifact.run({name: x}).values())), images, labels)
        theirs = accuracy(lambda x: session.run(None, {name: x})[0], images, labels)

        say("timing side by side, one thread")
        result = nc.bench(artifact, against=["onnxruntime"], rounds=12, burst_ms=300)
        from nascompiler.cli.bench import show

        show(result)
        entries = {entry.name: entry for entry in result.entries}

        def latency(runtime: str) -> str:
            if runtime not in entries:
                return "not measured"
            figures = entries[runtime].latency
            return f"{duration(figures.median_ns)} ± {duration(figures.mad_ns)}"

        table(
            ("OCR direction classifier", ">nascompiler", ">ONNX Runtime"),
            [
                ("latency, median ± mad", latency("nascompiler"), latency("onnxruntime")),
                ("accuracy on rendered lines", f"{ours:.1%}", f"{theirs:.1%}"),
                ("largest difference / largest output", f"{verification.largest_difference:.1e}", "-"),
                ("parameters", count(before.params), "-"),
                ("multiply-adds", count(sum(call.macs for call in calls)), "-"),
                ("nodes imported -> kernel calls", f"{sum(before.ops.values())} -> {len(calls)}", "-"),
                ("compile time (CPU)", f"{compile_s:.1f} s", "-"),
            ],
        )


if __name__ == "__main__":
    main()
