"""A network at the level of its blocks, from top to bottom, as MnasNet (arXiv:1807.11626, figure 7) draws it.

Stages of one resolution share a colour; beside each box stand the shape of its result, parameters and multiply-adds.
"""

from __future__ import annotations

from dataclasses import dataclass

from nascompiler.ir import Graph, Node, TensorType, Value
from nascompiler.passes.expand_cells import arch_names
from nascompiler.pictures.figures import Figures, figures_of, shape_text
from nascompiler.pictures.palette import HEAD, INPUT, NEUTRAL, STAGES, quantity
from nascompiler.pictures.rows import Row, describe
from nascompiler.pictures.svg import FAINT, Canvas, Point, fitted, number, straight, text_width

HEIGHT, GAP, BAND, LANE = 38.0, 15.0, 66.0, 12.0
TITLE, DETAIL = 12.5, 10.5
LEFT = BAND + 12.0
"""Where the boxes begin."""


@dataclass
class _Box:
    """One row of the picture: `values` are what it offers, `operands` what it takes."""

    row: Row
    values: tuple[Value, ...]
    operands: tuple[Value, ...]
    type: TensorType | None
    note: str
    counts: tuple[int | None, int | None] = (None, None)
    kind: str = "node"
    y: float = 0.0


def draw_network(graph: Graph) -> Canvas:
    """An architecture; of one with open choices, the options stand in the boxes and there are no figures."""
    figures = figures_of(graph)
    boxes = _boxes(graph, figures)
    for index, box in enumerate(boxes):
        box.y = index * (HEIGHT + GAP)
    width = max(_needed(box.row) for box in boxes)
    canvas = Canvas()
    colours = _colours(boxes)
    _bands(canvas, boxes, colours)
    lanes = _edges(canvas, boxes, width)
    for box in boxes:
        _paint(canvas, box, width, colours)
    _columns(canvas, boxes, LEFT + width + (lanes * LANE + 24 if lanes else 12))
    _heading(canvas, graph, figures)
    return canvas


def _boxes(graph: Graph, figures: Figures) -> list[_Box]:
    """Inputs, of which the first is next to the nodes, nodes, outputs."""
    names = arch_names(graph)
    boxes = [_Box(Row(v.name), (v,), (), v.type, repr(v), kind="input") for v in reversed(graph.inputs)]
    for node in graph.nodes:
        type = figures.types.get(node.results[0])
        counts = figures.counts.get(names.get(node, ""), (None, None))
        row = describe(node, graph.choices)
        operands = tuple(v for v in node.operands if not v.is_constant)
        boxes.append(_Box(row, node.results, operands, type, _note(node), counts))
    for name, value in zip(graph.output_names, graph.outputs, strict=True):
        type = figures.types.get(value)
        boxes.append(_Box(Row(name), (), (value,), type, f"output {name}", kind="output"))
    return boxes


def _note(node: Node) -> str:
    attributes = ", ".join(f"{name} = {value}" for name, value in node.attributes.items())
    return f"{node!r}: {attributes}"


def _resolution(box: _Box) -> tuple[int, int] | None:
    shape = box.type.shape if box.type is not None else None
    if shape is None or len(shape) != 4 or box.kind != "node":
        return None
    height, width = shape[1:3]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _colours(boxes: list[_Box]) -> dict[tuple[int, int], str]:
    """A colour for each resolution of a node, from the highest to the lowest."""
    found = {r for box in boxes if not box.row.head and (r := _resolution(box))}
    ordered = sorted(found, reverse=True)
    return {r: STAGES[min(i, len(STAGES) - 1)] for i, r in enumerate(ordered)}


def _bands(canvas: Canvas, boxes: list[_Box], colours: dict[tuple[int, int], str]) -> None:
    """At the left, one band for each run of boxes with the same resolution."""
    start = 0
    while start < len(boxes):
        key = _resolution(boxes[start])
        end = start + 1
        while end < len(boxes) and _resolution(boxes[end]) == key and boxes[end].row.head == boxes[start].row.head:
            end += 1
        if key in colours and key is not None and not boxes[start].row.head:
            top, bottom = boxes[start].y, boxes[end - 1].y + HEIGHT
            canvas.box(0, top, BAND, bottom - top, fill=colours[key], stroke="none", radius=3)
            canvas.text(BAND / 2, (top + bottom) / 2, f"{key[0]}×{key[1]}", size=DETAIL, bold=True)
        start = end


def _needed(row: Row) -> float:
    repeats = text_width(row.repeats, TITLE + 1, bold=True) + 14 if row.repeats else 0.0
    details = text_width(" · ".join(row.details), DETAIL)
    return min(720.0, max(210.0, text_width(row.title, TITLE, bold=True) + repeats, details + repeats) + 24)


