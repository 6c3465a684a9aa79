"""Makes the base of measurements that ships with the package, backends/store/base.sqlite.gz, on this machine.

    python benchmarks/make_base.py WORK.sqlite [--networks ...] [--target cpu --target cpu{isa=avx2}] [--budget 5]

Tunes each network in float32 and int8 into WORK.sqlite, for at most so many minutes each; a second run goes on where
the first one ended, and measures again what older kernels were measured for. The base then holds, for each call, the
default and the variant that is taken.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import nascompiler as nc
from nascompiler.architecture import expanded
from nascompiler.backends.store import Session, Store, Tuning, base_path
from nascompiler.backends.store.generator import generator_hash
from nascompiler.ir import Graph
from nascompiler.passes.quantization.quantizer import quantize_graph
from nascompiler.verification import synthetic_inputs

NETWORKS = "mobilenet-v1 mobilenet-v2 mobilenet-v3-large mobilenet-v3-small mnasnet-a1 nasnet-a-mobile"

CALIBRATION_IMAGES = 2
"""Times do not depend on what is calibrated."""


def graphs(name: str) -> Iterator[tuple[str, Graph]]:
    """The network in float32 and in int8."""
    network = expanded(nc.load(name))
    yield f"{name} f32", network
    yield f"{name} int8", quantize_graph(network, islice(synthetic_inputs(network, 0), CALIBRATION_IMAGES)).graph


def smallest(tuning: Tuning) -> Tuning:
    """The rows of the default and of the fastest variant: what choosing and predicting need."""
    rows = tuning.measured.values()
    fastest = max(rows, key=lambda row: row.gain)
    return replace(tuning, rows=tuple(row for row in rows if row.gain == 1.0 or row is fastest))


def write_base(work: Store, path: Path) -> int:
    """Write the latest measurements of today's kernels to `path`; returns the number of calls."""
    latest: dict[tuple[str, str], tuple[Session, Tuning]] = {}
    for call, session, tuning in work.all():  # in the order of time
        if session.generator == generator_hash() and tuning.measured:
            latest[session.target, call] = session, tuning
    with tempfile.TemporaryDirectory() as folder:
        base = Store(Path(folder) / "base.sqlite")
        for (_, call), (session, tuning) in sorted(latest.items(), key=lambda item: item[0]):
            base.add(call, session, smallest(tuning))
        path.write_bytes(gzip.compress(base.path.read_bytes(), mtime=0))
    return len(latest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--networks", nargs="+", default=NETWORKS.split())
    parser.add_argument("--target", action="append")
    parser.add_argument("--budget", type=float, default=5.0, help="minutes for each network")
    parser.add_argument("--output", type=Path, default=base_path())
    options = parser.parse_args()
    for name in options.networks:
        for label, graph in graphs(name):
            for target in options.target or ["cpu"]:
                result = nc.tune(graph, target, budget_s=60 * options.budget, store=options.work, check=False)
                print(
                    f"{label}, {target}: {result.measured} calls measured, {result.known} known before, "
                    f"{result.left} left, {len(result.failures)} variants failed",
                    flush=True,
                )
    calls = write_base(Store(options.work), options.output)
    print(f"{options.output}: {calls} calls, {options.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
