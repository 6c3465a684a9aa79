from __future__ import annotations

import sys
from dataclasses import dataclass, field

import pytest

from nascompiler.backends.errors import DeviceError
from nascompiler.bench.turns import Worker, measure_in_turns

ECHO = """
import json, sys
print(json.dumps({"ready": True, "start_bytes": 1}), flush=True)
for line in sys.stdin:
    word, *numbers = line.split()
    if word == "run":
        print(json.dumps({"ms": [1.0] * int(numbers[1])}), flush=True)
    else:
        sys.exit(3)
"""


@dataclass
class Scripted(Worker):
    """Takes 1 ms a run, notes its bursts in a diary, and may lose its CPU or fail in one of them."""

    diary: list[str] = field(default_factory=list)
    disturbed: tuple[int, ...] = ()
    fails_at: int = -1
    bursts: int = 0

    def burst(self, warm: int) -> tuple[list[float], float]:
        number, self.bursts = self.bursts, self.bursts + 1
        self.diary.append(self.name)
        if number == self.fails_at:
            raise DeviceError(f"{self.name}: gone")
        return [1.0] * self.runs, 0.5 if number in self.disturbed else 0.0


def workers(diary: list[str], **first: object) -> list[Scripted]:
    return [
        Scripted("a", [], 1, diary=diary, **first),  # type: ignore[arg-type]
        Scripted("b", [], 1, diary=diary),
        Scripted("c", [], 1, diary=diary),
    ]


def test_rounds_begin_with_another_worker_each() -> None:
    diary: list[str] = []
    rounds: list[int] = []
    three = workers(diary)
    measure_in_turns(three, rounds=3, burst_ms=7, after_round=lambda: rounds.append(len(diary)))
    assert "".join(diary) == "abc" + "abc" + "bca" + "cab"
    assert rounds == [6, 9, 12]
    assert [len(worker.samples_ms) for worker in three] == [21, 21, 21]


def test_disturbed_bursts_are_dropped() -> None:
    a, b, _ = three = workers([], disturbed=(2, 3))
    measure_in_turns(three, rounds=5, burst_ms=10)
    assert (a.dropped, len(a.samples_ms)) == (2, 30)
    assert (b.dropped, len(b.samples_ms)) == (0, 50)


def test_the_last_rounds_count_when_nothing_else_does() -> None:
    a, *_ = three = workers([], disturbed=tuple(range(9)))
    measure_in_turns(three, rounds=4, burst_ms=10)
    assert (a.dropped, len(a.samples_ms)) == (4, 10)


@pytest.mark.parametrize("fails_at", [0, 2])
def test_a_worker_that_fails_leaves_the_others(fails_at: int) -> None:
    _, b, c = three = workers([], fails_at=fails_at)
    failed: list[str] = []
    measure_in_turns(three, rounds=4, burst_ms=10, on_failure=lambda w, error: failed.append(f"{w.name} {error}"))
    assert failed == ["a a: gone"]
    assert len(b.samples_ms) == len(c.samples_ms) == 40


def test_a_failure_is_raised_when_nobody_takes_it() -> None:
    with pytest.raises(DeviceError, match="a: gone"):
        measure_in_turns(workers([], fails_at=1), rounds=2, burst_ms=10)


def test_a_process_that_ends_is_an_error_with_its_exit_code() -> None:
    worker = Worker("echo", [sys.executable, "-c", ECHO], 1)
    try:
        worker.start()
        worker.runs = 2
        assert worker.burst(warm=1)[0] == [1.0, 1.0]
        worker.watch_memory()
        held = worker.peak_bytes()
        assert held is None or held > 2**20
        worker.resume()
        with pytest.raises(DeviceError, match="exit code 3"):
            worker.ask("die", "never")
        with pytest.raises(DeviceError, match="exit code 3"):
            worker.ask("run 1 1", "ms")
    finally:
        worker.end()
        worker.end()
