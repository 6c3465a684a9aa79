"""`nascompiler compile`: from a model to an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nascompiler.cli.common import LoadOption, ShapeOption, parse_shapes, say, table
from nascompiler.passes import load_script


def compile(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An .onnx file or a graph file (.nir).")],
    target: Annotated[str, typer.Option("--target", "-t", metavar="TARGET", help="See `nascompiler targets`.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to write; must not exist.")],
    shape: ShapeOption = None,
    passes: Annotated[
        str | None, typer.Option("--passes", metavar="PIPELINE", help="Replaces the default pipeline.")
    ] = None,
    load: LoadOption = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare with the reference evaluator and ONNX Runtime; exit 4 if off.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the folder if it exists.")] = False,
    placement: Annotated[bool, typer.Option("--placement", help="Show what runs where, and why.")] = False,
) -> None:
    """Compile a model for a target."""
    from nascompiler import api

    for script in load or ():
        load_script(script)
    artifact = api.compile(
        model, target, output, passes=passes, shapes=parse_shapes(shape) or None, overwrite=overwrite
    )
    say(f"wrote {output} for {artifact.manifest.target}")
    if placement:
        columns = ("node", "op", "unit", "kernel", "reason")
        table(columns, [tuple(row[column] for column in columns) for row in artifact.placement()])
    if verify:
        verification = api.verify(artifact)
        say(str(verification))
        verification.check()
