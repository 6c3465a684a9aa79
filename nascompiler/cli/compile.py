"""`nascompiler compile`: from a model to an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
from nascompiler.passes import load_script


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
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the folder if it exists.")] = False,
    placement: Annotated[bool, typer.Option("--placement", help="Show what runs where, and why.")] = False,
) -> None:
    """Compile a model for a target."""
    from nascompiler import api
    from nascompiler.verification import read_images

    for script in load or ():
        load_script(script)
    graph = api.load(model, shapes=parse_shapes(shape) or None, width=width, resolution=resolution, head=head)
    artifact = api.compile(graph, target, output, passes=passes, overwrite=overwrite)
    say(f"wrote {output} for {artifact.manifest.target}")
    if placement:
        columns = ("node", "op", "unit", "kernel", "reason")
        table(columns, [tuple(row[column] for column in columns) for row in artifact.placement()])
    if verify:
        inputs = None if images is None else read_images(images, artifact)
        verification = api.verify(artifact, inputs=inputs)
        say(str(verification))
        verification.check()
