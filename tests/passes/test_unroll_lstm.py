"""One cell a step, bit for bit."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from nascompiler.ir import Builder, Graph
from nascompiler.passes import PassContext, PassManager
from nascompiler.passes.infrastructure.instruments import NumericCheck, Verify
from nascompiler.passes.unroll_lstm import UnrollLstm


def lstm(steps: int | str, outputs: str, *, reverse: bool = False) -> Graph:
    """[steps, 2, 3] through 4 hidden units; `outputs` are some of y, h and c."""
    builder = Builder()
    random = np.random.default_rng(0)
    weights = [builder.constant(random.normal(size=s).astype(np.float32)) for s in ((3, 16), (4, 16), (16,))]
    states = builder.input("h", (2, 4)), builder.input("c", (2, 4))
    made = builder.nn.lstm(builder.input("x", (steps, 2, 3)), *states, *weights, reverse=reverse)
    results = dict(zip("yhc", made, strict=True))
    return builder.outputs(**{f"out_{name}": results[name] for name in outputs})


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("outputs", ["yhc", "y", "h"])
def test_unrolled_is_the_same_bit_for_bit(steps, outputs, reverse):
    numeric = NumericCheck(images=2)
    manager = PassManager([Verify(), numeric])
    result = manager.run(lstm(steps, outputs, reverse=reverse), "unroll-lstm")
    assert not numeric.skipped
    assert manager.run(result, "unroll-lstm") is result
    counts = Counter(n.op.name for n in result.nodes)
    assert counts["nn.lstm_cell"] == steps
    assert counts["nn.concat"] == ("y" in outputs)


def test_expected(transforms):
    before = lstm(2, "h")
    constants = "\n  ".join(line.strip() for line in str(before).splitlines() if " constant " in line)
    names = [line.split("@")[1].split(" ")[0] for line in constants.splitlines()]
    w, r, b = (f"@{name}" for name in names)
    result = PassManager().run(before, "unroll-lstm")
    lines = [line.strip() for line in str(result).splitlines() if " = nn." in line]
    assert [line.partition(" = ")[2].partition("(")[0] for line in lines] == [
        "nn.split",
        "nn.squeeze",
        "nn.lstm_cell",
        "nn.squeeze",
        "nn.lstm_cell",
    ]
    assert all(f"{w}, {r}, {b}" in line for line in lines if "lstm_cell" in line)


@pytest.mark.parametrize("steps, reason", [("t", "run fix-shapes first"), (0, "the sequence is empty")])
def test_misses_say_why(steps, reason):
    graph, context = lstm(steps, "yhc"), PassContext()
    UnrollLstm().run(graph, context)
    assert [n.op.name for n in graph.nodes] == ["nn.lstm"]
    assert reason in context.misses[0][2]
