"""`nascompiler export`: a graph becomes an ONNX model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nascompiler.cli.common import (
    HeadOption,
    ModelArgument,
    ResolutionOption,
    ShapeOption,
    WidthOption,
    parse_shapes,
    say,
)


def export(
    model: ModelArgument,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.onnx", help="ONNX file to write.")],
    shape: ShapeOption = None,
    width: WidthOption = None,
    resolution: ResolutionOption = None,
    head: HeadOption = None,
    format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="How quantised ops are written: qdq (float operators between dequantize and quantize) or qoperator.",
        ),
    ] = "qdq",
) -> None:
    """Export a graph as an ONNX model that keeps its names and layouts."""
    from nascompiler import api

    graph = api.load(model, shapes=parse_shapes(shape), width=width, resolution=resolution, head=head)
    api.export(graph, output, format=format)
    say(f"wrote {output}")
