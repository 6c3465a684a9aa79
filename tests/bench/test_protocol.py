from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

from nascompiler.bench.protocol import resident_bytes, serve, timed_runs


class Counting:
    version = "1"
    note = "counts"

    def __init__(self) -> None:
        self.steps = 0

    def step(self) -> None:
        self.steps += 1

    def profile(self, runs: int) -> tuple[Sequence[Any], Sequence[Sequence[float]]]:
        return [], [[5.0]] * runs


def talk(commands: str, runner: Counting) -> list[dict[str, Any]]:
    wire = io.StringIO()
    serve(lambda: runner, wire, io.StringIO(commands))
    return [json.loads(line) for line in wire.getvalue().splitlines()]


def test_runs_are_timed_after_warm_ones() -> None:
    runner = Counting()
    hello, answer = talk("run 2 3\nquit\nrun 1 1\n", runner)
    assert hello["ready"] is True
    assert hello["start_bytes"] == 0 or hello["start_bytes"] > 2**20
    assert len(answer["ms"]) == 3
    assert runner.steps == 1 + 2 + 3  # the cold run, the warm ones, the timed ones


def test_profile_and_unknown_commands() -> None:
    _, layers, unknown = talk("profile 2\nsing\n", Counting())
    assert layers == {"layers": [], "runs_ns": [[5.0], [5.0]]}
    assert "sing" in unknown["error"]


def test_a_runner_that_cannot_be_made_is_told() -> None:
    def fail() -> Counting:
        raise ValueError("no such model")

    wire = io.StringIO()
    serve(fail, wire, io.StringIO("run 1 1\n"))
    assert [json.loads(line) for line in wire.getvalue().splitlines()] == [
        {"ready": False, "note": "ValueError: no such model"}
    ]


def test_resident_memory_is_a_size_in_bytes() -> None:
    assert resident_bytes() == 0 or resident_bytes() > 2**20


def test_timed_runs_are_as_many_as_asked() -> None:
    runner = Counting()
    assert len(timed_runs(runner.step, 0, 4)) == 4
    assert runner.steps == 4
