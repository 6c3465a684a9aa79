"""The text form: round trips at every level, and errors with file, line and column."""

import contextlib
import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nascompiler.ir import (
    Builder,
    Choice,
    Constant,
    DType,
    Graph,
    ParseError,
    Quantization,
    SymbolRef,
    TensorType,
    canonical_text,
    find_faults,
    fingerprint,
    parse,
    print_graph,
    structurally_equal,
)
from nascompiler.ir.files import stored_constants
from tests.ir.random_graphs import graphs


def example() -> Graph:
    """A graph of every construct of the text form."""
    cell = Builder("normal")
    cell.outputs(
        out=cell.arch.combine(
            cell.input("a", TensorType(None)), left=0, right=0, left_op=SymbolRef("op"), right_op="max3"
        )
    )
    builder = Builder("net")
    x = builder.input("x:0", TensorType(("N", 3, None), DType.F32))
    q = builder.input("q", TensorType((2, 3), DType.I8, Quantization.per_axis([0.5, 0.25], [0, 1], 0)))
    r = builder.input("r", TensorType((1,), DType.U8, Quantization.per_tensor(0.1, 128)))
    large = builder.constant(np.arange(12, dtype=np.float32).reshape(3, 4), "w")
    small = builder.constant(np.float32([1, -0.0, np.inf, np.nan]), "bias")
    builder.origin = 'onnx:"Gemm" 1'
    y = builder.nn.linear(x, large, small, name="dense layer")
    first, second = builder.nn.split(y, axis=-1, sizes=(1, 3), names=("first", ""))
    stacked = builder.arch.cell(first, cell=SymbolRef("normal"), filters=SymbolRef("width"))
    clipped = builder.nn.clip(second, min=-1.5)
    graph = builder.outputs(**{"y 1": stacked, "return": clipped, "q": q, "r": r})
    graph.choices["op"] = Choice("op", ("identity", "conv3"))
    graph.choices["width"] = Choice("width", (8, 16), ("op", ("conv3",)))
    graph.cells["normal"] = cell.graph
    graph.attributes["source"] = "a test"
    graph.attributes["nested"] = ((1, (2.0, "three")), DType.F32, True)
    return graph


def test_the_text_form_is_as_agreed(golden):
    golden("ir/every_construct.nir", print_graph(example()))


def test_every_construct_round_trips():
    graph = example()
    text = print_graph(graph)
    again = parse(text, constants=stored_constants(graph))
    assert print_graph(again) == text
    assert structurally_equal(again, graph)
    assert again.attributes == graph.attributes
    assert [node.origin for node in again.nodes] == [node.origin for node in graph.nodes]


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_random_graphs_round_trip(graph):
    text = print_graph(graph)
    text.encode()
    again = parse(text, constants=stored_constants(graph))
    assert canonical_text(again) == canonical_text(graph)
    assert fingerprint(again) == fingerprint(graph)
    assert print_graph(again) == text
    assert structurally_equal(parse(text), graph)  # placeholders are as good as values
    assert repr(again.attributes) == repr(graph.attributes)
    assert {n: repr(c) for n, c in again.choices.items()} == {n: repr(c) for n, c in graph.choices.items()}
    assert canonical_text(graph.clone()) == canonical_text(graph)


@pytest.mark.parametrize("count", [200])
def test_names_that_are_taken_get_numbers(count):
    builder = Builder()
    value = builder.input("n", (1,))
    names = ["n"] * count + [f"n_{i}" for i in range(1, count, 3)] + ["", "0", "1"]
    for name in names:
        value = builder.nn.relu(value, name=name)
    graph = builder.outputs(y=value)
    text = print_graph(graph)
    assert structurally_equal(parse(text), graph)
    assert len(set(re.findall(r"(%\S+) = nn", text))) == len(names)


def test_constants_are_shared_or_not_as_they_were():
    builder = Builder()
    x = builder.input("x", (2,))
    shared = builder.constant(np.float32([1, 2]))
    graph = builder.outputs(y=builder.nn.add(builder.nn.add(x, shared), shared))
    assert len(parse(print_graph(graph)).constants) == 1


def test_defaults_are_left_out_and_read_back():
    builder = Builder()
    graph = builder.outputs(y=builder.nn.conv2d(builder.input("x", (1, 4, 4, 1)), builder.input("w", (1, 1, 1, 1))))
    text = print_graph(graph)
    assert "nn.conv2d(%x, %w) : f32" in text
    (node,) = parse(text).nodes
    assert node["strides"] == (1, 1)


def test_comments_and_free_layout_are_read():
    graph = parse("# first\nnir 1 graph @g(%x: f32[ 2 , ], ) { # here\n%0 = nn.relu(%x,) { } : f32[2] return y = %0, }")
    assert len(graph) == 1


