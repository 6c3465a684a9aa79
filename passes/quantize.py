"""From a float network to integers, by samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nascompiler.ir import Array, DType, Graph, UsageError
from nascompiler.ir.errors import unknown
from nascompiler.passes.infrastructure.base import Nothing, Pass, PassContext
from nascompiler.passes.infrastructure.instruments import random_inputs
from nascompiler.passes.infrastructure.registry import register_pass
from nascompiler.passes.quantization.calibration import DEFAULT_METHOD
from nascompiler.passes.quantization.quantizer import QUANTIZED, Settings, quantize_graph


@register_pass
@dataclass(frozen=True)
class Quantize(Pass):
    """Quantise a network after training: integers wherever an op has an integer form.

    `data` is an .npz of arrays by input name, or for a single input an .npy; along their first axis they hold samples
    as the graph takes them. Without `data`, `samples` of seeded noise stand in: good for timing and tests, not for
    accuracy. `calibration` says how ranges are found (see docs/calibration.md), `dtype` is that of activations,
    `weights` that of weights (i8, i16), `byte-tables` keeps tables at 256 entries where activations have 16 bits,
    `whole` computes the outputs in integers as well, `keep-float` and `wide` name nodes that stay in float, or whose
    activations get 16 bits. For folders of images, accuracy and reports there is `nascompiler quantize`.
    """

    data: str = ""
    calibration: str = DEFAULT_METHOD
    dtype: str = "i8"
    weights: str = "i8"
    byte_tables: bool = False
    whole: bool = False
    per_channel: bool = True
    tables: bool = False
    equalize: bool = True
    correct_bias: bool = True
    adaptive_rounding: bool = False
    keep_float: tuple[str, ...] = ()
    wide: tuple[str, ...] = ()
    samples: int = 16
    seed: int = 0

    requires_level = ("nn",)
    requires = frozenset({"static-shapes", "closed"})
    preserves = Nothing("numbers are rounded to integers")

    def run(self, graph: Graph, context: PassContext) -> None:
        settings = Settings(
            dtype=_known("dtype", self.dtype, ("i8", "u8", "i16")),
            weight_dtype=_known("weights", self.weights, ("i8", "i16")),
            byte_tables=self.byte_tables,
            whole=self.whole,
            method=self.calibration,
            per_channel=self.per_channel,
            tables=self.tables,
            equalize=self.equalize,
            correct_bias=self.correct_bias,
            adaptive_rounding=self.adaptive_rounding,
            keep_float=self.keep_float,
            wide=self.wide,
        )
        batches = _from_file(Path(self.data), graph) if self.data else self._noise(graph)
        quantized = quantize_graph(graph, batches, settings)
        context.count("integer nodes", len(quantized.plan.integer))
        context.count("float nodes", len(quantized.plan.reasons))
        for node, reason in quantized.plan.reasons.items():
            context.miss("integer form", node, reason)
        graph.attributes[QUANTIZED] = True
        graph.become(quantized.graph)

    def _noise(self, graph: Graph) -> Iterator[dict[str, Array]]:
        for index in range(self.samples):
            yield random_inputs(graph, self.seed + index)


def _known(option: str, name: str, accepted: tuple[str, ...]) -> DType:
    if name not in accepted:
        raise unknown(option, name, accepted)
    return DType(name)


def _from_file(path: Path, graph: Graph) -> Iterator[dict[str, Array]]:
    """Samples, one at a time, of the inputs of a graph."""
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"quantize: cannot read data={path}: {error}; accepted: .npz, .npy") from None
    names = [value.name for value in graph.inputs]
    arrays = {names[0]: loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    if set(arrays) != set(names):
        raise UsageError(f"quantize: {path} holds {', '.join(arrays)}; the inputs are {', '.join(names)}")
    counts = set()
    for value in graph.inputs:
        shape = arrays[value.name].shape
        if shape[1:] != value.type.static_shape[1:] or value.type.static_shape[:1] != (1,):
            raise UsageError(f"quantize: {path} holds samples {shape} for the input {value.name!r} : {value.type}")
        counts.add(shape[0])
    if len(counts) != 1:
        raise UsageError(f"quantize: {path} holds different numbers of samples: {sorted(counts)}")
    for index in range(counts.pop()):
        yield {v.name: np.asarray(arrays[v.name][index : index + 1], v.type.dtype.numpy) for v in graph.inputs}
