"""`nascompiler inspect`: what a model is, in figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nascompiler.cli.common import (
    HeadOption,
    JsonOption,
    ModelArgument,
    ResolutionOption,
    ShapeOption,
    WidthOption,
    count,
    parse_shapes,
    print_json,
    say,
    table,
)
from nascompiler.ir.errors import UsageError
from nascompiler.summary import Summary

if TYPE_CHECKING:
    from nascompiler.ir import Graph
    from nascompiler.ir.channels import GroupRow


def inspect(
    model: ModelArgument,
    shape: ShapeOption = None,
    width: WidthOption = None,
    resolution: ResolutionOption = None,
    head: HeadOption = None,
    nodes: Annotated[bool, typer.Option("--nodes", help="List every node.")] = False,
    channel_groups: Annotated[
        bool, typer.Option("--channel-groups", help="List which channels stay or go together, and where they stand.")
    ] = False,
    svg: Annotated[
        Path | None,
        typer.Option("--svg", metavar="FILE.svg", help="Draw cells and blocks, or operations, into a file."),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Print the graph as text.")] = False,
    json: JsonOption = False,
) -> None:
    """Show parameters, multiply-adds, level, inputs, outputs, ops and channel groups of a model."""
    from nascompiler import api

    if svg is not None and svg.suffix != ".svg":
        raise UsageError(f"a picture ends in .svg: {svg}")
    graph = api.load(model, shapes=parse_shapes(shape), width=width, resolution=resolution, head=head)
    summary = api.inspect(graph)
    if text:
        print(graph, end="")
    elif json:
        data = summary.to_json(nodes=nodes)
        if channel_groups:
            data["channel_groups"] = [row.to_json() for row in _channel_groups(graph)]
        print_json(data)
    else:
        _show(summary, nodes)
        if channel_groups:
            _show_channel_groups(_channel_groups(graph))
    if svg is not None:
        _draw(graph, svg)


def _draw(graph: Graph, path: Path) -> None:
    from nascompiler.ir.files import write_text
    from nascompiler.pictures import draw

    write_text(path, draw(graph))
    say(f"wrote {path}")


def _show(summary: Summary, nodes: bool) -> None:
    hint = "open (close the choices with decide)" if summary.choices else "open (give --shape)"
    params = hint if summary.params is None else f"{summary.params:,} ({count(summary.params)})"
    macs = hint if summary.macs is None else f"{summary.macs:,} ({count(summary.macs)})"
    table(
        ("", ""),
        [
            ("graph", summary.name),
            ("level", summary.level),
            ("parameters", params),
            ("multiply-adds", macs),
            *(("input", f"{t.name}: {t.dtype} {_shape(t.shape)}") for t in summary.inputs),
            *(("output", f"{t.name}: {t.dtype} {_shape(t.shape)}") for t in summary.outputs),
            ("ops", ", ".join(f"{op} {number}" for op, number in summary.ops.items())),
        ],
    )
    if nodes:
        table(
            ("node", "op", "type", ">params", ">macs", ">bytes", "origin"),
            [(n.name, n.op, n.type, n.params, n.macs, n.bytes, n.origin) for n in summary.nodes],
        )


def _channel_groups(graph: Graph) -> list[GroupRow]:
    """Those of the network; an architecture is expanded first."""
    from nascompiler.architecture import expanded
    from nascompiler.ir.channels import channel_structure, describe

    if graph.is_open:
        raise UsageError(f"{graph.name} has open choices, so its channels are open too; close them with decide first")
    return describe(channel_structure(expanded(graph)))


def _show_channel_groups(rows: list[GroupRow]) -> None:
    table(
        ("group", ">channels", "removable", "producers", "consumers", "constants"),
        [
            (
                str(row.group),
                row.channels,
                "no: " + _some(row.frozen) if row.frozen else "yes" if row.channels > 1 else "no: the only one",
                _some(row.producers),
                _some(row.consumers),
                _some(row.constants, 1),
            )
            for row in rows
        ],
    )


def _some(names: Sequence[str], most: int = 2) -> str:
    """The first names, and how many more there are; all of them are in the JSON."""
    shown = ", ".join(names[:most])
    return f"{shown} +{len(names) - most}" if len(names) > most else shown


def _shape(shape: tuple[int | str | None, ...] | None) -> str:
    if shape is None:
        return "of unknown rank"
    return "x".join("?" if d is None else str(d) for d in shape) or "scalar"
