"""What quantisation changes in the trained OCR models: predictions of the classifier, the mask of the detector.

    python benchmarks/quantized_ocr.py [--lines 10000] [--pages 24] [--seeds 3]

The direction classifier is calibrated on 128 rendered lines, drawn by the seed, and compared with float on others: the
share of predictions that change. The detector is calibrated on 32 rendered pages; compared are the pixels of its map
above 0.3, the threshold of PP-OCR: intersection over union with those of the float map, over all pages. Both float and
quantised networks are compiled for `cpu`, whose integers are those of the reference.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from numpy.typing import NDArray

from nascompiler import api
from nascompiler.data.models import ocr_model
from nascompiler.data.text_lines import text_lines
from nascompiler.data.text_pages import text_pages
from nascompiler.ir import Graph
from nascompiler.passes.quantization.quantizer import quantize_graph

THRESHOLD = 0.3
SIDE = 320

Floats = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--pages", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    direction = api.load(ocr_model("direction"), shapes={"x": (1, 3, 48, 192)})
    lines, labels = text_lines(options.lines, seed=1_000)
    exact = compiled(direction, lines).reshape(len(lines), -1).argmax(1)
    print(f"direction, float: accuracy {(exact == labels).mean():.2%} on {len(lines)} lines")
    for seed in range(options.seeds):
        graph = quantized(direction, text_lines(128, seed=seed)[0])
        made = compiled(graph, lines).reshape(len(lines), -1).argmax(1)
        print(
            f"direction, int8, seed {seed}: {(made != exact).mean():.3%} of predictions changed, accuracy "
            f"{(made == labels).mean():.2%}; {in_float(graph)}",
            flush=True,
        )
    detection = api.load(ocr_model("detection"), shapes={"x": (1, 3, SIDE, SIDE)})
    pages = text_pages(options.pages, seed=1_000, size=SIDE)[0]
    text = compiled(detection, pages) > THRESHOLD
    for seed in range(options.seeds):
        graph = quantized(detection, text_pages(32, seed=seed, size=SIDE)[0])
        found = compiled(graph, pages) > THRESHOLD
        overlap = (text & found).sum() / (text | found).sum()
        print(f"detection, int8, seed {seed}: IoU {overlap:.4f} on {len(pages)} pages; {in_float(graph)}", flush=True)


def quantized(graph: Graph, samples: Floats) -> Graph:
    began = time.monotonic()
    made = quantize_graph(graph, ({"x": sample[None]} for sample in samples))
    print(f"  quantised in {time.monotonic() - began:.0f} s on {len(samples)} samples", flush=True)
    return made.graph


def compiled(graph: Graph, images: Floats) -> Floats:
    """The only output for each image, by the compiled artifact."""
    artifact = api.compile(graph, "cpu", threads=1)
    (name,) = (spec.name for spec in artifact.outputs)
    return np.concatenate([artifact.run({"x": image[None]})[name] for image in images])


def in_float(graph: Graph) -> str:
    """Which computing nodes are not integers, and how many convolutions are."""
    nodes = [n for n in graph.nodes if n.op.dialect == "nn" and any(v.type.dtype.is_float for v in n.results)]
    integer = sum(n.op.name in ("qnn.conv2d", "qnn.conv2d_transpose", "qnn.linear") for n in graph.nodes)
    return f"{integer} convolutions and linears in integers; in float: {', '.join(n.op.name for n in nodes) or 'none'}"


if __name__ == "__main__":
    main()
