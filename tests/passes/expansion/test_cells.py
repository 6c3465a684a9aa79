"""NASNet's cells: published counts and sizes, wiring, shape matching, errors."""

from __future__ import annotations

import re

import pytest

from nascompiler import zoo
from nascompiler.ir import Graph, ModelError, Node, graph_cost, parse, print_graph, verify
from nascompiler.passes import run_pipeline

CELL = """
  cell @c(%current: f32[*], %previous: f32[*]) {{
    {blocks}
    return output=%o
  }}"""


def network(blocks: str, body: str, size: int = 8, channels: int = 6, family: str = "nasnet") -> Graph:
    """A network of one kind of cell, @c, that ends in %y."""
    cell = CELL.format(blocks="\n    ".join(line.strip() for line in blocks.strip().splitlines()))
    head = f"graph @n(%x: f32[1,{size},{size},{channels}]) {{family={family}}}"
    return parse(f"nir 1\n{head} {{{cell}\n  {body}\n  return y=%y\n}}")


def expanded(graph: Graph, passes: str = "expand-cells") -> Graph:
    result = run_pipeline(graph, passes)
    verify(result)
    return result


def node_named(graph: Graph, name: str) -> Node:
    return next(n for n in graph.nodes if n.results[0].name == name)


def ops_from(graph: Graph, origin: str) -> list[str]:
    """The ops of an edge, with kernel or window size and stride where they have them."""
    found = []
    for node in graph.nodes:
        if node.origin == origin:
            kernel = node.attributes.get("kernel") or (
                node.operands[1].type.static_shape[:2] if node.op.name == "nn.conv2d" else ()
            )
            strides = node.attributes.get("strides", ())
            text = node.op.name.partition(".")[2]
            if node.attributes.get("groups", 1) != 1:
                text = "depthwise"
            found.append(" ".join([text, *map(str, kernel), *(f"/{s}" for s in strides if s != 1)]))
    return found


# -- the released networks


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("nasnet-a-mobile", 5_289_978, 563_638_816),
        ("nasnet-a-large", 88_753_150, 23_783_414_658),
        ("nasnet-a-cifar", 3_346_538, 544_333_312),
    ],
)
def test_counts_equal_those_of_the_released_networks(name: str, params: int, macs: int) -> None:
    cost = graph_cost(expanded(zoo.load(name)))
    assert (cost.params, cost.macs) == (params, macs)
    assert (zoo.entry(name).params, zoo.entry(name).macs) == (params, macs)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        (
            "nasnet-a-mobile",
            {
                "stem.conv": (111, 32),
                "stem1.concat": (56, 44),
                "stem2.concat": (28, 88),
                "stack1.4.concat": (28, 264),
                "reduced1.concat": (14, 352),
                "stack2.4.concat": (14, 528),
                "stack3.4.concat": (7, 1056),
            },
        ),
        (
            "nasnet-a-large",
            {
                "stem.conv": (165, 96),
                "stem1.concat": (83, 168),
                "stem2.concat": (42, 336),
                "stack1.6.concat": (42, 1008),
                "stack2.6.concat": (21, 2016),
                "stack3.6.concat": (11, 4032),
            },
        ),
        (
            "nasnet-a-cifar",
            {
                "stem.conv": (32, 96),
                "stack1.6.concat": (32, 192),
                "stack2.6.concat": (16, 384),
                "stack3.6.concat": (8, 768),
            },
        ),
    ],
)
def test_sizes_and_channels(name: str, shapes: dict[str, tuple[int, int]]) -> None:
    graph = expanded(zoo.load(name))
    for value, (side, channels) in shapes.items():
        assert node_named(graph, value).result.type.shape == (1, side, side, channels), value


@pytest.mark.parametrize(
    ("name", "previous"),
    [("nasnet-a-mobile", "stack1.4.concat"), ("nasnet-a-large", "stack1.5.concat")],
)
def test_what_the_first_cell_after_a_reduction_sees(name: str, previous: str) -> None:
    """The large network skips the input of the reduction (`skip_reduction_layer_input`), the others do not."""
    graph = expanded(zoo.load(name))
    assert node_named(graph, "stack2.1.previous.relu").operands[0].name == previous


def test_operations_of_the_released_reduction_cell() -> None:
    graph = expanded(zoo.load("nasnet-a-mobile"))
    separable7 = ["relu", "depthwise 7 7 /2 /2", "conv2d 1 1", "batch_norm", "relu", "depthwise 7 7", "conv2d 1 1"]
    assert ops_from(graph, "reduction[2].b1.right") == [*separable7, "batch_norm"]
    assert ops_from(graph, "reduction[2].b1.left") == ["max_pool2d 3 3 /2 /2"]
    assert ops_from(graph, "reduction[2].b3.left") == []
    assert ops_from(graph, "reduction[2].b3.right") == ["average_pool2d 3 3"]
    assert ops_from(graph, "reduction[2].current") == ["relu", "conv2d 1 1", "batch_norm"]


