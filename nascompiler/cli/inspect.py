"""`nascompiler inspect`: what a model is, in figures."""

from __future__ import annotations

from typing import Annotated

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
    table,
)
from nascompiler.summary import Summary


def inspect(
    model: ModelArgument,
    shape: ShapeOption = None,
    width: WidthOption = None,
    resolution: ResolutionOption = None,
    head: HeadOption = None,
    nodes: Annotated[bool, typer.Option("--nodes", help="List every node.")] = False,
    text: Annotated[bool, typer.Option("--text", help="Print the graph as text.")] = False,
    json: JsonOption = False,
) -> None:
    """Show parameters, multiply-adds, level, inputs, outputs and ops of a model."""
    from nascompiler import api

    graph = api.load(model, shapes=parse_shapes(shape), width=width, resolution=resolution, head=head)
    summary = api.inspect(graph)
    if text:
        print(graph, end="")
    elif json:
        print_json(summary.to_json(nodes=nodes))
    else:
        _show(summary, nodes)


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


def _shape(shape: tuple[int | str | None, ...] | None) -> str:
    if shape is None:
        return "of unknown rank"
    return "x".join("?" if d is None else str(d) for d in shape) or "scalar"
