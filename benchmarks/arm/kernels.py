"""What kernels make of a core: pointwise convolutions beside its multiply-adds, depthwise ones beside TVM's own code.

    python -m benchmarks.arm.kernels [--target arm:cortex-a72] [--kind pointwise|depthwise] [--json]

Estimated cycles of single calls, default kernels. `of peak` is the share of the multiply-adds that the model of the
core allows in the cycles of its pipeline, operands in its caches. The exit code is 4 when a pointwise convolution of at
least 64 channels on both sides and 49 pixels is below 85 %, or a depthwise one less than twice as fast as TVM's code
unless it mostly waits for memory, as TVM's does as well.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from nascompiler.backends.arm.estimate.estimator import Estimator
from nascompiler.backends.cpu.choice import TVM, Choice, variants
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.target import Target, parse_target
from nascompiler.backends.tvm_adapter.variants import compile_variant
from nascompiler.ir import Builder, Graph
from nascompiler.ir.cost import node_cost

PEAKS = {"cortex-a72": 4, "cortex-a76": 8, "neoverse-n1": 8, "cortex-x1": 16}
"""Multiply-adds of float32 a cycle that the models of cores allow: 4 for each unit of multiply-adds."""

POINTWISE = [(49, 64, 64), (49, 160, 960), (49, 960, 160), (196, 64, 384), (196, 80, 480), (196, 480, 112)]
POINTWISE += [(784, 64, 64), (784, 128, 256), (3136, 64, 128), (100, 72, 100), (50, 64, 64), (53, 96, 68)]
"""Pixels, channels, features."""

DEPTHWISE = [(112, 32, 3, 1), (112, 96, 3, 2), (56, 144, 3, 1), (28, 192, 5, 1), (14, 480, 3, 1), (14, 576, 5, 2)]
DEPTHWISE += [(7, 960, 5, 1), (7, 960, 3, 1)]
"""Height and width, channels, kernel, stride."""

LEAST_SHARE, LEAST_GAIN = 0.85, 2.0


@dataclass(frozen=True)
class Row:
    """A call: cycles of the pipeline and in all, multiply-adds, and cycles of TVM's own code, if it was asked."""

    name: str
    compute: float
    total: float
    macs: int
    tvm_total: float | None = None

    def share(self, peak: int) -> float:
        """The share of a core's multiply-adds in the cycles of its pipeline."""
        return self.macs / (self.compute * peak)


def pointwise(pixels: int, channels: int, features: int) -> Graph:
    """A pointwise convolution with relu of a row of pixels."""
    generator = np.random.default_rng(0)
    build = Builder("pointwise")
    x = build.input("x", (1, 1, pixels, channels))
    weight, bias = (
        build.constant(generator.standard_normal(shape, dtype=np.float32))
        for shape in ((1, 1, channels, features), (features,))
    )
    return build.outputs(y=build.op("cpu.conv2d", x, weight, bias, activation="relu"))


def depthwise(size: int, channels: int, kernel: int, stride: int) -> Graph:
    """A depthwise convolution with relu, padded to the same size."""
    generator = np.random.default_rng(0)
    build = Builder("depthwise")
    x = build.input("x", (1, size, size, channels))
    weight, bias = (
        build.constant(generator.standard_normal(shape, dtype=np.float32))
        for shape in ((kernel, kernel, 1, channels), (channels,))
    )
    how = {"strides": (stride, stride), "padding": (kernel // 2,) * 4, "activation": "relu"}
    return build.outputs(y=build.op("cpu.depthwise_conv2d", x, weight, bias, **how))


def estimate(graph: Graph, target: Target, estimator: Estimator, *, by_tvm: bool) -> Row:
    """The default kernel of a graph of one call, and TVM's code beside it."""
    (node,) = graph.nodes
    call = KernelCall.of(node)
    name, made = next(iter(variants(call, target).items()))
    inputs = [np.random.default_rng(1).standard_normal(v.type.static_shape, dtype=np.float32) for v in graph.inputs]

    def cycles(choice: Choice) -> tuple[float, float]:
        with tempfile.TemporaryDirectory() as folder:
            compiled = compile_variant(graph, choice, target, Path(folder))
            found = estimator.estimate(compiled, inputs, Path(folder)).cycles
            return found.compute, found.total

    compute, total = cycles(Choice(name, made, "default"))
    tvm_total = cycles(Choice(TVM, None, "to compare"))[1] if by_tvm else None
    return Row(name, compute, total, node_cost(node).macs or 0, tvm_total)


def rows(target: Target, kind: str) -> Iterator[tuple[str, Row]]:
    """What each shape takes."""
    estimator = Estimator(target)
    if kind == "pointwise":
        for pixels, channels, features in POINTWISE:
            yield (
                f"{pixels} x {channels} x {features}",
                estimate(pointwise(pixels, channels, features), target, estimator, by_tvm=False),
            )
    else:
        for size, channels, kernel, stride in DEPTHWISE:
            graph = depthwise(size, channels, kernel, stride)
            yield (
                f"{size} x {size} x {channels}, {kernel} x {kernel} / {stride}",
                estimate(graph, target, estimator, by_tvm=True),
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="arm:cortex-a72")
    parser.add_argument("--kind", choices=("pointwise", "depthwise"), default="pointwise")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    target = parse_target(options.target)
    assert target.core is not None
    peak = PEAKS[target.core.model.processor if target.core.name not in PEAKS else target.core.name]
    found, is_missed = [], False
    for shape, row in rows(target, options.kind):
        gain = None if row.tvm_total is None else row.tvm_total / row.total
        waits = row.total > 2 * row.compute
        is_missed |= gain < LEAST_GAIN and not waits if gain is not None else row.share(peak) < LEAST_SHARE
        found.append({"shape": shape, **asdict(row), "of_peak": row.share(peak), "gain": gain})
        if not options.json:
            beside = "" if gain is None else f"  {gain:5.1f} times TVM's"
            print(
                f"{shape:32} {row.name:28} {row.compute / 1000:9.1f} k {row.total / 1000:9.1f} k cycles "
                f"{row.macs / row.total:5.2f} MAC/cycle {row.share(peak):5.0%} of peak{beside}",
                flush=True,
            )
    if options.json:
        print(json.dumps({"target": str(target), "kind": options.kind, "rows": found}, indent=1))
    return 4 if is_missed else 0


if __name__ == "__main__":
    sys.exit(main())
