"""How fast architectures are sampled and expanded, weights not looked at.

    python benchmarks/expansion.py [--space mnasnet] [--architectures 1000] [--json]

Every architecture is drawn by its own seed, expanded, and verified after each pass. CPU seconds; 1,000
MnasNet architectures have to stay under 30 s, and expanding nasnet-a-large under 5 s: the exit code is 4 otherwise.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable

from nascompiler import spaces, zoo
from nascompiler.passes import run_pipeline

SAMPLING_LIMIT_SECONDS = 30.0
"""For 1,000 architectures."""

EXPANSION_LIMIT_SECONDS = 5.0
"""For nasnet-a-large."""


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def sample(space: str, count: int) -> None:
    graph = spaces.load_graph(space)
    for seed in range(count):
        run_pipeline(graph, f"decide{{seed={seed}}},expand-cells")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="mnasnet", choices=spaces.names())
    parser.add_argument("--architectures", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    run_pipeline(zoo.load("mnasnet-a1"), "expand-cells")  # imports and registries
    sampling = cpu_seconds(lambda: sample(options.space, options.architectures))
    large = cpu_seconds(lambda: run_pipeline(zoo.load("nasnet-a-large"), "expand-cells"))
    rows = {
        f"sample and expand {options.architectures} of {options.space}": (
            sampling,
            SAMPLING_LIMIT_SECONDS * options.architectures / 1000,
        ),
        "expand nasnet-a-large": (large, EXPANSION_LIMIT_SECONDS),
    }
    if options.json:
        print(json.dumps({name: {"cpu_s": s, "limit_s": limit} for name, (s, limit) in rows.items()}, indent=2))
    else:
        for name, (seconds, limit) in rows.items():
            print(f"{name:45} {seconds:6.2f} s   limit {limit:g} s")
    return 4 if any(seconds > limit for seconds, limit in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
