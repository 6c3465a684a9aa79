"""Results as a measurement would give them."""

from __future__ import annotations

from benchmarks.peers.accuracy import Accuracy
from benchmarks.peers.results import Case, Result


def result(
    peer: str,
    median_ms: float,
    *,
    model: str = "mobilenet_v1",
    dtype: str = "fp32",
    threads: int = 1,
    rounds: tuple[float | None, ...] | None = None,
    peak_bytes: int | None = 3 * 2**20,
) -> Result:
    """With equal rounds unless told."""
    return Result(
        Case(model, peer, dtype, threads),
        version="1.0",
        note="",
        median_ms=median_ms,
        p10_ms=0.9 * median_ms,
        p90_ms=1.2 * median_ms,
        runs=30,
        dropped=0,
        rounds_ms=(median_ms,) * 5 if rounds is None else rounds,
        accuracy=Accuracy(0.99, 0.95, 0.875),
        peak_bytes=peak_bytes,
    )