def test_a_cell_fits_a_screen() -> None:
    lines = print_graph(zoo.load("nasnet-a-large")).splitlines()
    begin = lines.index("  cell @normal(%current: f32[*], %previous: f32[*]) {")
    assert lines.index("  }", begin) - begin < 10
    assert max(map(len, lines)) <= 140


# -- operations

PROJECTION = ["relu", "conv2d 1 1{s}", "batch_norm"]
OPERATIONS = {
    "identity": ([], PROJECTION),
    "conv1x3_3x1": (["relu", "conv2d 1 3", "batch_norm", "relu", "conv2d 3 1", "batch_norm"],) * 2,
    "conv1x7_7x1": (["relu", "conv2d 1 7", "batch_norm", "relu", "conv2d 7 1", "batch_norm"],) * 2,
    "dilated3": (["relu", "conv2d 3 3{s}", "batch_norm"],) * 2,
    "average3": (["average_pool2d 3 3{s}"], ["average_pool2d 3 3{s}", "conv2d 1 1", "batch_norm"]),
    "max5": (["max_pool2d 5 5{s}"], ["max_pool2d 5 5{s}", "conv2d 1 1", "batch_norm"]),
    "conv1": (["relu", "conv2d 1 1{s}", "batch_norm"],) * 2,
    "conv3": (["relu", "conv2d 3 3{s}", "batch_norm"],) * 2,
    "separable3": (
        ["relu", "depthwise 3 3{s}", "conv2d 1 1", "batch_norm", "relu", "depthwise 3 3", "conv2d 1 1", "batch_norm"],
    )
    * 2,
}
"""What each operation is on inputs of as many channels as the cell has filters, and of others."""


