"""Composite ops by their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir import OPS, Builder, Graph, UsageError
from nascompiler.passes import PassContext, PassManager, Pipeline
from nascompiler.passes.decompose import Decompose
from nascompiler.passes.infrastructure.instruments import NumericCheck, Verify
from tests.passes.networks import Writer


def decomposed(graph: Graph, pipeline: str = "decompose") -> Graph:
    numeric = NumericCheck(images=2)
    manager = PassManager([Verify(), numeric])
    result = manager.run(graph, pipeline)
    assert not numeric.skipped
    assert manager.run(result, pipeline) is result, "not idempotent"
    return result


def composites() -> Graph:
    writer = Writer(0, channels_first=False)
    nn, b = writer.builder.nn, writer.builder
    x = nn.hard_swish(nn.swish(writer.input(3, 4, 6)))
    parameters = [b.constant(writer.weights(*shape)) for shape in ((6, 2), (2,), (2, 6), (6,))]
    excited = nn.squeeze_excite(x, *parameters, activation="hard_swish", gate="sigmoid")
    step = nn.reshape(excited, shape=(12, 6))
    weights = [b.constant(writer.weights(*shape)) for shape in ((6, 8), (2, 8), (8,))]
    state = b.constant(np.zeros((12, 2), np.float32))
    h, c = nn.lstm_cell(step, state, state, *weights)
    return b.outputs(h=h, c=c)


def test_all_composites_and_those_inside_them():
    result = decomposed(composites())
    assert not [n for n in result.nodes if n.op.is_composite]


def test_only_those_named():
    result = decomposed(composites(), "decompose{ops=[hard_swish, nn.squeeze_excite]}")
    assert {n.op.name for n in result.nodes if n.op.is_composite} == {"nn.swish", "nn.lstm_cell"}


def test_expected(transforms):
    transforms(
        "(%x: f32[2]) {\n  %y = nn.hard_swish(%x) : f32[2]\n  return y=%y\n}",
        "decompose",
        "(%x: f32[2]) {\n  %g = nn.hard_sigmoid(%x) : f32[2]\n  %y = nn.mul(%x, %g) : f32[2]\n  return y=%y\n}",
    )


def test_names_that_are_no_composites():
    graph = Builder().outputs()
    with pytest.raises(UsageError, match=r"nn\.relu is no composite op; these are: .*nn\.hard_swish"):
        PassManager().run(graph, "decompose{ops=[relu]}")
    with pytest.raises(UsageError, match="hard_swish"):
        PassManager().run(graph, "decompose{ops=[hard_swich]}")


def test_text_round_trip():
    assert str(Pipeline.parse("decompose{ops=[swish]}")) == "decompose{ops=[swish]}"
    assert Pipeline.parse("decompose{ops=swish}") == Pipeline.parse("decompose{ops=[swish]}")


def test_an_open_size_that_the_definition_needs_is_a_miss():
    builder = Builder()
    shapes = ((2, 3), (2, "h"), (2, "h"), (3, "g"), ("h", "g"), ("g",))
    h, c = builder.nn.lstm_cell(*(builder.input(f"x{i}", shape) for i, shape in enumerate(shapes)))
    graph, context = builder.outputs(h=h, c=c), PassContext()
    Decompose().run(graph, context)
    assert [n.op.name for n in graph.nodes] == ["nn.lstm_cell"]
    assert "must be known to expand it" in context.misses[0][2]


def test_every_composite_of_nn_has_a_name_here():
    names = {name for name, op in OPS.items() if op.is_composite and op.dialect == "nn"}
    assert {"nn.hard_swish", "nn.swish", "nn.squeeze_excite", "nn.lstm_cell"} <= names
