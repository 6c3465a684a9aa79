"""A network at the level of its operations: a box for each convolution, product, pool, sum and the like."""

from __future__ import annotations

import networkx as nx

from nascompiler.ir import Graph, Node, UsageError, Value
from nascompiler.pictures.figures import shape_text
from nascompiler.pictures.layout import layered
from nascompiler.pictures.palette import CONVOLUTION, INPUT, JOINING, MEAN, NEUTRAL, SEPARABLE
from nascompiler.pictures.svg import FAINT, Canvas, curved, text_width

LIMIT = 1000
"""More boxes than this nobody can read; the layout takes seconds for so many."""

TITLE, DETAIL = 11.5, 9.5

FOLLOWERS = frozenset(
    {"batch_norm", "relu", "relu6", "hard_swish", "hard_sigmoid", "swish", "sigmoid", "tanh", "clip", "leaky_relu"}
    | {"gelu", "softmax", "dropout", "flatten", "reshape", "squeeze", "unsqueeze", "requantize", "drop_path"}
)
"""What is written into the box of what it follows, where nothing else uses that."""

COLOURS = {"conv2d": CONVOLUTION, "linear": CONVOLUTION, "matmul": CONVOLUTION, "concat": JOINING, "add": JOINING}


def draw_operations(graph: Graph) -> Canvas:
    """Any graph. Raises UsageError for one of more boxes than anybody can read."""
    groups = coarse(graph)
    if len(groups) > LIMIT:
        raise UsageError(
            f"{graph.name} has {len(groups)} operations to draw; accepted: up to {LIMIT}. Draw its architecture instead"
        )
    drawn, texts, where = nx.DiGraph(), dict[str, list[str]](), dict[Value, str]()
    fills, notes = dict[str, str](), dict[str, str]()

    def box(name: str, lines: list[str], fill: str, note: str) -> str:
        drawn.add_node(name)
        texts[name], fills[name], notes[name] = [line for line in lines if line], fill, note
        return name

    for index, value in enumerate(graph.inputs):
        where[value] = box(f"input{index}", [value.name, shape_text(value.type, batch=True)], INPUT, repr(value))
    for index, group in enumerate(groups):
        note = "\n".join(map(repr, group))
        name = box(f"node{index}", _lines(group), _fill(group[0]), note)
        for node in group:
            for value in node.operands:
                if value in where and where[value] != name:
                    drawn.add_edge(where[value], name)
            where.update((v, name) for v in node.results)
    for index, (output, value) in enumerate(zip(graph.output_names, graph.outputs, strict=True)):
        name = box(f"output{index}", [output, shape_text(value.type, batch=True)], INPUT, f"output {output}")
        if value in where:
            drawn.add_edge(where[value], name)
    return _painted(graph, drawn, texts, fills, notes)


def coarse(graph: Graph) -> list[list[Node]]:
    """The nodes, those that only follow another one together with it."""
    groups: list[list[Node]] = []
    group_of: dict[Node, list[Node]] = {}
    for node in graph.nodes:
        producer = node.operands[0].producer if node.operands else None
        follows = node.op.name.partition(".")[2] in FOLLOWERS and producer is not None
        if follows and producer is not None and node.operands[0].use_count == 1 and len(producer.results) == 1:
            group = group_of[producer]
        else:
            groups.append(group := [])
        group.append(node)
        group_of[node] = group
    return groups


def _lines(group: list[Node]) -> list[str]:
    first, last = group[0], group[-1]
    followers = " · ".join(node.op.name.partition(".")[2].replace("_", " ") for node in group[1:])
    return [_title(first), followers, shape_text(last.results[0].type, batch=True)]


def _title(node: Node) -> str:
    dialect, _, name = node.op.name.partition(".")
    words = name.removesuffix("2d").replace("_", " ") if dialect == "nn" else f"{dialect}.{name}"
    kernel, strides = _pair(node, "kernel"), _pair(node, "strides")
    if name == "conv2d":
        shape = node.operands[1].type.shape or ()
        depthwise = node.attributes.get("groups", 1) != 1
        words, kernel = "depthwise" if depthwise else "conv", tuple(shape[:2])
    text = words + (f" {kernel[0]}×{kernel[1]}" if len(kernel) == 2 else "")
    return text + (f" /{strides[0]}" if len(strides) == 2 and strides != (1, 1) else "")


def _pair(node: Node, attribute: str) -> tuple[object, ...]:
    value = node.attributes.get(attribute)
    return value if isinstance(value, tuple) else ()


def _fill(node: Node) -> str:
    name = node.op.name.partition(".")[2]
    if node.attributes.get("groups", 1) != 1:
        return SEPARABLE
    return MEAN if "pool" in name else COLOURS.get(name, NEUTRAL)


def _painted(
    graph: Graph, drawn: nx.DiGraph, texts: dict[str, list[str]], fills: dict[str, str], notes: dict[str, str]
) -> Canvas:
    sizes = {}
    for name, lines in texts.items():
        widths = [text_width(line, TITLE if i == 0 else DETAIL) for i, line in enumerate(lines)]
        sizes[name] = (max([70.0, *widths]) + 14, 12 + 14.0 * len(lines))
    layout = layered(drawn, sizes, between=20)
    canvas = Canvas()
    for route in layout.routes.values():
        canvas.line(curved(route), route, stroke=FAINT)
    for name, (x, y) in layout.centres.items():
        width, height = sizes[name]
        radius = 5 if name.startswith("node") else height / 2
        canvas.box(x - width / 2, y - height / 2, width, height, fill=fills[name], radius=radius, note=notes[name])
        for index, line in enumerate(texts[name]):
            shift = 14 * (index - (len(texts[name]) - 1) / 2)
            canvas.text(x, y + shift, line, size=TITLE if index == 0 else DETAIL, fill="#222222")
    canvas.text((canvas.left + canvas.right) / 2, canvas.top - 22, graph.name, size=14, bold=True)
    return canvas
