"""The verifier: every fault at once, each with its place."""

import numpy as np
import pytest

from nascompiler.ir import (
    Builder,
    Choice,
    Constant,
    DType,
    Graph,
    Legality,
    Quantization,
    SymbolRef,
    TensorType,
    VerificationError,
    find_faults,
    parse,
    verify,
)


def messages(graph, legality=None):
    return [str(fault) for fault in find_faults(graph, legality)]


def relu() -> Graph:
    builder = Builder(origin="onnx:Relu_1")
    return builder.outputs(y=builder.nn.relu(builder.input("x", (2,)), name="r"))


def test_a_good_graph_has_no_faults():
    assert messages(relu()) == []


def test_all_faults_are_listed_with_node_and_origin():
    graph = parse(
        """nir 1
graph @g(%x: f32[2], %q: f32[3]<scale=0.5, zero_point=0>) {
  constant @c : f32[3] = [1.0, 2.0, 3.0]
  %a = nn.relu(%x) : f32[5] from "first"
  %b = nn.add(%x, @c) : f32[3] from "second"
  %d = nn.conv2d(%x) : f32[1] from "third"
  %e, %f = nn.relu(%x) : f32[2], f32[2] from "fourth"
  %g = nn.clip(%x) {min=@nowhere} : f32[*] from "fifth"
  return y=%a
}
"""
    )
    with pytest.raises(VerificationError) as caught:
        verify(graph)
    assert [(fault.where.partition(" = ")[0], fault.origin) for fault in caught.value.faults] == [
        ("%q : f32[3]<scale=0.5, zero_point=0>", ""),
        ("%a", "first"),
        ("%b", "second"),
        ("%d", "third"),
        ("%e, %f", "fourth"),
        ("%g", "fifth"),
    ]
    text = str(caught.value)
    assert text.startswith("graph 'g' is not valid: 6 fault(s)\n")
    for part in (
        "only integers are quantised",
        "%a = nn.relu(%x) (from first): %a is declared f32[5], but inferred f32[2]",
        "do not broadcast",
        "nn.conv2d got 1 operands; it takes (x, weight, bias?)",
        "has 2 results; nn.relu makes 1",
        "attribute min refers to @nowhere, which is no choice; choices: none",
    ):
        assert part in text


def test_long_lists_are_cut_in_the_message_only():
    builder = Builder()
    x = builder.input("x", (2,))
    for _ in range(60):
        builder.graph.set_type(builder.nn.relu(x), TensorType((3,)))
    builder.outputs(y=x)
    with pytest.raises(VerificationError, match="60 fault") as caught:
        verify(builder.graph)
    assert len(caught.value.faults) == 60
    assert str(caught.value).endswith("... and 10 more")


def test_order_and_belonging():
    graph, other = relu(), relu()
    (node,) = graph.nodes
    late = graph.insert("nn.exp", graph.inputs)
    graph.set_operand(node, 0, late.result)
    assert messages(graph) == [
        "%r = nn.relu(%?) (from onnx:Relu_1): %? : f32[2] is used before it is defined, or belongs to another graph"
    ]
    graph = relu()
    graph.set_outputs({"y": other.outputs[0]})
    assert messages(graph) == ["output 'y': %r : f32[2] belongs to another graph"]


def test_outputs_and_names():
    graph = relu()
    graph.set_outputs({})
    assert messages(graph) == ["return: the graph has no output"]
    graph = relu()
    graph.add_input("z", TensorType((1,))).name = "x"
    graph.output_names = ["y", "y"]
    graph.set_operands(graph._terminator, graph.outputs * 2)
    assert messages(graph) == ["inputs: 2 are named 'x'", "outputs: 2 are named 'y'"]


def test_constants_have_their_own_type():
    builder = Builder()
    constant = builder.constant(np.float32([1, 2]))
    graph = builder.outputs(y=builder.nn.relu(constant))
    graph.set_type(constant, TensorType((3,)))
    assert "is a constant of type f32[2]" in messages(graph)[0]


def test_placeholders_verify():
    builder = Builder()
    constant = builder.constant(Constant(TensorType((2, 3)), digest="0" * 32))
    assert messages(builder.outputs(y=builder.nn.linear(builder.input("x", (1, 2)), constant))) == []


@pytest.mark.parametrize(
    "quantization, message",
    [
        (Quantization.per_axis([1, 1], [0, 0], 2), "quantisation axis 2 is outside its 2 dimensions"),
        (Quantization.per_axis([1, 1], [0, 0], -1), "quantisation axis -1 is outside"),
        (Quantization.per_axis([1, 1], [0, 0], 1), "2 scales for 3 channels"),
        (Quantization.per_axis([1, 1], [0, 0], 0), None),
        (Quantization.per_tensor(0.5), None),
    ],
)
def test_quantisation_fits_the_shape(quantization, message):
    builder = Builder()
    graph = builder.outputs(y=builder.input("x", TensorType((2, 3), DType.I8, quantization)))
    found = messages(graph)
    assert (message is None and not found) or message in found[0]


