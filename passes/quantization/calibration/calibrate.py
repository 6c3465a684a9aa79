"""Ranges and means of a graph's values over samples, in one pass over them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from nascompiler.ir import Array, DType, Graph, ModelError, Value, evaluate
from nascompiler.ir.errors import UsageError, choices_text
from nascompiler.passes.quantization.calibration.collectors import Collector
from nascompiler.passes.quantization.calibration.methods import DEFAULT_METHOD, collector_maker
from nascompiler.passes.quantization.ranges import Range

QUANTIZED_TYPES = (DType.I8, DType.U8, DType.I16)


@dataclass
class Calibration:
    """What samples tell about values, in topological order."""

    ranges: dict[Value, Range]
    means: dict[Value, Array]
    """float32 [C]: the mean over all samples and positions for each index of the last axis; bias correction needs it.
    The mean of what the value holds, whatever limits were given."""
    images: int
    """How many samples were seen."""
    constant: tuple[Value, ...]
    """Values that never changed: a range from so little is a guess."""
    warnings: list[str]
    collectors: dict[Value, Collector] = field(default_factory=dict, repr=False)
    """What the ranges were made from; values that share a range share it."""

    def range_for(self, value: Value, dtype: DType, *, symmetric: bool = False) -> Range:
        """The range of a value for another integer type than the one calibrated for: more integers, less clipping."""
        return self.collectors[value].range(dtype, symmetric)


class _Observed:
    """What is gathered about one value."""

    def __init__(self, collector: Collector, limits: tuple[float, float]) -> None:
        self.collector, self.limits = collector, limits
        self.low, self.high = inf, -inf
        self.sums = np.zeros(0)
        self.rows = 0

    def add(self, array: Array) -> None:
        """Take in numbers [..., C]; raises FloatingPointError when one is NaN or infinite."""
        from nascompiler.passes.quantization.calibration import kernels

        numbers = np.ascontiguousarray(array, np.float32)
        if numbers.size == 0:
            return
        low, high = float(numbers.min()), float(numbers.max())  # NaN comes through
        if not (np.isfinite(low) and np.isfinite(high)):
            raise FloatingPointError
        rows = numbers.reshape(-1, numbers.shape[-1] if numbers.ndim else 1)
        if not self.rows:
            self.sums = np.zeros(rows.shape[1])
        kernels.add_rows(rows, self.sums)
        self.rows += len(rows)
        self.low, self.high = min(self.low, low), max(self.high, high)
        least, most = map(float, np.array(self.limits, np.float32))
        if low < least or high > most:
            numbers = np.clip(numbers, np.float32(least), np.float32(most))
            low, high = min(max(low, least), most), min(max(high, least), most)
        self.collector.observe(numbers.reshape(-1), low, high)


def calibrate(
    graph: Graph,
    batches: Iterable[Mapping[str, Array]],
    values: Collection[Value],
    *,
    method: str = DEFAULT_METHOD,
    dtype: DType | Mapping[Value, DType] = DType.I8,
    symmetric: bool = False,
    groups: Sequence[Sequence[Value]] = (),
    limits: Mapping[Value, tuple[float, float]] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Calibration:
    """Evaluate a graph on batches of samples and find a range for each of the values.

    A batch has an array for each input, by name; the first axis of the first input counts its samples. `values` are
    float: inputs of the graph, results of its nodes, constants. `method` is one of `METHODS`; `dtype` is the integer
    type to come, for all values or for each. The values of one of the `groups` get one range, made for the numbers of
    all of them. Numbers beyond the `limits` of a value count as the limit: its users do not tell them apart.
    `progress` is called after each batch with the number of samples so far. Memory does not grow with the samples.

    Raises UsageError when there is no sample, or a value is not of this graph; ModelError when a batch does not fit the
    inputs, and when an input or a value is NaN or infinite, naming it and the sample.
    """
    observed = _collectors(graph, values, collector_maker(method), groups, limits or {})
    types = {v: dtype if isinstance(dtype, DType) else dtype[v] for v in observed}
    for value, type_ in types.items():
        if type_ not in QUANTIZED_TYPES:
            raise UsageError(f"{value!r} cannot be quantised to {type_}; accepted: {choices_text(QUANTIZED_TYPES)}")
    collectors = list(dict.fromkeys(o.collector for o in observed.values()))
    changing = {v: o for v, o in observed.items() if not v.is_constant}
    images = 0

    def observe(value: Value, array: Array) -> None:
        if value in changing:
            try:
                changing[value].add(array)
            except FloatingPointError:
                raise ModelError(_not_finite(f"%{value.name or '?'}", array, images, samples)) from None

    for value, about in observed.items():
        if value.constant is not None:
            try:
                about.add(value.constant.array)
            except FloatingPointError:
                raise ModelError(f"the constant @{value.name or '?'} holds NaN or infinity") from None
    for batch in batches:
        samples = _samples(graph, batch)
        for value in graph.inputs:
            array = np.asarray(batch.get(value.name, 0))
            if array.dtype.kind == "f" and array.size and not np.isfinite([array.min(), array.max()]).all():
                raise ModelError(_not_finite(f"input {value.name!r}", array, images, samples))
        evaluate(graph, batch, observe=observe)
        for value in graph.inputs:
            observe(value, np.asarray(batch[value.name]))
        images += samples
        for collector in collectors:
            collector.end_batch()
        if progress is not None:
            progress(images)
    if not images:
        raise UsageError("no calibration data: at least one sample is needed, some hundred are better")
    empty = [v for v, o in observed.items() if not o.rows]
    if empty:
        raise ModelError(f"{', '.join(map(repr, empty))}: nothing to calibrate, there are no elements")
    constant = tuple(v for v, o in changing.items() if o.low == o.high)
    makers = {(o.collector, types[v]) for v, o in observed.items()}
    ranges = {(collector, type_): collector.range(type_, symmetric) for collector, type_ in makers}
    return Calibration(
        ranges={v: ranges[o.collector, types[v]] for v, o in observed.items()},
        means={v: (o.sums / o.rows).astype(np.float32) for v, o in observed.items()},
        images=images,
        constant=constant,
        warnings=_warnings(images, constant),
        collectors={v: o.collector for v, o in observed.items()},
    )


def _collectors(
    graph: Graph,
    values: Collection[Value],
    make: Callable[[], Collector],
    groups: Sequence[Sequence[Value]],
    limits: Mapping[Value, tuple[float, float]],
) -> dict[Value, _Observed]:
    """What observes each value, in topological order; values of one group share a collector."""
    wanted = set(values)
    ordered = [*graph.inputs]
    for node in graph.nodes:
        ordered += [v for v in node.operands if v.is_constant]
        ordered += node.results
    ordered = [v for v in dict.fromkeys(ordered) if v in wanted]
    foreign = wanted.difference(ordered)
    if foreign:
        raise UsageError(f"not of the graph @{graph.name}: {', '.join(sorted(map(repr, foreign)))}")
    integers = [v for v in ordered if not v.type.dtype.is_float]
    if integers:
        raise UsageError(f"not float: {', '.join(map(repr, integers))}; only float values are calibrated")
    shared = {v: group for group in groups for v in group}
    made: dict[int, Collector] = {}
    observed = {}
    for value in ordered:
        key = id(shared.get(value, value))
        if key not in made:
            made[key] = make()
        observed[value] = _Observed(made[key], limits.get(value, (-inf, inf)))
    return observed


def _samples(graph: Graph, batch: Mapping[str, Array]) -> int:
    """How many samples a batch has; what is wrong with it, `evaluate` says."""
    first = np.asarray(batch.get(graph.inputs[0].name, 0)) if graph.inputs else np.zeros(())
    return len(first) if first.ndim else 1


def _not_finite(what: str, array: Array, before: int, samples: int) -> str:
    """The words for NaN or infinity in an array, with the number of the sample where its first axis tells."""
    place = np.argwhere(~np.isfinite(array))[0]
    kind = "NaN" if np.isnan(array[tuple(place)]) else "infinity"
    if samples == 1 or (array.ndim and len(array) == samples):
        where = f"sample {before + (int(place[0]) if samples > 1 else 0)}"
    else:
        where = f"samples {before} to {before + samples - 1}"
    return f"{what} holds {kind} in {where} (the first is 0); calibration needs finite numbers"


def _warnings(images: int, constant: Sequence[Value]) -> list[str]:
    warnings = []
    if images == 1:
        warnings.append("calibrated on a single sample: ranges from so little are guesses; some hundred are better")
    if constant:
        named = ", ".join(f"%{v.name or '?'}" for v in constant[:5])
        more = f" and {len(constant) - 5} more" if len(constant) > 5 else ""
        warnings.append(f"never changed during calibration: {named}{more}")
    return warnings
