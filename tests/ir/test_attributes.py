import numpy as np
import pytest

from nascompiler.ir import DType, ModelError, OpDef, Operand, SymbolRef, TensorType
from nascompiler.ir.attributes import boolean, dtype, integer, integers, normalize, number, string, symbol, symbols_in

TEST = OpDef(
    name="arch.test",
    summary="",
    operands=(Operand("x"),),
    infer=lambda x, **attributes: TensorType(x.shape),
    attributes=(
        integer("count", minimum=1),
        integers("sizes", (), length=2, minimum=0),
        number("ratio", 0.5),
        boolean("flag", False),
        string("mode", "a", among=("a", "b")),
        dtype("to", DType.F32),
        symbol("cell"),
    ),
)
GIVEN = {"count": 1, "cell": SymbolRef("c")}


def test_what_python_gives_becomes_the_closed_set():
    assert normalize([1, [2.5, "a"], (True, DType.I8)]) == (1, (2.5, "a"), (True, DType.I8))
    assert normalize(np.float32(0.5)) == 0.5
    assert type(normalize(np.int64(3))) is int
    assert type(normalize(np.bool_(True))) is bool
    assert normalize(np.array(7)) == 7
    assert normalize(SymbolRef("a")) == SymbolRef("a")


@pytest.mark.parametrize("value", [None, {"a": 1}, {1}, object(), np.zeros(3), 1j, b"x"])
def test_anything_else_is_refused(value):
    with pytest.raises(TypeError, match="is not an attribute; accepted: bool, int, float"):
        normalize(value)


def test_defaults_are_filled_in_declared_order():
    assert TEST.complete_attributes(GIVEN) == {
        "count": 1,
        "sizes": (),
        "ratio": 0.5,
        "flag": False,
        "mode": "a",
        "to": DType.F32,
        "cell": SymbolRef("c"),
    }
    assert list(TEST.complete_attributes(GIVEN)) == [a.name for a in TEST.attributes]


def test_whole_numbers_become_floats_where_numbers_are_wanted():
    assert type(TEST.complete_attributes({**GIVEN, "ratio": 2})["ratio"]) is float


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("count", 0, "attribute 'count' is 0; accepted: an integer >= 1"),
        ("count", True, "attribute 'count' is True; accepted: an integer >= 1"),
        ("count", 1.0, "accepted: an integer >= 1"),
        ("sizes", (1, 2, 3), "accepted: a list of 2 integers >= 0"),
        ("sizes", (1, -2), "accepted: a list of 2 integers >= 0"),
        ("sizes", 1, "accepted: a list of 2 integers >= 0"),
        ("ratio", "x", "accepted: a number"),
        ("flag", 1, "accepted: true or false"),
        ("mode", "c", "accepted: a or b"),
        ("to", "f32", "accepted: an element type"),
        ("cell", "c", "accepted: a reference such as @normal"),
        ("more", 1, r"unknown attribute 'more' \(accepted: count, sizes"),
        ("mode", None, "attribute 'mode': NoneType is not an attribute"),
    ],
)
def test_ill_typed_attributes(name, value, message):
    with pytest.raises(ModelError, match=message):
        TEST.complete_attributes({**GIVEN, name: value})


def test_all_faults_are_listed_at_once():
    with pytest.raises(ModelError) as caught:
        TEST.complete_attributes({"count": 0, "flag": 3, "other": 1})
    message = str(caught.value)
    assert all(word in message for word in ("'count'", "'flag'", "'other'", "'cell' is missing"))


def test_references_stand_for_any_value_and_leave_an_op_open():
    attributes = TEST.complete_attributes({**GIVEN, "count": SymbolRef("n"), "sizes": (SymbolRef("h"), 3)})
    assert TEST.is_open(attributes)
    assert not TEST.is_open(TEST.complete_attributes(GIVEN))  # a reference to a cell waits for nothing
    assert list(symbols_in((1, (SymbolRef("a"), "b"), SymbolRef("c")))) == [SymbolRef("a"), SymbolRef("c")]
    assert str(SymbolRef("a")) == "@a"