@pytest.mark.parametrize("op", OPERATIONS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [4, 6])
def test_operation(op: str, stride: int, channels: int) -> None:
    """Without a previous output, state 1 is the raw input; the second block works on a state made in the cell."""
    graph = expanded(
        network(
            f"""%a = arch.combine(%current, %previous) {{left=1, left_op={op}, right=0, right_op=conv1}}
            %b = arch.combine(%current, %previous, %a) {{left=2, left_op={op}, right=0, right_op=conv1}}
            %o = arch.concat(%current, %previous, %a, %b) {{mask=[2, 3]}}""",
            f"%y = arch.cell(%x) {{cell=@c, filters=4, stride={stride}}}",
            channels=channels,
        )
    )
    equal, other = OPERATIONS[op]
    halves = op.startswith("conv1x")
    wanted = other if channels == 6 or (op == "identity" and stride == 2) else equal
    found = ops_from(graph, "c[0].b0.left")
    plain = [re.sub(r"( /2)+$", "", text) for text in found] if halves else found
    assert plain == [text.format(s=" /2 /2" if stride == 2 else "") for text in wanted]
    assert halves or not any("{s}" in t for t in wanted) or ("/2" in " ".join(found)) == (stride == 2)
    assert ops_from(graph, "c[0].b1.left") == [text.format(s="") for text in equal]
    assert graph.outputs[0].type.shape == (1, 8 // stride, 8 // stride, 8)


def test_every_operation_of_the_dialect_has_an_expansion() -> None:
    from nascompiler.ir.dialects.arch.cells import CELL_OPS
    from nascompiler.passes.expansion import cell_ops

    assert tuple(cell_ops.CELL_OPS) == CELL_OPS


# -- states

BLOCK = "%s = arch.combine(%current, %previous) {left=0, left_op=conv1, right=0, right_op=identity}"


def test_the_mask_chooses_and_orders_the_output() -> None:
    graph = expanded(
        network(
            BLOCK + "\n%o = arch.concat(%current, %previous, %s) {mask=[2, 0]}",
            "%y = arch.cell(%x) {cell=@c, filters=4}",
        )
    )
    concat = node_named(graph, "y.concat")
    assert [v.name for v in concat.operands] == ["y.current.conv.batch_norm", "y.b0.add"]


def test_without_a_mask_the_output_is_what_no_block_uses_brought_to_one_size() -> None:
    graph = expanded(
        network(
            BLOCK + "\n%o = arch.concat(%current, %previous, %s)",
            "%y = arch.cell(%x) {cell=@c, filters=5, stride=2}",
            size=7,
        )
    )
    assert ops_from(graph, "c[0].concat.1") == [
        "conv2d 1 1 /2 /2", "slice", "pad", "conv2d 1 1", "concat", "batch_norm",
    ]  # fmt: skip
    assert graph.outputs[0].type.shape == (1, 4, 4, 10)


def test_an_output_of_one_state_needs_no_concatenation() -> None:
    graph = expanded(
        network(
            BLOCK + "\n%o = arch.concat(%current, %previous, %s) {mask=[2]}",
            "%y = arch.cell(%x) {cell=@c, filters=4}",
        )
    )
    assert graph.outputs[0].name == "y.b0.add"


def test_concatenated_states_are_projected_where_they_are_used() -> None:
    graph = expanded(
        network(
            BLOCK.replace("identity}", "identity, combiner=concat}")
            + """
            %t = arch.combine(%current, %previous, %s) {left=2, left_op=average3, right=2, right_op=identity}
            %o = arch.concat(%current, %previous, %s, %t) {mask=[2, 3]}""",
            "%y = arch.cell(%x) {cell=@c, filters=4}",
        )
    )
    assert ops_from(graph, "c[0].b0") == ["concat"]
    assert ops_from(graph, "c[0].b1.left") == ["average_pool2d 3 3", "conv2d 1 1", "batch_norm"]
    assert ops_from(graph, "c[0].b1.right") == ["relu", "conv2d 1 1", "batch_norm"]
    assert graph.outputs[0].type.shape == (1, 8, 8, 12)


def test_the_previous_output_is_matched_only_where_it_must_be() -> None:
    blocks = BLOCK + "\n%o = arch.concat(%current, %previous, %s) {mask=[1, 2]}"
    graph = expanded(
        network(
            blocks,
            """%a = arch.cell(%x) {cell=@c, filters=4, stride=1}
            %b = arch.cell(%a, %x) {cell=@c, filters=4, stride=2}
            %d = arch.cell(%b, %b) {cell=@c, filters=8}
            %y = arch.cell(%d, %a) {cell=@c, filters=6}""",
        )
    )
    assert ops_from(graph, "c[0].previous") == []
    assert ops_from(graph, "c[1].previous") == ["relu", "conv2d 1 1", "batch_norm"]
    assert ops_from(graph, "c[2].previous") == []
    reduction = ["relu", "conv2d 1 1 /2 /2", "slice", "conv2d 1 1", "concat", "batch_norm"]
    assert ops_from(graph, "c[3].previous") == reduction


# -- errors


@pytest.mark.parametrize(
    ("blocks", "body", "size", "message"),
    [
        (
            BLOCK + "\n%o = arch.concat(%current, %previous, %s)",
            "%a = arch.cell(%x) {cell=@c, filters=4, stride=2}\n %y = arch.cell(%a, %x) {cell=@c, filters=7}",
            8,
            "arch.cell y: filters is 7; accepted: even numbers",
        ),
        (
            BLOCK.replace("left=0", "left=2") + "\n%o = arch.concat(%s)",
            "%y = arch.cell(%x) {cell=@c, filters=4}",
            8,
            "cell @c, block 0: left is 2; accepted: 0 to 1",
        ),
        (
            BLOCK + "\n%o = arch.concat(%current, %previous, %s) {mask=[3]}",
            "%y = arch.cell(%x) {cell=@c, filters=4}",
            8,
            r"mask is \[3\]; accepted: indices from 0 to 2",
        ),
        (
            BLOCK + "\n%o = arch.concat(%current)",
            "%y = arch.cell(%x) {cell=@c, filters=4}",
            8,
            "every state is used, none is left for its output; give a mask",
        ),
        (
            "%s = arch.conv(%current) {filters=4}\n%o = arch.concat(%s)",
            "%y = arch.cell(%x) {cell=@c, filters=4}",
            8,
            "accepted: arch.combine and arch.concat",
        ),
        (
            BLOCK + "\n%o = arch.concat(%current, %previous, %s)",
            "%y = arch.cell(%x) {cell=@c, filters=4, stride=2}",
            1,
            "stride is 2, but an image of 1x1 cannot be halved; use a higher resolution",
        ),
        (
            BLOCK + "\n%o = arch.concat(%current, %previous, %s)",
            "%a = arch.pool(%x) {stride=4}\n %y = arch.cell(%a, %x) {cell=@c, filters=4}",
            8,
            "the previous output is 8x8, the current one 2x2; accepted: equal sizes, or twice the size",
        ),
    ],
)
def test_errors_name_the_field_and_what_is_accepted(blocks: str, body: str, size: int, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        expanded(network(blocks, body, size=size))
