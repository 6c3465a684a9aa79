"""Which calls are measured, in which order, until when, and what is kept; the measuring itself is made up here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nascompiler.backends import tune
from nascompiler.backends.cpu.choice import variants
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.errors import TuningError
from nascompiler.backends.measure.latency import Kind
from nascompiler.backends.predict import timed_calls
from nascompiler.backends.store import Measurements, Outcome, Row, Store, Tuning
from nascompiler.backends.target import parse_target
from nascompiler.backends.tune import Progress, TuningResult, tune_graph
from nascompiler.ir import Graph
from nascompiler.ir.builder import Builder
from nascompiler.ir.graph import Node
from nascompiler.passes import run_pipeline

TARGET = parse_target("cpu")


def network() -> Graph:
    """A small convolution twice, a large one, and a softmax."""
    builder = Builder("net")
    small, large = (builder.constant(np.ones((1, 1, *s), np.float32)) for s in ((8, 8), (8, 512)))
    y = builder.nn.conv2d(builder.nn.conv2d(builder.input("x", (1, 4, 4, 8)), small), small)
    return run_pipeline(builder.outputs(y=builder.nn.log_softmax(builder.nn.conv2d(y, large))), "assign-kernels")


class MadeUp:
    """In place of KernelMeasurer: the second variant of a call is twice as fast as the first, unless all fail."""

    def __init__(self, graph: Graph, fails: bool = False, interrupt_at: int = 99) -> None:
        self.nodes: dict[str, Node] = {text: nodes[0] for text, nodes in timed_calls(graph).items()}
        self.fails, self.interrupt_at = fails, interrupt_at
        self.measured: list[str] = []

    def __call__(self, graph: Graph, target: Any) -> MadeUp:
        return self

    def __enter__(self) -> MadeUp:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def measure(self, call: str, seconds: float) -> Tuning:
        if len(self.measured) == self.interrupt_at:
            raise KeyboardInterrupt
        self.measured.append(call)
        names = list(variants(KernelCall.of(self.nodes[call]), TARGET))
        gains = [1.0, 2.0, *[0.5] * len(names)]
        rows = [Row(n, median_ns=1e4 / g, repeats=5, gain=g) for n, g in zip(names, gains, strict=False)]
        if self.fails:
            rows = [Row(name, Outcome.CRASH, detail="killed") for name in names]
        return Tuning(tuple(rows), 0.01, Kind.MEASURED, True)


def run(made_up: MadeUp, store: Path, budget_s: float = 100.0, **options: Any) -> tuple[TuningResult, list[Progress]]:
    reports: list[Progress] = []
    known = Measurements((Store(store),))
    measurer: Any = made_up
    result = tune_graph(
        network(), TARGET, budget_s=budget_s, known=known, measurer=measurer, report=reports.append, **options
    )
    return result, reports


def test_the_most_expensive_come_first_and_what_has_no_choice_last(tmp_path):
    made_up = MadeUp(network())
    result, reports = run(made_up, tmp_path / "m.sqlite")
    assert [made_up.nodes[text].result.type.static_shape[-1] for text in made_up.measured] == [512, 8, 512]
    assert made_up.nodes[made_up.measured[-1]].op.name == "nn.log_softmax"
    assert (result.measured, result.known, result.left) == (3, 0, 0)
    assert [(p.done, p.total) for p in reports] == [(1, 3), (2, 3), (3, 3)]
    assert reports[-1].left_s == 0.0
    by_shape = {len(call.nodes): call for call in result.calls if call.op != "nn.log_softmax"}
    assert by_shape[2].gain == 2.0
    assert (by_shape[2].default_ns, by_shape[2].ns, by_shape[2].total_ns) == (1e4, 5e3, 1e4)
    assert by_shape[2].variant != by_shape[2].default
    assert result.to_json()["calls"][0]["failures"] == []


def test_what_is_known_is_not_measured_again_unless_asked(tmp_path):
    run(MadeUp(network()), tmp_path / "m.sqlite")
    made_up = MadeUp(network())
    result, reports = run(made_up, tmp_path / "m.sqlite")
    assert (made_up.measured, reports) == ([], [])
    assert (result.measured, result.known) == (0, 3)
    assert all(call.ns is not None for call in result.calls)
    result, _ = run(made_up, tmp_path / "m.sqlite", again=True)
    assert result.measured == 3


def test_what_ships_is_measured_here_once_more(tmp_path):
    run(MadeUp(network()), tmp_path / "base.sqlite")
    known = Measurements((Store(tmp_path / "m.sqlite"), Store(tmp_path / "base.sqlite", read_only=True)))
    made_up: Any = MadeUp(network())
    result = tune_graph(network(), TARGET, budget_s=100.0, known=known, measurer=made_up)
    assert (result.measured, result.known) == (3, 0)


def test_no_call_begins_after_the_budget_and_the_next_run_goes_on(tmp_path, monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(tune.time, "monotonic", lambda: float(next(clock)))
    result, reports = run(MadeUp(network()), tmp_path / "m.sqlite", budget_s=15.0)
    assert (result.measured, result.left) == (2, 1)
    assert [p.left_s for p in reports] == [5.0, 0.0]
    result, _ = run(MadeUp(network()), tmp_path / "m.sqlite")
    assert (result.measured, result.known, result.left) == (1, 2, 0)


def test_an_interruption_keeps_what_was_measured(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(MadeUp(network(), interrupt_at=2), tmp_path / "m.sqlite")
    result, _ = run(MadeUp(network()), tmp_path / "m.sqlite")
    assert (result.measured, result.known) == (1, 2)


def test_only_failures_are_an_error_that_lists_them(tmp_path):
    with pytest.raises(TuningError, match=r"nothing could be measured: cpu\.conv2d: .*: crash: killed") as caught:
        run(MadeUp(network(), fails=True), tmp_path / "m.sqlite")
    assert caught.value.exit_code == 6
