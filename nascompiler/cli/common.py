"""What several commands share: options as text, tables, JSON, notes to the user."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from nascompiler.ir.errors import UsageError

ShapeOption = Annotated[
    list[str] | None,
    typer.Option("--shape", metavar="NAME=1x3x224x224", help="Shape of an input that the model leaves open; repeat."),
]
LoadOption = Annotated[
    list[Path] | None, typer.Option("--load", metavar="FILE.py", help="Script that registers passes; repeat.")
]
ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="An .onnx file, a graph file (.nir), or a name (`nascompiler zoo`).")
]
WidthOption = Annotated[
    float | None, typer.Option("--width", metavar="W", help="Width multiplier, by the family's rounding rules.")
]
ResolutionOption = Annotated[
    str | None, typer.Option("--resolution", metavar="R", help="Input size in pixels: 224, or 1024x2048 (HxW).")
]
HeadOption = Annotated[
    str | None,
    typer.Option("--head", metavar="HEAD", help="classifier, ssdlite, ssdlite-halved or lr-aspp in place of the head."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def parse_shapes(options: Sequence[str] | None) -> dict[str, tuple[int, ...]]:
    """`x=1x3x48x192` -> {"x": (1, 3, 48, 192)}; raises UsageError for anything else."""
    shapes: dict[str, tuple[int, ...]] = {}
    for text in options or ():
        name, equals, sizes = text.rpartition("=")
        if not equals or not name or not re.fullmatch(r"\d{1,9}(x\d{1,9})*", sizes):
            raise UsageError(f"--shape {text!r}: write NAME=SIZExSIZEx..., for example x=1x3x224x224")
        if name in shapes:
            raise UsageError(f"--shape gives input {name!r} twice")
        shapes[name] = tuple(map(int, sizes.split("x")))
    return shapes


def check_report(path: Path | None) -> None:
    """Raise UsageError for a page that is asked for under a name that no browser takes for one."""
    if path is not None and path.suffix != ".html":
        raise UsageError(f"a report ends in .html: {path}")


def print_json(data: Any) -> None:
    print(json.dumps(data, indent=2, ensure_ascii=False, default=str))


def table(columns: Iterable[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """A table on stdout; columns that start with `>` are aligned to the right."""
    drawn = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        right = column.startswith(">")
        drawn.add_column(column.lstrip(">"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(_cell(value) for value in row))
    console().print(drawn)


def _cell(value: Any) -> str:
    from rich.markup import escape

    if value is None:
        return "-"
    return f"{value:,}" if type(value) is int else escape(str(value))


def console() -> Console:
    """Standard output; as wide as it needs when it is no terminal."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def say(message: str) -> None:
    """A note for the person at the terminal, on stderr."""
    print(message, file=sys.stderr)


def duration(ns: float | None) -> str:
    """A time with three digits and its unit."""
    if ns is None:
        return "-"
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if abs(ns) >= size:
            return f"{ns / size:.3g} {unit}" if abs(ns) / size < 100 else f"{ns / size:.0f} {unit}"
    return f"{ns:.0f} ns"


def count(number: int | None) -> str:
    """A count with its magnitude: 219M, 5.48M, 12.3k."""
    if number is None:
        return "?"
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if abs(number) >= size:
            return f"{number / size:.2f}{unit}"
    return str(number)
