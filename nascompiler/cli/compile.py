"""`nascompiler compile`: from a model to an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nascompiler.cli.common import (
    HeadOption,
    LoadOption,
    ModelArgument,
    ResolutionOption,
    ShapeOption,
    WidthOption,
    parse_shapes,
    say,
    table,
)
from nascompiler.cli.progress import stages
from nascompiler.cli.quantize import CalibrationOption, PrecisionOption
from nascompiler.ir.errors import UsageError
from nascompiler.passes import load_script

if TYPE_CHECKING:
    from nascompiler.ir import Graph
    from nascompiler.quantization.result import Report


def compile(
    model: ModelArgument,
    target: Annotated[str, typer.Option("--target", "-t", metavar="TARGET", help="See `nascompiler targets`.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to write; must not exist.")],
    shape: ShapeOption = None,
    width: WidthOption = None,
    resolution: ResolutionOption = None,
    head: HeadOption = None,
    passes: Annotated[
        str | None, typer.Option("--passes", metavar="PIPELINE", help="Replaces the default pipeline.")
    ] = None,
    load: LoadOption = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare with the reference evaluator and ONNX Runtime; exit 4 if off.")
    ] = False,
    images: Annotated[
        Path | None, typer.Option("--images", metavar="FILE.npy", help="Images to verify with; default: synthetic.")
    ] = None,
    locked: Annotated[
        Path | None,
        typer.Option("--locked", metavar="MANIFEST", help="Compute kernels by the variants that an artifact records."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the folder if it exists.")] = False,
    placement: Annotated[bool, typer.Option("--placement", help="Show what runs where, and why.")] = False,
    quantize: Annotated[
        bool, typer.Option("--quantize", help="Quantise first, as `nascompiler quantize` does.")
    ] = False,
    calibration: CalibrationOption = None,
    precision: PrecisionOption = "int8",
    require_full_offload: Annotated[
        bool, typer.Option("--require-full-offload", help="Exit 4, with all reasons, if a TPU leaves work to the host.")
    ] = False,
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="With --quantize: time float beside int8 for the verdict.")
    ] = True,
) -> None:
    """Compile a model for a target."""
    from nascompiler import api
    from nascompiler.verification import read_images

    for script in load or ():
        load_script(script)
    graph = api.load(model, shapes=parse_shapes(shape) or None, width=width, resolution=resolution, head=head)
    if calibration is not None and not quantize:
        raise UsageError("--calibration is for --quantize")
    if precision != "int8" and not quantize:
        raise UsageError("--precision is for --quantize")
    report: Report | None = None
    float_graph = graph
    if quantize:
        from nascompiler.quantization.quantize import quantizer_options

        with stages() as progress:
            options = quantizer_options(precision, target)
            result = api.quantize(graph, calibration=calibration, target=target, progress=progress, **options)
        graph, report = result.graph, result.report
    artifact = api.compile(
        graph,
        target,
        output,
        passes=passes,
        overwrite=overwrite,
        locked=locked,
        full_offload=require_full_offload,
    )
    say(f"wrote {output} for {artifact.manifest.target}")
    if report is not None:
        _show_verdict(report, float_graph if measure else None, output)
    if placement:
        columns = ("node", "op", "unit", "kernel", "reason")
        table(columns, [tuple(row[column] for column in columns) for row in artifact.placement()])
    if verify:
        inputs = None if images is None else read_images(images, artifact)
        verification = api.verify(artifact, inputs=inputs)
        say(str(verification))
        verification.check()


def _show_verdict(report: Report, float_graph: Graph | None, output: Path) -> None:
    """Say what int8 gains here; what was asked for is compiled all the same."""
    from dataclasses import replace

    from nascompiler.architecture import expanded
    from nascompiler.quantization.verdict import measure_latency

    verdict = report.verdict
    if float_graph is not None:
        verdict = replace(verdict, latency=measure_latency(expanded(float_graph), output, report.target))
    for warning in report.warnings:
        say(f"warning: {warning}")
    say(str(verdict))
