"""`nascompiler export`: a graph becomes an ONNX model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nascompiler.cli.common import ShapeOption, parse_shapes, say


def export(
    model: Annotated[str, typer.Argument(metavar="FILE", help="A graph file (.nir) or an .onnx file.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.onnx", help="ONNX file to write.")],
    shape: ShapeOption = None,
) -> None:
    """Export a graph as an ONNX model that keeps its names and layouts."""
    from nascompiler import api

    api.export(api.load(model, shapes=parse_shapes(shape)), output)
    say(f"wrote {output}")