def _paint(canvas: Canvas, box: _Box, width: float, colours: dict[tuple[int, int], str]) -> None:
    row = box.row
    if box.kind != "node":
        canvas.box(LEFT, box.y + 5, width, HEIGHT - 10, fill=INPUT, radius=14, note=box.note)
        canvas.text(LEFT + width / 2, box.y + HEIGHT / 2, fitted(row.title, TITLE, width - 20), size=TITLE)
        return
    key = _resolution(box)
    fill = HEAD if row.head else colours.get(key, NEUTRAL) if key else NEUTRAL
    if row.repeats:
        canvas.box(LEFT + 4, box.y + 4, width, HEIGHT, fill=fill, radius=5)
    canvas.box(LEFT, box.y, width, HEIGHT, fill=fill, radius=5, note=box.note)
    room = width - 20
    if row.repeats:
        canvas.text(LEFT + width - 10, box.y + HEIGHT / 2, row.repeats, size=TITLE + 1, anchor="end", bold=True)
        room -= text_width(row.repeats, TITLE + 1, bold=True) + 8
    details = fitted(" · ".join(row.details), DETAIL, room)
    up = 8.0 if details else 0.0
    title = fitted(row.title, TITLE, room, bold=True)
    canvas.text(LEFT + 10, box.y + HEIGHT / 2 - up, title, size=TITLE, anchor="start", bold=True)
    if details:
        canvas.text(LEFT + 10, box.y + HEIGHT / 2 + 8, details, size=DETAIL, anchor="start")


def _edges(canvas: Canvas, boxes: list[_Box], width: float) -> int:
    """Arrows from box to next box, and lanes at the right for edges that pass others by; returns how many lanes."""
    source = {value: i for i, box in enumerate(boxes) for value in box.values}
    edges = sorted({(source[v], i) for i, box in enumerate(boxes) for v in box.operands if v in source})
    middle, right = LEFT + width / 2, LEFT + width
    for tail, head in edges:
        if head == tail + 1:
            start = boxes[tail].y + HEIGHT - (5 if boxes[tail].kind != "node" else 0)
            start += 4 if boxes[tail].row.repeats else 0
            points = [(middle, start), (middle, boxes[head].y + (5 if boxes[head].kind != "node" else 0))]
            canvas.line(straight(points), points)
    far = sorted((e for e in edges if e[1] > e[0] + 1), key=lambda e: (e[1] - e[0], e))
    lanes: list[list[tuple[int, int]]] = []
    leaving: dict[int, int] = {}
    arriving: dict[int, int] = {}
    for tail, head in far:
        lane = next((i for i, used in enumerate(lanes) if all(h <= tail or t >= head for t, h in used)), len(lanes))
        lanes += [[]] if lane == len(lanes) else []
        lanes[lane].append((tail, head))
        out, into = leaving.setdefault(tail, 0), arriving.setdefault(head, 0)
        leaving[tail], arriving[head] = out + 1, into + 1
        x = right + 18 + LANE * lane
        top = boxes[tail].y + HEIGHT / 2 + 5 + 5 * min(out, 2)
        bottom = boxes[head].y + HEIGHT / 2 - 5 - 5 * min(into, 2)
        begin, end = (right + (4 if boxes[i].row.repeats else 0) for i in (tail, head))
        canvas.line(_lane((begin, top), (end, bottom), x), [(begin, top), (x, top), (x, bottom)], stroke=FAINT)
    return len(lanes)


def _lane(start: Point, end: Point, x: float) -> str:
    """From a right border out to the lane at x, down, and back to a right border, with round corners."""
    (left, top), (right, bottom), r = start, end, 6.0
    return (
        f"M{number(left)},{number(top)} H{number(x - r)} Q{number(x)},{number(top)} {number(x)},{number(top + r)} "
        f"V{number(bottom - r)} Q{number(x)},{number(bottom)} {number(x - r)},{number(bottom)} H{number(right)}"
    )


def _columns(canvas: Canvas, boxes: list[_Box], x: float) -> None:
    """Shape of the result, parameters and multiply-adds, aligned at their right."""
    texts = [
        [
            shape_text(box.type) if box.type is not None else "",
            *(quantity(c) if c else "" for c in (box.counts if box.kind == "node" else ())),
        ]
        for box in boxes
    ]
    for index, name in enumerate(("output", "params", "mult-adds")):
        column = [row[index] if index < len(row) else "" for row in texts]
        if not any(column):
            continue
        x += max(text_width(text, DETAIL) for text in [*column, name]) + 16
        canvas.text(x, -GAP, name, size=DETAIL, anchor="end", fill=FAINT)
        for box, text in zip(boxes, column, strict=True):
            if text:
                canvas.text(x, box.y + HEIGHT / 2, text, size=DETAIL, anchor="end")


def _heading(canvas: Canvas, graph: Graph, figures: Figures) -> None:
    canvas.text(0, -GAP - 34, graph.name, size=16, anchor="start", bold=True)
    if figures.params is not None and figures.macs is not None:
        counts = f"{quantity(figures.params)} parameters · {quantity(figures.macs)} multiply-adds"
    else:
        counts = f"{len(graph.choices)} open choices" if graph.choices else ""
    if counts:
        canvas.text(0, -GAP - 14, counts, size=DETAIL + 0.5, anchor="start", fill=FAINT)
