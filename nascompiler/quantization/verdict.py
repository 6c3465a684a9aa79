"""Does int8 pay? Accuracy, size and latency of the quantised network beside those of the float network."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from nascompiler.bench.comparison import Comparison, compare_artifacts
from nascompiler.ir import Error, Graph
from nascompiler.quantization.score import Score

USUAL_DROP = 1.0
"""Points that int8 may lose before the verdict says so, where no gate was given."""


@dataclass(frozen=True)
class LatencyComparison:
    """Latencies of the float and the quantised network on a target, or why they were not measured."""

    target: str
    comparison: Comparison | None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        if self.comparison is None:
            return {"target": self.target, "measured": False, "reason": self.reason}
        return {
            "target": self.target,
            "measured": True,
            "float": self.comparison.first.to_json(),
            "int8": self.comparison.second.to_json(),
            **self.comparison.to_json(),
        }


@dataclass(frozen=True)
class Verdict:
    """The line at the end, from what was measured."""

    score: Score | None
    float_bytes: int
    quantized_bytes: int
    latency: LatencyComparison
    max_drop: float | None = None
    precision: str = "int8"
    """What the quantised network is called: one of `passes.quantization.precision.PRECISIONS`."""

    @property
    def smaller(self) -> float:
        """How many times smaller the quantised constants are."""
        return self.float_bytes / max(self.quantized_bytes, 1)

    @property
    def accurate(self) -> bool:
        """Whether the gate holds; without a gate there is none to miss."""
        return self.max_drop is None or self.score is None or self.score.drop <= self.max_drop

    @property
    def doubtful(self) -> bool:
        """Whether more is lost than is usual, and nobody has said how much may be."""
        return self.max_drop is None and self.score is not None and self.score.drop > USUAL_DROP

    @property
    def pays(self) -> bool | None:
        """Whether int8 is the better choice on the target; None where that was not or cannot be told."""
        if not self.accurate:
            return False
        if self.doubtful:
            return None
        comparison = self.latency.comparison
        return comparison.ratio > 1 if comparison is not None and comparison.decided else None

    def __str__(self) -> str:
        """One line: what to do, and the three reasons."""
        return f"{self._speed()}: {self._advice()} ({self._accuracy()}; weights {self.smaller:.1f}x smaller)"

    def _speed(self) -> str:
        target, comparison = self.latency.target, self.latency.comparison
        if comparison is None:
            return f"latency on {target} not measured ({self.latency.reason})"
        if comparison.spread == inf:
            return f"other processes disturbed the measurement on {target} too much to tell which is faster"
        if not comparison.decided:
            near = f"ratio {comparison.ratio:.2f} ± {comparison.noise:.2f}"
            return f"{self.precision} and float are equally fast on {target}, within the noise ({near})"
        if comparison.ratio > 1:
            return f"{self.precision} is {comparison.ratio:.1f}x faster on {target}"
        return f"{self.precision} is {1 / comparison.ratio:.1f}x slower on {target}"

    def _advice(self) -> str:
        if not self.accurate:
            return "the accuracy is not met, keep float"
        if self.doubtful:
            return "look at the accuracy first, set --max-drop"
        if self.pays is None:
            name = self.precision
            return f"{name} pays in size" if self.smaller > 1 else f"nothing speaks for {name}, keep float"
        return f"{self.precision} pays" if self.pays else "keep float"

    def _accuracy(self) -> str:
        return "accuracy not measured" if self.score is None else str(self.score)

    def to_json(self) -> dict[str, Any]:
        return {
            "line": str(self),
            "pays": self.pays,
            "accurate": self.accurate,
            "float_bytes": self.float_bytes,
            "quantized_bytes": self.quantized_bytes,
        }


def constant_bytes(graph: Graph) -> int:
    """Bytes of all constants of a graph, each counted once: weights, biases, scales, tables."""
    found = {value.constant.digest: value.type.bytes for value in graph.constants if value.constant is not None}
    return sum(found.values())


def measure_latency(
    float_graph: Graph,
    quantized: Graph | Path,
    target: str,
    *,
    threads: int = 1,
    rounds: int = 12,
    burst_ms: float = 200.0,
) -> LatencyComparison:
    """Compile both networks for the target and measure them in turns, if the target is this machine.

    `quantized` may also be the folder of an artifact that is compiled already. What cannot be compiled or run is the
    reason for not having measured, never an error.
    """
    from nascompiler.backends.compile import compile_graph
    from nascompiler.backends.target import parse_target

    with tempfile.TemporaryDirectory(prefix="nascompiler-verdict-") as scratch:
        folders = [Path(scratch) / name for name in ("float", "int8")]
        try:
            if parse_target(target).kind == "tpu":
                return LatencyComparison(target, None, "a TPU computes no floats to compare with")
            compile_graph(float_graph, target, folders[0])
            if isinstance(quantized, Graph):
                compile_graph(quantized, target, folders[1])
            else:
                folders[1] = quantized
            comparison = compare_artifacts(*folders, threads=threads, rounds=rounds, burst_ms=burst_ms)
        except Error as error:
            return LatencyComparison(target, None, str(error).splitlines()[0])
    return LatencyComparison(target, comparison)
