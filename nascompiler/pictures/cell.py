"""A cell as NASNet (arXiv:1707.07012, figure 4) draws it: hidden states from below, operations, sums, concatenation."""

from __future__ import annotations

from dataclasses import dataclass, field

import networkx as nx

from nascompiler.ir import Graph, Node, Value
from nascompiler.ir.attributes import SymbolRef
from nascompiler.pictures.layout import Size, layered
from nascompiler.pictures.palette import CELL_OPS, INPUT, JOINING, NEUTRAL
from nascompiler.pictures.svg import FAINT, Canvas, curved, text_width

LETTERS = 11.5
STATES = ("hᵢ", "hᵢ₋₁")
OUTPUT = "hᵢ₊₁"


@dataclass
class _Shape:
    text: str
    fill: str
    size: Size
    note: str = ""
    dashed: bool = False
    round: bool = False


@dataclass
class _Drawing:
    """The boxes of a cell by name, and the edges between them, from the inputs on."""

    root: Graph
    graph: nx.DiGraph = field(default_factory=nx.DiGraph)
    shapes: dict[str, _Shape] = field(default_factory=dict)
    where: dict[Value, str] = field(default_factory=dict)

    def box(self, name: str, text: str, fill: str, *, note: str = "", dashed: bool = False, wide: float = 58) -> str:
        lines = text.split("\n")
        width = max(wide, max(text_width(line, LETTERS) for line in lines) + 14)
        self.graph.add_node(name)
        self.shapes[name] = _Shape(text, fill, (width, 14 + 15.0 * len(lines)), note, dashed)
        return name

    def combine(self, number: int, node: Node) -> None:
        name = f"b{number}"
        sides = [self._operation(f"{name}.{side}", node, side) for side in ("left", "right")]
        combiner = node["combiner"]
        if combiner == "add":
            self.graph.add_node(name)
            self.shapes[name] = _Shape("+", INPUT, (24, 24), f"block {number}: add", round=True)
        else:
            text = "concat" if combiner == "concat" else "add or\nconcat"
            self.box(name, text, JOINING, note=f"block {number}", dashed=isinstance(combiner, SymbolRef))
        for side in sides:
            self.graph.add_edge(side, name)
        self.where[node.results[0]] = name

    def _operation(self, name: str, node: Node, side: str) -> str:
        operand, op = node[side], node[f"{side}_op"]
        text, fill = CELL_OPS.get(str(op), (str(op), NEUTRAL))
        note = f"{name}: {op}"
        if isinstance(op, SymbolRef):
            options = self.root.choices[op.name].options if op.name in self.root.choices else ()
            text, note = f"1 of {len(options)}\noperations", f"{op}: {', '.join(map(str, options))}"
        if isinstance(operand, SymbolRef):
            text += f"\non 1 of {len(node.operands)}\nstates"
        self.box(name, text, fill, note=note, dashed=isinstance(op, SymbolRef) or isinstance(operand, SymbolRef))
        if isinstance(operand, int) and operand < len(node.operands):
            self.graph.add_edge(self.where[node.operands[operand]], name)
        elif isinstance(operand, SymbolRef):  # any of the states: an edge that only keeps the inputs below
            self.graph.add_edge(self.where[node.operands[side == "right"]], name, hidden=True)
        return name

    def concat(self, node: Node, used: set[Value]) -> None:
        mask = node["mask"] if isinstance(node["mask"], tuple) else ()
        chosen = [node.operands[i] for i in mask if isinstance(i, int) and i < len(node.operands)]
        inputs = self.root.choices and not mask  # which of them are left over is open
        chosen = chosen or [v for v in node.operands if v not in used and not (inputs and v.is_input)]
        name = self.box("concat", "concat", JOINING, note="concatenation of hidden states", wide=150)
        for value in chosen:
            self.graph.add_edge(self.where[value], name)
        self.where[node.results[0]] = name


def draw_cell(cell: Graph, root: Graph) -> Canvas:
    """One cell of the architecture `root`, which has the options of open choices; these are dashed."""
    drawing = _Drawing(root)
    for index, value in enumerate(cell.inputs):
        text = STATES[index] if index < len(STATES) else value.name
        drawing.where[value] = drawing.box(f"state{index}", text, INPUT, note=value.name, wide=46)
    number, used = 0, set[Value]()
    for node in cell.nodes:
        if node.op.name == "arch.combine":
            drawing.combine(number, node)
            used |= {node.operands[i] for side in ("left", "right") if isinstance(i := node[side], int)}
            number += 1
        elif node.op.name == "arch.concat":
            drawing.concat(node, used)
        else:
            name = drawing.box(f"node{len(drawing.shapes)}", node.op.name, NEUTRAL, note=repr(node))
            drawing.graph.add_edges_from((drawing.where[v], name) for v in node.operands if v in drawing.where)
            drawing.where.update((v, name) for v in node.results)
    for index, value in enumerate(cell.outputs):
        name = drawing.box(f"output{index}", OUTPUT, INPUT, note="output of the cell", wide=46)
        drawing.graph.add_edge(drawing.where[value], name)
    return _painted(cell, drawing)


def _painted(cell: Graph, drawing: _Drawing) -> Canvas:
    layout = layered(drawing.graph, {name: shape.size for name, shape in drawing.shapes.items()})
    canvas = Canvas()
    for (tail, head), route in layout.routes.items():
        points = [(x, layout.height - y) for x, y in route]
        if not drawing.graph.edges[tail, head].get("hidden"):
            canvas.line(curved(points), points, stroke=FAINT, arrow=not drawing.shapes[head].round)
    for name, (x, flipped) in layout.centres.items():
        shape, y = drawing.shapes[name], layout.height - flipped
        width, height = shape.size
        radius = height / 2 if shape.round else 5
        note = shape.note or name
        canvas.box(
            x - width / 2, y - height / 2, width, height, fill=shape.fill, radius=radius, dashed=shape.dashed, note=note
        )
        lines = shape.text.split("\n")
        for index, line in enumerate(lines):
            size = 15 if shape.round or name.startswith(("state", "output")) else LETTERS
            canvas.text(x, y + 14 * (index - (len(lines) - 1) / 2), line, size=size)
    canvas.text((canvas.left + canvas.right) / 2, canvas.bottom + 22, f"{cell.name} cell", size=14, bold=True)
    return canvas
