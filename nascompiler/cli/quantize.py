"""`nascompiler quantize`: from a float network and data to an integer one, its accuracy checked."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nascompiler.cli.common import (
    HeadOption,
    JsonOption,
    ModelArgument,
    ResolutionOption,
    ShapeOption,
    WidthOption,
    check_report,
    duration,
    parse_shapes,
    print_json,
    say,
    table,
)
from nascompiler.ir.errors import UsageError

if TYPE_CHECKING:
    from nascompiler.quantization.result import Report

SHOWN = 10
"""Sensitive layers in the table; all are in the report and in the JSON."""

CalibrationOption = Annotated[
    str | None,
    typer.Option(
        "--calibration",
        metavar="DATA",
        help="Folder of images, .npz, .npy of stacked inputs, or data set; default: images generated from the seed.",
    ),
]

PrecisionOption = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="P",
        help="Of activations and weights: int8, int16x8 (16-bit activations), int8x16 (16-bit weights) or int16.",
    ),
]


def quantize(
    model: ModelArgument,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT.nir", help="Graph file to write.")],
    shape: ShapeOption = None,
    width: WidthOption = None,
    resolution: ResolutionOption = None,
    head: HeadOption = None,
    calibration: CalibrationOption = None,
    precision: PrecisionOption = "int8",
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            metavar="LABELS",
            help="Classes for accuracy: .npy, .txt, .csv, or `known`: those of the folders or data set.",
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option("--method", metavar="M", help="Of ranges: mse, min-max, moving-average, percentile, entropy."),
    ] = "mse",
    max_drop: Annotated[
        float | None,
        typer.Option("--max-drop", metavar="POINTS", help="Accuracy that may be lost; layers that hurt fall back."),
    ] = None,
    keep_float: Annotated[
        str, typer.Option("--keep-float", metavar="NODE,...", help="Layers that stay in float.")
    ] = "",
    wide: Annotated[str, typer.Option("--wide", metavar="NODE,...", help="Layers with 16-bit activations.")] = "",
    per_tensor: Annotated[bool, typer.Option("--per-tensor", help="One scale for all weights of a layer.")] = False,
    tables: Annotated[
        bool, typer.Option("--tables", help="Hard-swish and hard-sigmoid as tables of integers.")
    ] = False,
    adaptive_rounding: Annotated[
        bool, typer.Option("--adaptive-rounding", help="Learn which way weights are rounded (AdaRound).")
    ] = False,
    no_equalize: Annotated[bool, typer.Option("--no-equalize", help="Leave out cross-layer equalisation.")] = False,
    no_bias_correction: Annotated[
        bool, typer.Option("--no-bias-correction", help="Leave out bias correction.")
    ] = False,
    samples: Annotated[
        int | None, typer.Option("--samples", metavar="N", min=1, help="Samples to calibrate with; default: up to 256.")
    ] = None,
    evaluate: Annotated[
        int | None,
        typer.Option(
            "--evaluate", metavar="N", min=1, help="Samples for accuracy; default: all with labels, else 256."
        ),
    ] = None,
    sensitivity: Annotated[
        int | None,
        typer.Option("--sensitivity", metavar="N", min=0, help="Samples to find sensitive layers with; default: 2."),
    ] = None,
    mean: Annotated[
        str | None, typer.Option("--mean", metavar="M,M,M", help="Of images, pixels from 0 to 1; default: ImageNet's.")
    ] = None,
    std: Annotated[str | None, typer.Option("--std", metavar="S,S,S", help="Their standard deviation.")] = None,
    bgr: Annotated[bool, typer.Option("--bgr", help="The network takes images as BGR.")] = False,
    target: Annotated[str, typer.Option("--target", "-t", metavar="TARGET", help="See `nascompiler targets`.")] = "cpu",
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Time float and int8 on the target for the verdict.")
    ] = True,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of everything that is drawn.")] = 0,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.html", help="Write a page with everything on it.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Quantise a network to integers; exits with 4, best effort and report written, when --max-drop is missed."""
    from nascompiler import api
    from nascompiler.cli.progress import stages
    from nascompiler.ir.files import SUFFIX
    from nascompiler.quantization.quantize import quantizer_options

    if output.suffix != SUFFIX:
        raise UsageError(f"a graph file ends in {SUFFIX}: {output}")
    check_report(report)
    graph = api.load(model, shapes=parse_shapes(shape) or None, width=width, resolution=resolution, head=head)
    with stages() as progress:
        result = api.quantize(
            graph,
            calibration=calibration,
            labels=labels,
            method=method,
            max_drop=max_drop,
            target=target,
            seed=seed,
            samples=samples,
            evaluate=evaluate,
            sensitivity=2 if sensitivity is None else sensitivity,
            measure=measure,
            mean=_numbers("--mean", mean),
            deviation=_numbers("--std", std),
            channel_order="BGR" if bgr else "RGB",
            progress=progress,
            per_channel=not per_tensor,
            tables=tables,
            adaptive_rounding=adaptive_rounding,
            equalize=not no_equalize,
            correct_bias=not no_bias_correction,
            keep_float=_names(keep_float),
            wide=_names(wide),
            **quantizer_options(precision, target),
        )
    api.save(result.graph, output)
    if report is not None:
        result.report.save(report)
    if json:
        print_json(result.report.to_json())
    else:
        show(result.report)
    say(f"wrote {output}" + ("" if report is None else f" and {report}"))
    result.check()