# -- structural equality


def linear(weight=1.0, *, name="", origin="", axis=0, outputs="y", dtype=np.float32):
    builder = Builder(origin=origin)
    x = builder.input("x", (2,), DType.of(dtype))
    value = builder.nn.add(x, builder.constant(np.array([weight], dtype), name), name=name)
    return builder.outputs(**{outputs: builder.nn.concat(value, value, axis=axis, name=name)})


def test_names_and_origins_do_not_count():
    assert structurally_equal(linear(), linear(name="other", origin="somewhere"))
    assert fingerprint(linear()) == fingerprint(linear(name="other"))
    renamed = linear()
    renamed.name = "else"
    renamed.attributes["source"] = "x"
    assert structurally_equal(linear(), renamed)


@pytest.mark.parametrize(
    "other", [linear(2.0), linear(axis=-1), linear(outputs="z"), linear(dtype=np.float64), linear(-1.0)]
)
def test_constants_attributes_types_and_interface_count(other):
    assert not structurally_equal(linear(), other)
    assert fingerprint(linear()) != fingerprint(other)


def test_signs_of_zero_and_kinds_of_numbers_count():
    def clip(value):
        builder = Builder()
        return builder.outputs(y=builder.nn.clip(builder.input("x", (2,)), min=value))

    assert not structurally_equal(clip(0.0), clip(-0.0))
    assert structurally_equal(clip(0), clip(0.0))  # a number attribute is a float
    assert structurally_equal(linear(float("nan")), linear(float("nan")))
    assert not structurally_equal(linear(0.0), linear(-0.0))


def test_large_constants_count_by_content():
    def network(last):
        builder = Builder()
        values = np.zeros(100, np.float32)
        values[-1] = last
        return builder.outputs(y=builder.nn.add(builder.input("x", (100,)), builder.constant(values)))

    assert structurally_equal(network(1), network(1))
    assert not structurally_equal(network(1), network(2))


def test_choices_and_cells_count():
    graph, other = example(), example()
    other.choices["op"] = Choice("op", ("conv3", "identity"))
    assert not structurally_equal(graph, other)
    other = example()
    other.choices["width"] = Choice("width", (8, 16))
    assert not structurally_equal(graph, other)
    other = example()
    (node,) = other.cells["normal"].nodes
    other.cells["normal"].set_attributes(node, right=1)
    assert not structurally_equal(graph, other)


# -- errors

