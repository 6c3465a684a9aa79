"""Do estimates put networks in the order in which phones have them?

    python -m benchmarks.arm.ranking [--target arm:cortex-a72] [--store FILE] [--only TEXT] [--budget SECONDS] [--json]

Compares with published latencies (phones.toml), table by table and all together: Spearman's rank correlation, and the
mean size of the error after one scale factor, the geometric mean of published over estimated. Nothing else is fitted.
All are of one model of phone, but of several versions of its runtime. The exit code is 4 when the rank correlation of
all together is below 0.95.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

import nascompiler as nc
from benchmarks.arm.networks import estimates
from nascompiler.backends.store import Measurements, Store, known_measurements
from nascompiler.backends.target import parse_target
from nascompiler.search.latency.check import rank_correlation

WANTED = 0.95


def compared(table: dict[str, Any], ms: dict[tuple[str, float, int], float]) -> dict[str, Any]:
    """A table of published latencies beside estimates."""
    keys = [(model, width, resolution) for model, width, resolution, _ in table["rows"]]
    published, estimated = np.array([row[3] for row in table["rows"]]), np.array([ms[key] for key in keys])
    scale = float(np.exp(np.mean(np.log(published / estimated))))
    errors = estimated * scale / published - 1
    return {
        "name": table["name"],
        "source": table["source"],
        "rank_correlation": rank_correlation(estimated, published),
        "scale": scale,
        "mean_error": float(np.mean(np.abs(errors))),
        "largest_error": float(np.max(np.abs(errors))),
        "rows": [
            {"model": m, "width": w, "resolution": r, "published_ms": p, "estimated_ms": e, "error": error}
            for (m, w, r), p, e, error in zip(
                keys, published.tolist(), estimated.tolist(), errors.tolist(), strict=True
            )
        ],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="arm:cortex-a72")
    parser.add_argument("--store", type=Path, help="estimates are kept there, not in the user's cache")
    parser.add_argument("--only", default="", help="tables whose name has this text")
    parser.add_argument("--budget", type=float, default=inf, help="seconds; the same command goes on from there")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    target = parse_target(options.target)
    known = Measurements((Store(options.store),)) if options.store else known_measurements()
    tables = tomllib.loads(Path(__file__).with_name("phones.toml").read_text())["table"]
    tables = [table for table in tables if options.only in table["name"]]
    keys = dict.fromkeys((m, w, r) for table in tables for m, w, r, _ in table["rows"])
    networks = {str(key): nc.load(key[0], width=key[1] if key[1] != 1.0 else None, resolution=key[2]) for key in keys}
    latencies = estimates(networks, target, known, budget_s=options.budget)
    ms = {key: latencies[str(key)].median_ns / 1e6 for key in keys}
    rows = {tuple(row[:3]): row for table in reversed(tables) for row in table["rows"]}  # of several, the first
    everything = {"name": "all together", "source": "the tables above", "rows": list(rows.values())}
    results = [compared(table, ms) for table in (*tables, everything)]
    if options.json:
        print(json.dumps({"target": str(target), "tables": results}, indent=1))
    else:
        for result in results:
            print(f"\n{result['name']} ({result['source']})")
            print(f"  {'network':34} {'published':>10} {'estimated':>10} {'scaled':>8} {'error':>7}")
            for row in result["rows"] if result["name"] != everything["name"] else ():
                name = f"{row['model']} {row['width']:g} {row['resolution']}"
                scaled = row["estimated_ms"] * result["scale"]
                figures = (
                    f"{row['published_ms']:8.1f}ms {row['estimated_ms']:8.1f}ms {scaled:8.1f} {row['error']:+7.1%}"
                )
                print(f"  {name:34} {figures}")
            print(
                f"  rank correlation {result['rank_correlation']:.4f}; after one factor, {result['scale']:.2f}: "
                f"mean error {result['mean_error']:.1%}, largest {result['largest_error']:.1%}"
            )
    return 0 if results[-1]["rank_correlation"] >= WANTED else 4


if __name__ == "__main__":
    sys.exit(main())