def show(report: Report) -> None:
    """Print a report: warnings on stderr, sensitive layers and figures as tables, the verdict last."""
    from nascompiler.quantization.noise import decibels_text

    for warning in report.warnings:
        say(f"warning: {warning}")
    if report.sensitivity:
        placed = {row.layer: row.placement for row in report.layers}
        table(
            ("layer", "op", ">alone", ">together", ">by weights", "placement"),
            [
                (
                    row.layer,
                    row.op,
                    decibels_text(row.isolated),
                    decibels_text(row.cumulative),
                    f"{row.weight_share:.0%}",
                    placed[row.layer],
                )
                for row in report.sensitivity[:SHOWN]
            ],
            title=f"the most sensitive of {len(report.sensitivity)} layers, {report.sensitivity_samples} sample(s)",
        )
    reasons = [(row.layer, row.op, row.reason) for row in report.layers if row.placement == "float"]
    if reasons:
        table(("in float", "op", "why"), reasons[:SHOWN] + ([("...", "", "")] if len(reasons) > SHOWN else []))
    if report.attempts:
        changed = [row.placement for row in report.layers]
        counts = f"{changed.count('16 bit')} layers with 16-bit activations, {changed.count('float')} in float"
        say(f"before any fallback: {report.first_score}; after {len(report.attempts)} attempts: {counts}")
    table(("", ">float", f">{report.verdict.precision}", ""), _rows(report))
    print(report.verdict)


def _rows(report: Report) -> list[tuple[Any, ...]]:
    verdict, score, comparison = report.verdict, report.score, report.verdict.latency.comparison
    rows: list[tuple[Any, ...]] = []
    if score is not None:
        floating = "" if score.floating is None else f"{score.floating:.2%}"
        rows.append((score.measure.value, floating, _quality(score.quantized, score.measure.value), _by(report)))
    sizes = [f"{count / 1e6:.2f} MB" for count in (verdict.float_bytes, verdict.quantized_bytes)]
    rows.append(("weights", *sizes, f"{report.integer_share:.1%} of multiply-adds in integers"))
    if comparison is not None:
        times = [duration(comparison.first.median_ns), duration(comparison.second.median_ns)]
        rows.append(("latency", *times, f"{comparison.rounds} rounds in turns, {comparison.threads} thread(s)"))
    return rows


def _quality(value: float, measure: str) -> str:
    if measure != "signal-to-noise":
        return f"{value:.2%}"
    return f"{value:.1f} dB" if isfinite(value) else "exact"


def _by(report: Report) -> str:
    score = report.score
    if score is None:
        return ""
    by = dict.fromkeys((score.float_by, score.quantized_by))
    return f"{score.drop:.2f} points lost on {score.samples} samples, by {' and '.join(by)}"


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{option} {text!r}: write numbers with commas between, for example 0.5,0.5,0.5") from None
