"""`nascompiler tpu-listing`: the instructions of a TPU artifact, to be read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nascompiler.ir.errors import UsageError

PathArgument = Annotated[Path, typer.Argument(metavar="ARTIFACT", help="An artifact's folder, or one program (.tpu).")]


def tpu_listing(
    artifact: PathArgument,
    assembler: Annotated[
        bool, typer.Option("--assembler", help="What `assemble` takes, without numbers and units.")
    ] = False,
) -> None:
    """Print the instructions of programs, under the names of the layers they belong to."""
    from nascompiler.backends.tpu.isa import Program, disassemble, listing

    files = [artifact] if artifact.is_file() else sorted(artifact.glob("*.tpu"))
    if not files:
        raise UsageError(f"{artifact} has no TPU programs (*.tpu); accepted: a folder that was compiled for a TPU")
    for file in files:
        program = Program.from_bytes(file.read_bytes())
        print(f"# {file.name}")
        print(disassemble(program.instructions, program.tags) if assembler else listing(program), end="")
