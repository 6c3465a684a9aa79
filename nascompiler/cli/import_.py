"""`nascompiler import`: a model of others becomes a graph file of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nascompiler.cli.common import ShapeOption, count, parse_shapes, say


def import_(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An .onnx file, or a .pt2 file of torch.export.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.nir", help="Graph file to write.")],
    shape: ShapeOption = None,
) -> None:
    """Import a model; weights go to a .safetensors file beside the graph."""
    from nascompiler import api

    graph = api.load(model, shapes=parse_shapes(shape))
    api.save(graph, output)
    summary = api.inspect(graph)
    say(f"{output}: {sum(summary.ops.values())} nodes, {count(summary.params)} parameters")
