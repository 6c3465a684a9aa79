"""The verb `quantize`: from a float network and data to a quantised one that is as good as asked, with its report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import islice
from pathlib import Path
from typing import Any

from nascompiler.architecture import expanded
from nascompiler.ir import DType, Graph, UsageError, Value, fingerprint, verify
from nascompiler.ir.errors import unknown
from nascompiler.ir.labels import node_labels
from nascompiler.passes.quantization.precision import precision_name, precision_of
from nascompiler.passes.quantization.quantizer import Quantized, Settings, quantize_graph
from nascompiler.quantization.data import CalibrationData, calibration_data
from nascompiler.quantization.data import labels as labels_of
from nascompiler.quantization.fallback import Attempt, fall_back
from nascompiler.quantization.placement import placements
from nascompiler.quantization.result import ActivationRange, QuantizationResult, Report
from nascompiler.quantization.samples import Labels
from nascompiler.quantization.score import Judge, Progress, Score, measure_of
from nascompiler.quantization.sensitivity import DEFAULT_SAMPLES, LayerSensitivity, layers_of, sensitivity
from nascompiler.quantization.verdict import LatencyComparison, Verdict, constant_bytes, measure_latency

SAMPLES = 256
"""Samples to calibrate with, where there are more."""

EVALUATED = 256
"""Samples to compare predictions on without labels; with labels, all are used."""

EVALUATED_GENERATED = 16
"""Generated images to compare predictions on: there is little to learn from more."""

KNOWN = "known"
"""As `labels`: those that come with the data, a data set's own, or the folders that images lie in, sorted."""

RANDOM_WEIGHTS = "the architecture has random weights: size and latency are real, its accuracy says nothing"


@dataclass(frozen=True)
class Request:
    """What `quantize` is asked for, apart from the model. Fields as in `nascompiler.api.quantize`."""

    calibration: object = None
    labels: object = None
    max_drop: float | None = None
    settings: Settings = field(default_factory=Settings)
    samples: int | None = None
    evaluate: int | None = None
    sensitivity_samples: int = 0
    target: str = "cpu"
    seed: int = 0
    measure: bool = False
    mean: Sequence[float] | None = None
    deviation: Sequence[float] | None = None
    channel_order: str = "RGB"


def settings_of(**options: Any) -> Settings:
    """Settings from options by name; raises UsageError for a name that is none of theirs."""
    names = [f.name for f in fields(Settings)]
    for name in options:
        if name not in names:
            raise unknown("option of quantize", name, names)
    for name in ("keep_float", "wide"):
        if name in options:
            given = options[name]
            options[name] = (given,) if isinstance(given, str) else tuple(given)
    for name in ("dtype", "weight_dtype"):
        if isinstance(options.get(name), str):
            options[name] = next((d for d in DType if d.value == options[name]), DType.F32)  # F32: refused by name
    return Settings(**options)


def quantizer_options(precision: str, target: str) -> dict[str, Any]:
    """What a precision by name means for the settings of a network for a target.

    A TPU has tables of 256 entries, and computes up to the outputs, so that the host need not.

    Raises UsageError for an unknown precision.
    """
    bits = precision_of(precision)
    tpu = target.partition(":")[0] == "tpu"
    return {"dtype": bits.activations, "weight_dtype": bits.weights, "byte_tables": tpu, "whole": tpu}


def quantize(graph: Graph, request: Request, *, progress: Progress | None = None) -> QuantizationResult:
    """Quantise a network; an architecture is expanded first.

    Raises UsageError for what cannot be quantised, for data that cannot be read and for names that are not known,
    ModelError for data that do not fit. An accuracy that is not met is no error here: see `QuantizationResult.check`.
    """
    from nascompiler.backends.target import parse_target

    parse_target(request.target)
    network = _network(graph)
    if request.max_drop is not None and not request.max_drop >= 0:
        raise UsageError(f"max_drop is {request.max_drop:g} points; accepted: numbers from 0 on")
    train, judged, labels = _data(network, request)
    measure_of(network, labels is not None)
    quantized = quantize_graph(network, train, request.settings, progress=_stage(progress, "calibration", train.count))
    verify(quantized.graph)

    judge = Judge(
        network,
        judged,
        count=judged.count or request.evaluate or EVALUATED,
        labels=labels,
        target=request.target,
        progress=progress,
    )
    first = score = judge.score(quantized.graph)
    rows: list[LayerSensitivity] = []
    attempts: tuple[Attempt, ...] = ()
    missed = request.max_drop is not None and score.drop > request.max_drop
    used = request.sensitivity_samples or (DEFAULT_SAMPLES if missed else 0)
    if used:
        total = used * len(layers_of(quantized))
        rows = sensitivity(quantized, train, samples=used, progress=_stage(progress, "sensitivity", total))
    if missed and request.max_drop is not None:
        found = fall_back(quantized, score, rows, request.max_drop, judge.score)
        quantized, score, attempts = found.quantized, found.score, found.attempts
    verdict = _verdict(network, quantized.graph, request, score)
    warnings = [RANDOM_WEIGHTS] if graph.level == "arch" else []
    report = _report(network, quantized, request, train, judged, verdict, rows, used, first, attempts, warnings)
    return QuantizationResult(quantized.graph, report, quantized)


