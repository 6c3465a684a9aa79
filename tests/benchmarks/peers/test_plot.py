from __future__ import annotations

from pathlib import Path

from benchmarks.peers.plot import plot
from benchmarks.peers.results import OURS
from tests.benchmarks.peers.samples import result


def test_a_picture_is_written_although_figures_are_missing(tmp_path: Path) -> None:
    results = [
        result(OURS, 10.0),
        result("fast", 20.0, rounds=(20.0,)),
        result(OURS, 4.0, dtype="int8"),
        result(OURS, 5.0, dtype="int8", model="nasnet_mobile"),
    ]
    plot(results, tmp_path / "latency.png")
    assert (tmp_path / "latency.png").read_bytes().startswith(b"\x89PNG")