# -- open graphs


def open_graph() -> Graph:
    builder = Builder()
    x = builder.input("x", (1, 8, 8, 4))
    graph = builder.outputs(
        y=builder.nn.relu(builder.nn.max_pool2d(x, kernel=SymbolRef("k"), strides=(1, SymbolRef("s"))))
    )
    graph.choices["k"] = Choice("k", ((2, 2), (3, 3)))
    graph.choices["s"] = Choice("s", (1, 2), ("k", ((3, 3),)))
    return graph


def test_open_graphs_are_checked_for_what_is_there():
    assert messages(open_graph()) == []
    assert "2 still open (@k, @s); close them with decide" in messages(open_graph(), Legality(closed=True))[0]


def test_options_have_to_fit_the_attribute():
    graph = open_graph()
    graph.choices["k"] = Choice("k", ((2, 2), 3, "large"))
    found = messages(graph)
    assert any("option 3 of @k does not fit kernel: a list of 2 integers >= 1" in message for message in found)
    assert any("option 'large' of @k does not fit kernel" in message for message in found)
    graph = open_graph()
    builder = Builder(graph)
    graph.choices["low"] = Choice("low", (0, 0.5))
    builder.nn.clip(graph.inputs[0], min=SymbolRef("low"))
    assert messages(graph) == []  # a whole number will do as a number


def test_conditions_refer_to_other_choices_and_their_options():
    graph = open_graph()
    graph.choices["a"] = Choice("a", (1,), ("nowhere", (1,)))
    graph.choices["b"] = Choice("b", (1,), ("b", (1,)))
    graph.choices["c"] = Choice("c", (1,), ("k", ((9, 9),)))
    graph.choices["d"] = Choice("d", (1,), ("e", (1,)))
    graph.choices["e"] = Choice("e", (1,), ("d", (1,)))
    found = messages(graph)
    assert any(m.startswith("@a: its condition names @nowhere") for m in found)
    assert any(m.startswith("@b: its condition names @b, which is no other choice") for m in found)
    assert any(m.startswith("@c: its condition names (9, 9), no option of @k") for m in found)
    assert {m.partition(":")[0] for m in found if "depends on itself" in m} >= {"@d", "@e"}


def test_cells_are_verified_and_referred_to():
    graph = relu()
    graph.cells["relu"] = relu()
    assert messages(graph) == ["@relu: is the cell named @main; both names must be the same"]
    cell = relu()
    cell.name = "cell"
    cell.set_type(cell.outputs[0], TensorType((9,)))
    cell.choices["inner"] = Choice("inner", (1,))
    graph = relu()
    graph.cells["cell"] = cell
    graph.choices["cell"] = Choice("cell", (1,))
    graph.insert("arch.cell", graph.inputs, {"cell": SymbolRef("other"), "filters": 8})
    found = messages(graph)
    assert found[0] == "@cell: names both a choice and a cell"
    assert any(m.startswith("@cell: %r = nn.relu(%x) (from onnx:Relu_1): %r is declared f32[9]") for m in found)
    assert "@cell: choices and cells belong to the graph, not to a cell" in found
    assert any("attribute cell refers to @other, which is no cell; cells: @cell" in m for m in found)


# -- legality


def test_legality_by_dialect_op_and_exception():
    graph = relu()
    assert messages(graph, Legality(dialects=frozenset({"nn"}))) == []
    assert messages(graph, Legality(dialects=frozenset(), ops=frozenset({"nn.relu"}))) == []
    assert messages(graph, Legality(forbidden=frozenset({"nn.relu"})))[0].endswith(
        "nn.relu is not legal here; accepted: arch.*, nn.*, qnn.*"
    )
    assert "accepted: qnn.*, nn.exp" in messages(graph, Legality(frozenset({"qnn"}), frozenset({"nn.exp"})))[0]


def test_legality_of_open_sizes():
    builder = Builder()
    graph = builder.outputs(y=builder.nn.relu(builder.input("x", ("N", 2)), name="r"))
    assert messages(graph) == []
    assert messages(graph, Legality(static=True)) == [
        f"%{name} : f32[N,2]: its size is not known here; give the inputs' shapes (fix-shapes, --shape)"
        for name in ("x", "r")
    ]


def test_what_changes_after_it_was_verified_is_verified_again():
    builder = Builder()
    x = builder.input("x", (2, 3))
    graph = builder.outputs(y=builder.nn.transpose(builder.nn.relu(x, name="r"), permutation=(1, 0), name="t"))
    assert messages(graph) == []
    for copy in (graph, graph.clone()):
        relu, transpose = copy.nodes
        copy.set_attributes(transpose, permutation=(0, 1))
        assert any("%t is declared f32[3,2], but inferred f32[2,3]" in m for m in messages(copy))
        copy.set_attributes(transpose, permutation=(1, 0))
        copy.set_type(relu.result, TensorType((3, 2)))
        assert len(messages(copy)) == 2
        copy.set_type(relu.result, TensorType((2, 3)))
        assert messages(copy) == []
