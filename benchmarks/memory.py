"""What a served artifact holds in memory, beside its weights and the largest live activations.

    python benchmarks/memory.py ARTIFACT ...

A process for each loads TVM's runtime library, then the artifact, and runs it once with one thread. `held` is the most
that it has held (resident) since, less what it held with the library alone; `live` is the largest sum of activations
that are needed at the same time, when the graph is computed in its order.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from nascompiler.backends.artifact import AFTER, WEIGHTS, load_artifact
from nascompiler.backends.cpu.placement import is_view
from nascompiler.bench.protocol import resident_bytes
from nascompiler.bench.session import random_arrays
from nascompiler.cli.common import table
from nascompiler.ir.graph import Graph, Value
from nascompiler.ir.text import parse

ALONE = "--alone"


def largest_live_bytes(graph: Graph) -> int:
    """The largest sum of values that are live at the same time; a view is the value it shows, constants are none."""
    owner: dict[Value, Value] = {value: value for value in graph.inputs}
    last: dict[Value, int] = {}
    for place, node in enumerate(graph.nodes):
        for value in node.results:
            owner[value] = owner.get(node.operands[0], value) if is_view(node) else value
        last |= {owner[value]: place for value in (*node.operands, *node.results) if value in owner}
    last |= {owner[value]: sys.maxsize for value in graph.outputs if value in owner}
    live, most = set(graph.inputs), 0
    for place, node in enumerate(graph.nodes):
        live |= {owner[value] for value in node.results}
        most = max(most, sum(value.type.bytes for value in live))
        live = {value for value in live if last.get(value, -1) > place}
    return most


def serve(folder: Path) -> None:
    """Print how many bytes the artifact adds to what this process holds, at most."""
    from nascompiler.backends.tvm_runtime import program  # noqa: F401

    before = resident_bytes()
    artifact = load_artifact(folder, threads=1)
    artifact.prepare(random_arrays(artifact.manifest, 0))
    artifact.step()
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print((int(peak[1]) << 10 if peak else resident_bytes()) - before)


def main() -> None:
    folders = [Path(argument) for argument in sys.argv[1:]]
    if sys.argv[1] == ALONE:
        serve(folders[1])
        return
    rows = []
    for folder in folders:
        command = [sys.executable, __file__, ALONE, str(folder)]
        held = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        artifact = load_artifact(folder)
        weights = (folder / WEIGHTS).stat().st_size
        live = largest_live_bytes(parse((folder / AFTER).read_text()))
        sizes = (f"{size / 2**20:.1f}" for size in (weights, live, held))
        rows.append((artifact.manifest.name, *sizes, f"{held / (weights + live):.2f}"))
    table(("network", ">weights, MiB", ">live", ">held", ">held / (weights + live)"), rows)


if __name__ == "__main__":
    main()
