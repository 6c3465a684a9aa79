"""The same search twice, the second time with half the latency: its winner is faster by the clock, and by how much.

    python examples/halved_latency.py [--trials 16] [--latency 60us] [--data glyphs-62]

Each search trains its children and measures its best end to end; then both winners are timed in turns.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from nascompiler.api import search
from nascompiler.cli.common import duration, table
from nascompiler.search.latency import Candidate, measure_top
from nascompiler.search.units import duration_text, parse_duration_ns

SPACE = "mnasnet-glyphs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--latency", default="60us")
    parser.add_argument("--data", default="glyphs-62")
    arguments = parser.parse_args()
    aim = parse_duration_ns(arguments.latency)
    winners, rows = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, ns in (("whole", aim), ("half", aim / 2)):
            found = search(
                SPACE,
                arguments.data,
                Path(folder) / f"{name}.study",
                latency=duration_text(ns),
                objective="hard",
                trials=arguments.trials,
            )
            assert found.winner is not None
            winners.append(Candidate(duration_text(ns), found.architecture(found.winner)))
            rows.append((duration_text(ns), found.winner.evaluation.accuracy))
    measured = {row.name: row.measured for row in measure_top(winners, "cpu")}
    table(
        ("aim", ">accuracy on held-out images", ">measured", ">spread"),
        [
            (aim, f"{accuracy:.2%}", duration(measured[aim].ns), duration(measured[aim].spread_ns))
            for aim, accuracy in rows
        ],
    )


if __name__ == "__main__":
    main()
