"""Records of ops and their registry."""

import numpy as np
import pytest

from nascompiler.ir import OPS, Builder, DType, OpDef, Operand, TensorType, Trait, UsageError, register_op
from nascompiler.ir.errors import choices_text, unknown
from nascompiler.ir.ops import OpRegistry


@pytest.fixture
def registered():
    """Ops that a test registers are forgotten after it."""
    before = dict(OPS)
    yield
    OPS._ops.clear()
    OPS._ops.update(before)


def make(name, **options):
    return OpDef(
        name=name,
        summary="",
        operands=options.pop("operands", (Operand("x"),)),
        infer=lambda x: TensorType(x.shape, x.dtype),
        **options,
    )


def test_an_op_is_one_record(registered):
    register_op(make("test.triple", evaluate=lambda x: 3 * x))
    builder = Builder()
    value = builder.op("test.triple", builder.input("x", (2,)))
    assert value.type == TensorType((2,))
    assert OPS["test.triple"].dialect == "test"
    assert OPS["test.triple"] in OPS.values()


def test_names_are_taken_once(registered):
    with pytest.raises(UsageError, match=r"an op named 'nn.relu' is registered already"):
        register_op(make("nn.relu", evaluate=lambda x: x))


def test_an_op_needs_a_meaning():
    with pytest.raises(ValueError, match="needs a reference evaluation or a decomposition"):
        make("test.nothing")
    make("arch.later")


def test_unknown_ops_come_with_the_nearest():
    with pytest.raises(
        UsageError, match=r"unknown op 'nn.con2d' \(did you mean nn.conv2d\?\); accepted: \d+ names, among"
    ):
        OPS.find("nn.con2d")
    with pytest.raises(UsageError, match=r"unknown dialect 'tf'; accepted: .*nn"):
        OPS.find("tf.relu")
    with pytest.raises(KeyError):
        OPS["nn.con2d"]
    assert "nn.con2d" not in OPS
    assert OPS.get("nn.con2d") is None


def test_the_registry_lists_the_built_in_dialects():
    assert len(OPS) == len(list(OPS))
    assert {name.partition(".")[0] for name in OPS} >= {"nn", "arch"}
    assert not OpRegistry()._ops


def test_operands_are_found_and_padded():
    variadic = make("arch.v", operands=(Operand("a"), Operand("rest", variadic=True)))
    assert [variadic.operand_at(i).name for i in range(4)] == ["a", "rest", "rest", "rest"]
    assert variadic.padded((1,)) == (1,)
    optional = OPS["nn.conv2d"]
    assert optional.operand_at(3) is None
    assert optional.padded((1, 2)) == (1, 2, None)


def test_result_counts():
    assert OPS["nn.split"].result_count({"sizes": (1, 2, 3)}) == 3
    assert OPS["nn.lstm"].result_count({}) == 3


def test_static_forms_come_from_constants():
    op = OPS["nn.dynamic_tile"]
    types, repeats = (TensorType((2, 3)), TensorType((2,), DType.I64)), np.int64([1, 2])
    assert op.has(Trait.DYNAMIC)
    assert op.static_attributes(types, (None, repeats), {}) == {"repeats": (1, 2)}
    assert op.static_attributes(types, (None, None), {}) is None


def test_every_op_is_documented_and_consistent():
    for name, op in OPS.items():
        assert op.name == name
        assert op.summary, name
        assert op.dialect == "arch" or op.evaluate is not None or op.decompose is not None
        optional = [operand.optional or operand.variadic for operand in op.operands]
        assert optional == sorted(optional), f"{name}: only the last operands may be optional"
        assert len({operand.name for operand in op.operands}) == len(op.operands)
        for attribute in op.attributes:
            assert attribute.is_required or attribute.kind.accepts(attribute.default), (name, attribute.name)
        if op.has(Trait.COMMUTATIVE):
            assert len(op.operands) == 2
        if op.has(Trait.DYNAMIC):
            assert op.static_form[0] in OPS
            assert op.infer_uses_constants


def test_lists_in_messages():
    assert choices_text([]) == "nothing"
    assert choices_text(["a"]) == "a"
    assert choices_text(["a", "b", "c"]) == "a, b or c"
    assert str(unknown("thing", "alpa", ["alpha", "beta"])) == (
        "unknown thing 'alpa' (did you mean alpha?); accepted: alpha or beta"
    )
    long = str(unknown("thing", "n5x", [f"n{i}" for i in range(100)]))
    assert "100 names, among them n" in long
    assert len(long) < 200