def _network(graph: Graph) -> Graph:
    if graph.is_open:
        raise UsageError(
            f"{graph.name} is a search space: close its choices first, for example with "
            f"nascompiler opt {graph.name} --passes 'decide{{seed=0}},expand-cells' -o network.nir"
        )
    if any(node.op.dialect == "qnn" for node in graph.nodes):
        raise UsageError(f"{graph.name} is quantised already; quantise the float network")
    network = expanded(graph)
    open_ = [v for v in network.inputs if not v.type.is_static]
    if open_:
        listed = ", ".join(f"{v.name}: {v.type}" for v in open_)
        raise UsageError(
            f"{graph.name} has inputs of open sizes ({listed}); give their shapes, --shape NAME=1x3x224x224"
        )
    return network


def _data(network: Graph, request: Request) -> tuple[CalibrationData, CalibrationData, Labels | None]:
    """Samples to calibrate with, samples to judge with, and the labels of the latter."""
    train, judged = _specs(request)
    images: dict[str, Any] = {
        "mean": request.mean,
        "deviation": request.deviation,
        "channel_order": request.channel_order,
    }
    generated = train is None
    # images of another seed than those that ranges were made for
    seed = request.seed + 1 if generated else request.seed
    limit = request.samples or (None if generated else SAMPLES)
    calibration = calibration_data(train, network, limit=limit, seed=request.seed, **images)
    wanted = request.labels
    known = wanted is None and judged is not train and not generated  # the held-out part of a data set
    if wanted is None and not known:
        most = request.evaluate or (EVALUATED_GENERATED if generated else EVALUATED)
        return calibration, calibration_data(judged, network, limit=most, seed=seed, **images), None
    if generated:
        raise UsageError("labels need calibration data that they belong to; generated images have none")
    data = calibration_data(judged, network, limit=request.evaluate, seed=seed, **images)
    given = None if known or (isinstance(wanted, str) and wanted == KNOWN) else wanted
    return calibration, data, labels_of(given, data)  # type: ignore[arg-type]


def _specs(request: Request) -> tuple[object, object]:
    """What to calibrate with, and what to judge with: of a data set, its training and its held-out images."""
    spec = request.calibration
    if isinstance(spec, str) and not Path(spec).exists():
        from nascompiler.data.load import FROM_FOLDER, MADE, load_dataset

        if spec.partition(":")[0] in {*MADE, *FROM_FOLDER}:
            spec = load_dataset(spec)
    if hasattr(spec, "train") and hasattr(spec, "held_out") and request.labels is None:
        return spec.train, spec.held_out
    if isinstance(spec, Iterator):  # it can be read only once, and is wanted three times
        spec = list(islice(spec, max(request.samples or SAMPLES, request.evaluate or 0)))
    return spec, spec


def _stage(progress: Progress | None, name: str, total: int | None) -> Callable[[int], None] | None:
    return None if progress is None else lambda done: progress(name, done, total)


def _verdict(network: Graph, quantized: Graph, request: Request, score: Score) -> Verdict:
    if request.measure:
        latency = measure_latency(network, quantized, request.target)
    else:
        latency = LatencyComparison(request.target, None, "not asked for")
    name = precision_name(request.settings.dtype, request.settings.weight_dtype)
    return Verdict(score, constant_bytes(network), constant_bytes(quantized), latency, request.max_drop, name)


def _report(
    network: Graph,
    quantized: Quantized,
    request: Request,
    train: CalibrationData,
    judged: CalibrationData,
    verdict: Verdict,
    rows: Iterable[LayerSensitivity],
    used: int,
    first: Score,
    attempts: tuple[Attempt, ...],
    warnings: list[str],
) -> Report:
    settings = {k: str(v) if isinstance(v, DType) else v for k, v in asdict(quantized.settings).items()}
    warnings = [*quantized.calibration.warnings, *warnings]
    if train.generated:
        warnings.append(f"calibrated on {train.description}")
    return Report(
        model=network.name,
        target=request.target,
        settings={**settings, "seed": request.seed},
        data=train.description,
        generated=train.generated,
        samples=quantized.calibration.images,
        evaluation=judged.description,
        ranges=tuple(_ranges(quantized)),
        layers=tuple(placements(quantized)),
        sensitivity=tuple(rows),
        sensitivity_samples=used,
        first_score=first,
        attempts=attempts,
        verdict=verdict,
        fingerprint=fingerprint(quantized.graph),
        warnings=tuple(warnings),
    )


def _ranges(quantized: Quantized) -> Iterator[ActivationRange]:
    labels = node_labels(quantized.prepared)
    for value, quantization in quantized.activations.items():
        (scale,), (zero_point,) = quantization.scale, quantization.zero_point
        found = quantized.calibration.ranges[value]
        dtype = str(quantized.plan.values[value])
        yield ActivationRange(_name(value, labels), dtype, found.low, found.high, scale, zero_point)


def _name(value: Value, labels: Mapping[Any, str]) -> str:
    return value.name or (labels[value.producer] if value.producer is not None else "constant")
