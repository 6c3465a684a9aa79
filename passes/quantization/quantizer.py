"""Post-training quantisation from a float graph and samples to the integer graph, keeping what was made on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

from nascompiler.ir import Array, DType, Graph, ModelError, Node, Quantization, Value, verify
from nascompiler.ir.errors import UsageError, choices_text, unknown
from nascompiler.ir.labels import node_labels
from nascompiler.passes.equalization.observation import channel_ranges
from nascompiler.passes.equalize_cross_layer import equalize
from nascompiler.passes.infrastructure.manager import run_pipeline
from nascompiler.passes.quantization.adaptive_rounding import adaptive_rounding
from nascompiler.passes.quantization.bias_correction import corrected_biases
from nascompiler.passes.quantization.calibration import DEFAULT_METHOD, Calibration, calibrate
from nascompiler.passes.quantization.calibration.methods import collector_maker
from nascompiler.passes.quantization.insertion import Scales, insert_fake_quantization
from nascompiler.passes.quantization.parameters import (
    WEIGHT_METHODS,
    activation_quantization,
    scales_for_bias,
    scales_for_sums,
    weight_scales,
)
from nascompiler.passes.quantization.plan import Plan, make_plan
from nascompiler.passes.quantization.preparation import prepare

QUANTIZED = "quantized"
"""The attribute of a graph that no longer computes what the file it came from does."""
EQUALIZING = 16
"""Samples that the ranges of single channels are taken from."""
FEW = 32
"""Samples that are kept for adaptive rounding."""
ACTIVATION_TYPES = (DType.I8, DType.U8, DType.I16)
WEIGHT_TYPES = (DType.I8, DType.I16)


@dataclass(frozen=True)
class Settings:
    """What to do with a network. `keep_float` and `wide` name nodes of the prepared graph, see `ir.labels`."""

    dtype: DType = DType.I8
    """Of activations: i8, u8 or i16."""
    weight_dtype: DType = DType.I8
    """Of weights: i8 or i16."""
    byte_tables: bool = False
    """Tables of 256 entries alone: what they are looked up by has 8 bits even where activations have 16."""
    whole: bool = False
    """What makes the outputs is integer too where it can be."""
    method: str = DEFAULT_METHOD
    """How ranges of activations are found: one of `calibration.METHODS`."""
    weight_method: str = "mse"
    """How far weights reach: `max`, or `mse`."""
    per_channel: bool = True
    """A scale for each output channel of the weights, or one for all."""
    tables: bool = False
    """Hard-swish and hard-sigmoid behind a sum as tables behind a rounding, else in float32 before the rounding."""
    equalize: bool = True
    """Cross-layer equalisation where it is valid: by ranges of activations, or by weights where they share a scale."""
    correct_bias: bool = True
    """Biases that make up for what rounding weights does to the mean of each channel."""
    adaptive_rounding: bool = False
    """Weights rounded up or down as samples want it."""
    keep_float: tuple[str, ...] = ()
    """Nodes that stay in float."""
    wide: tuple[str, ...] = ()
    """Nodes whose activations have 16 bits."""

    def __post_init__(self) -> None:
        collector_maker(self.method)
        if self.weight_method not in WEIGHT_METHODS:
            raise unknown("method for weights", self.weight_method, WEIGHT_METHODS)
        if self.dtype not in ACTIVATION_TYPES:
            raise UsageError(f"activations cannot be {self.dtype}; accepted: {choices_text(ACTIVATION_TYPES)}")
        if self.weight_dtype not in WEIGHT_TYPES:
            raise UsageError(f"weights cannot be {self.weight_dtype}; accepted: {choices_text(WEIGHT_TYPES)}")


@dataclass(frozen=True)
class Quantized:
    """A quantised network, and all that was made on the way to it."""

    settings: Settings
    prepared: Graph
    """The float network, as repaired and as its nodes are named in settings."""
    plan: Plan
    calibration: Calibration
    activations: dict[Value, Quantization]
    weights: dict[Node, Scales]
    fake: Graph
    """The fake-quantised graph: float ops on numbers that integers can stand for."""
    graph: Graph
    """The result: integers, joined by quantize and dequantize to what stays in float."""
    samples: tuple[Mapping[str, Array], ...]
    """The first few of the samples, for what looks at them again."""


def quantize_graph(
    graph: Graph,
    batches: Iterable[Mapping[str, Array]],
    settings: Settings | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> Quantized:
    """Quantise a float network with sizes known, by samples: arrays by input name.

    `progress` is called with the number of samples seen so far. Raises UsageError for a graph at another level, for
    unknown names in the settings and when there are no samples; ModelError for samples that do not fit.
    """
    settings = settings or Settings()
    if any(node.op.dialect == "qnn" for node in graph.nodes):
        raise UsageError(f"{graph.name} is quantised already; quantise the float network")
    remaining = iter(batches)
    first = list(islice(remaining, FEW))
    prepared = prepare(graph)
    if settings.equalize and first:
        equalize(prepared, channel_ranges(prepared, first[:EQUALIZING]) if settings.per_channel else None)
    plan = _plan(prepared, settings)
    if not plan.integer:
        raise UsageError(f"{graph.name}: nothing to quantise; {_commonest(plan)}")
    calibration = calibrate(
        prepared,
        chain(first, remaining),
        list(plan.values),
        method=settings.method,
        dtype=plan.values,
        groups=plan.groups,
        limits=plan.limits,
        progress=progress,
    )
    return _finish(prepared, plan, calibration, settings, first)


def replan(quantized: Quantized, settings: Settings) -> Quantized:
    """The same network by the same samples with other nodes in float or 16 bits, or weights scaled otherwise."""
    made = ("dtype", "byte_tables", "whole", "method", "tables", "equalize")
    fixed = {name: getattr(quantized.settings, name) for name in made}
    settings = replace(settings, **fixed)
    plan = _plan(quantized.prepared, settings)
    return _finish(quantized.prepared, plan, quantized.calibration, settings, quantized.samples)


def _plan(prepared: Graph, settings: Settings) -> Plan:
    labels = {label: node for node, label in node_labels(prepared).items()}
    for name in (*settings.keep_float, *settings.wide):
        if name not in labels:
            raise unknown("layer", name, labels)
    return make_plan(
        prepared,
        dtype=settings.dtype,
        tables=settings.tables,
        byte_tables=settings.byte_tables,
        whole=settings.whole,
        keep_float=[labels[name] for name in settings.keep_float],
        wide=[labels[name] for name in settings.wide],
    )


def _finish(
    prepared: Graph, plan: Plan, calibration: Calibration, settings: Settings, samples: Sequence[Mapping[str, Array]]
) -> Quantized:
    activations = {v: _quantization(v, dtype, calibration, settings) for v, dtype in plan.values.items()}
    dtype = settings.weight_dtype
    weights = {
        node: _weight_scales(node, settings, plan.values[node.operands[0]], activations[node.operands[0]])
        for node in plan.sums
        if node.op.name != "nn.matmul"
    }
    rounded = adaptive_rounding(prepared, weights, samples, dtype=dtype) if settings.adaptive_rounding else None
    corrects = settings.correct_bias
    biases = corrected_biases(weights, calibration.means, weights=rounded, dtype=dtype) if corrects else {}
    for node, scales in weights.items():
        bias = biases.get(node, node.operands[2].array if len(node.operands) > 2 else None)
        if bias is not None:
            weights[node] = scales_for_bias(scales, bias, activations[node.operands[0]].scale[0])
    fake = insert_fake_quantization(
        plan, activations, weights, weight_values=rounded, biases=biases, weight_dtype=dtype
    )
    verify(fake)
    fake.attributes[QUANTIZED] = True
    integers = run_pipeline(fake, "fake-quantization-to-integer")
    return Quantized(settings, prepared, plan, calibration, activations, weights, fake, integers, tuple(samples))


def _quantization(value: Value, dtype: DType, calibration: Calibration, settings: Settings) -> Quantization:
    known = dtype is settings.dtype
    return activation_quantization(calibration.ranges[value] if known else calibration.range_for(value, dtype), dtype)


def _weight_scales(node: Node, settings: Settings, x_dtype: DType, x: Quantization) -> Scales:
    weight, dtype = node.operands[1], settings.weight_dtype
    if weight.array is None:
        raise ModelError(f"{node!r}: the values of its weights are not loaded")
    per_channel = settings.per_channel and not (node.op.name == "nn.conv2d_transpose" and node["groups"] > 1)
    axis = weight.array.ndim - 1
    method = settings.weight_method
    scales = weight_scales(weight.array, axis, per_channel=per_channel, method=method, dtype=dtype)
    if DType.I16 not in (dtype, x_dtype):
        return scales
    bias = node.operands[2].array if len(node.operands) > 2 else None
    return scales_for_sums(scales, weight.array, bias, x, x_dtype)


def _commonest(plan: Plan) -> str:
    reasons = list(plan.reasons.values())
    return f"most often because {max(reasons, key=reasons.count)}" if reasons else "it has no nodes"
