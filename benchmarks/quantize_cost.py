"""What quantising MobileNetV3-Large with 64 images of 224x224 costs: time and memory, with everything of a cold start.

    python benchmarks/quantize_cost.py [--images 64]

Calibration, repair, the integer graph and its verification; the sensitivity of layers and the accuracy check are
`nascompiler quantize`'s and not part of it. Memory is the largest resident set of the process.
"""

from __future__ import annotations

import argparse
import resource
import time

from nascompiler import api
from nascompiler.architecture import expanded
from nascompiler.passes.quantization.quantizer import quantize_graph
from nascompiler.verification import synthetic_inputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64)
    options = parser.parse_args()
    graph = expanded(api.load("mobilenet-v3-large"))
    drawn = synthetic_inputs(graph, 0)
    images = [next(drawn) for _ in range(options.images)]
    wall, cpu = time.monotonic(), time.process_time()
    made = quantize_graph(graph, iter(images))
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{made.graph.name}: {options.images} images in {wall:.1f} s, {cpu:.1f} s of CPU time, largest resident set "
        f"{memory:.0f} MiB"
    )


if __name__ == "__main__":
    main()