HEAD = "nir 1\ngraph @g(%x: f32[2]) {\n  "
BAD = {
    "empty": ("", r"1:1: this is not a file of ours: it must start with 'nir 1'"),
    "another format": ("<?xml version='1.0'?>", r"1:\d+: unexpected character"),
    "text": ("hello world", r"1:1: this is not a file of ours"),
    "old version": ("nir 0\ngraph @g() {}", r"1:5: format version 0 is not known; this release reads version 1"),
    "new version": ("nir 2\ngraph @g() {}", r"1:5: format version 2 is not known"),
    "no version": ("nir graph", r"1:5: expected the version of the format, found 'graph'"),
    "truncated header": ("nir 1\ngraph @g(", r"2:10: expected an input such as %x, found 'the end of the file'"),
    "truncated body": (HEAD + "%a = nn.relu(%x", r"3:18: expected '\)', found 'the end of the file'"),
    "truncated type": (HEAD + "%a = nn.relu(%x) : f32[2", r"3:27: expected ']', found 'the end"),
    "no return": (HEAD + "%a = nn.relu(%x) : f32[2]\n}", r"4:1: expected"),
    "text behind": (HEAD + "return y=%x\n}\nmore", r"5:1: unexpected text after the graph"),
    "unknown op": (
        HEAD + "%a = nn.rellu(%x) : f32[2]\nreturn y=%a}",
        r"3:8: unknown op 'nn.rellu' \(did you mean nn.relu\?\)",
    ),
    "unknown dialect": (
        HEAD + "%a = nm.relu(%x) : f32[2]\nreturn y=%a}",
        r"3:8: unknown dialect 'nm'.*accepted: .*nn",
    ),
    "unknown dtype": (
        HEAD + "%a = nn.relu(%x) : float32[2]\nreturn y=%a}",
        r"3:22: unknown element type 'float32'; accepted: f16",
    ),
    "unknown attribute": (
        HEAD + "%a = nn.relu(%x) {slope=1} : f32[2]\nreturn y=%a}",
        r"3:8: nn.relu: unknown attribute 'slope'",
    ),
    "wrong attribute": (
        HEAD + "%a = nn.clip(%x) {min=low} : f32[2]\nreturn y=%a}",
        r"3:8: .*'min' is 'low'; accepted: a number",
    ),
    "missing attribute": (
        HEAD + "%a = nn.concat(%x) : f32[2]\nreturn y=%a}",
        r"3:8: .*attribute 'axis' is missing: an integer",
    ),
    "attribute twice": (
        HEAD + "%a = nn.clip(%x) {min=1.0, min=2.0} : f32[2]\nreturn y=%a}",
        r"3:30: attribute min is given twice",
    ),
    "used before defined": (HEAD + "%a = nn.relu(%b) : f32[2]\nreturn y=%a}", r"3:16: %b is used before it is defined"),
    "constant before defined": (
        HEAD + "%a = nn.add(%x, @c) : f32[2]\nreturn y=%a}",
        r"3:19: @c is used before it is defined",
    ),
    "cycle": (HEAD + "%a = nn.relu(%a) : f32[2]\nreturn y=%a}", r"3:16: %a is used before it is defined"),
    "defined twice": (
        HEAD + "%a = nn.relu(%x) : f32[2]\n%a = nn.relu(%x) : f32[2]\nreturn y=%a}",
        r"4:1: %a is defined twice",
    ),
    "input twice": ("nir 1\ngraph @g(%x: f32[2], %x: f32[2]) {return y=%x}", r"2:22: %x is defined twice"),
    "result twice": (
        HEAD + "%a, %a = nn.split(%x) {axis=0, sizes=[1, 1]} : f32[1], f32[1]\nreturn y=%a}",
        r"3:3: %a is defined twice",
    ),
    "output twice": (HEAD + "return y=%x, y=%x}", r"3:16: two outputs named 'y'"),
    "results without types": (
        HEAD + "%a, %b = nn.split(%x) {axis=0, sizes=[1, 1]} : f32[1]\nreturn y=%a}",
        r"3:3: 2 results but 1 types",
    ),
    "constant twice": (
        HEAD + "constant @c : f32[] = [1.0]\nconstant @c : f32[] = [1.0]\nreturn y=%x}",
        r"4:10: constant @c is defined twice",
    ),
    "constant too short": (
        HEAD + "constant @c : f32[2] = [1.0]\nreturn y=%x}",
        r"3:12: constant @c of type f32\[2\] lists 1 values",
    ),
    "constant of another kind": (
        HEAD + "constant @c : i32[1] = [1.5]\nreturn y=%x}",
        r"lists values that are no integers",
    ),
    "constant of strings": (HEAD + 'constant @c : f32[1] = ["1"]\nreturn y=%x}', r"lists values that are no floats"),
    "constant of lists": (HEAD + "constant @c : f32[1] = [[1.0]]\nreturn y=%x}", r"lists values that are no floats"),
    "constant of numbers as booleans": (
        HEAD + "constant @c : bool[1] = [1]\nreturn y=%x}",
        r"lists values that are no booleans",
    ),
    "constant out of range": (
        HEAD + "constant @c : i8[1] = [300]\nreturn y=%x}",
        r"3:12: constant @c of type i8\[1\]: .*300",
    ),
    "constant of open type": (
        HEAD + "constant @c : f32[N] = [1.0]\nreturn y=%x}",
        r"constant @c has the open type f32\[N\]",
    ),
    "constant with a short hash": (HEAD + "constant @c : f32[1] = sha256:00\nreturn y=%x}", r"3:\d+: "),
    "choice twice": (HEAD + "choice @c = [1]\nchoice @c = [1]\nreturn y=%x}", r"4:8: choice @c is defined twice"),
    "choice without options": (HEAD + "choice @c = []\nreturn y=%x}", r"3:10: choice @c has no options"),
    "choice with equal options": (HEAD + "choice @c = [1, 1]\nreturn y=%x}", r"choice @c lists an option twice"),
    "choice that is no list": (HEAD + "choice @c = 1\nreturn y=%x}", r"3:15: expected a list such as \[3, 5\]"),
    "cell twice": (HEAD + "cell @c() {return}\ncell @c() {return}\nreturn y=%x}", r"4:6: cell @c is defined twice"),
    "cell in a cell": (HEAD + "cell @c() {cell @d() {return} return}\nreturn y=%x}", r"a cell cannot contain cells"),
    "negative size": ("nir 1\ngraph @g(%x: f32[-1]) {return y=%x}", r"2:14: negative dimension -1"),
    "fractional size": ("nir 1\ngraph @g(%x: f32[1.5]) {return y=%x}", r"2:18: expected a dimension, found '1.5'"),
    "scale of zero": ("nir 1\ngraph @g(%x: i8[1]<scale=0.0>) {return y=%x}", r"a scale must be positive and finite"),
    "quantisation of nothing": ("nir 1\ngraph @g(%x: i8[1]<>) {return y=%x}", r"2:\d+: "),
    "unknown field of a quantisation": (
        "nir 1\ngraph @g(%x: i8[1]<scale=1.0, offset=3>) {return y=%x}",
        r"a quantisation is <scale=S",
    ),
    "unterminated string": (HEAD + 'return "y=%x}', r"3:10: unexpected character '\"'"),
    "invalid escape": (HEAD + 'return "\\q"=%x}', r'3:10: invalid string "\\q"'),
    "wrong sigil": ("nir 1\ngraph %g() {return}", r"2:7: expected a graph name, found '%g'"),
    "number too long": (HEAD + "%a = nn.clip(%x) {min=" + "9" * 50 + "} : f32[2]\nreturn y=%a}", "more than 40 digits"),
    "lists too deep": (
        HEAD + "choice @c = " + "[" * 5000 + "]" * 5000 + "\nreturn y=%x}",
        "lists nested deeper than 64",
    ),
    "control characters": (HEAD + "\x00\x01", r"3:3: unexpected character '\\x00'"),
}


@pytest.mark.parametrize("name", BAD)
def test_malformed_text_is_refused_at_its_place(name):
    text, message = BAD[name]
    with pytest.raises(ParseError, match=message) as caught:
        parse(text, file="net.nir")
    assert str(caught.value).startswith(f"net.nir:{caught.value.line}:{caught.value.column}: ")


def test_the_version_comes_first():
    assert print_graph(Graph()).startswith("nir 1\n")


def test_every_truncation_is_a_parse_error():
    text = print_graph(example())
    for end in range(len(text) - 2):
        with pytest.raises(ParseError):
            parse(text[:end])


def mutations(text: str, seed: int) -> str:
    """Text with pieces deleted, doubled, swapped or overwritten."""
    generator = random.Random(seed)
    tokens = re.findall(r"\s+|\w+|.", text)
    for _ in range(generator.randint(1, 4)):
        i, j = sorted(generator.randrange(len(tokens)) for _ in range(2))
        kind = generator.randrange(5)
        if kind == 0:
            del tokens[i : min(j, i + 5)]
        elif kind == 1:
            tokens[i:i] = tokens[i : min(j, i + 9)]
        elif kind == 2:
            tokens[i], tokens[j] = tokens[j], tokens[i]
        elif kind == 3:
            tokens[i] = generator.choice(
                ["", "-", "@", "%x", "nan", "[", "]", "}", '"', "1e999", "?", "*", "99999999999999999999", "\x00"]
            )
        else:
            tokens[i] = generator.choice(tokens)
    return "".join(tokens)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_text_parses_or_is_a_parse_error_and_verifies_or_lists_faults(seed):
    text = print_graph(example())
    for index in range(400):
        damaged = mutations(text, 1000 * seed + index)
        try:
            graph = parse(damaged)
        except ParseError:
            continue
        list(find_faults(graph))
        assert structurally_equal(parse(print_graph(graph)), graph)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_binary_garbage_is_refused(content):
    with pytest.raises(ParseError):
        parse(content.decode("latin-1"))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=100))
def test_garbage_inside_a_graph_is_refused_or_verifies(text):
    with contextlib.suppress(ParseError):
        list(find_faults(parse(HEAD + text + "\nreturn y=%x\n}")))


def test_long_inputs_take_linear_time():
    for text in (
        '"' * 200_000,
        "%" * 200_000,
        "[" * 200_000,
        HEAD + "return " + "y" * 200_000,
        "nir 1 " + "-" * 200_000,
    ):
        with pytest.raises(ParseError):
            parse(text)


def test_placeholders_have_types_and_hashes_but_no_values():
    builder = Builder()
    values = np.arange(100, dtype=np.float32)
    graph = builder.outputs(y=builder.nn.add(builder.input("x", (100,)), builder.constant(values)))
    (value,) = parse(print_graph(graph)).constants
    assert value.constant.is_placeholder
    assert value.constant == Constant.of(values)
    (value,) = parse(print_graph(graph), constants=stored_constants(graph)).constants
    assert np.array_equal(value.constant.array, values)


def test_a_store_with_a_tensor_of_another_type_is_refused():
    builder = Builder()
    graph = builder.outputs(y=builder.nn.relu(builder.constant(np.zeros(100, np.float32))))
    (digest,) = stored_constants(graph)
    with pytest.raises(ParseError, match="declared as"):
        parse(print_graph(graph), constants={digest: np.zeros(99, np.float32)})
