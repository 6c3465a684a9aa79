"""CPU time of compiling a network for this machine, float32 and int8, with an empty and with a warm kernel cache.

    python benchmarks/compile_time.py [ARCHITECTURE]

Each row is a process of its own, except `same process`, which compiles once more where the row above it has: that is
what each further network of a search costs. Threads and child processes (the linker) count. The weights are made, and
the integer network is quantised, before the clock starts: a model from a file would come with them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from nascompiler import api
from nascompiler.architecture import expanded
from nascompiler.cli.common import table
from nascompiler.ir.files import save

RUN = """
import json, os, sys
from nascompiler import api
from nascompiler.ir.files import stored_constants

def spent():
    return sum(os.times()[:4])

graph = api.load(sys.argv[1])
stored_constants(graph)
start = spent()
import nascompiler.backends.tvm_adapter
imported = spent()
api.compile(graph, "cpu", sys.argv[2] + "-first")
first = spent()
api.compile(graph, "cpu", sys.argv[2] + "-again")
print(json.dumps({"import": imported - start, "compile": first - imported, "again": spent() - first}))
"""


def networks(name: str, folder: Path) -> dict[str, Path]:
    """Graph files of the network by type of its arithmetic; calibrated on a few generated images, which cost nothing.

    How good the ranges are makes no difference to the code.
    """
    network = expanded(api.load(name))
    files = {"float32": folder / "float32.nir", "int8": folder / "int8.nir"}
    save(network, files["float32"])
    save(api.quantize(network, method="min-max", samples=4, evaluate=4).graph, files["int8"])
    return files


def measure(graph: Path, folder: Path, cache: Path) -> dict[str, float]:
    """CPU seconds of importing TVM, of compiling, and of compiling again; loading the artifact is part of it."""
    environment = {**os.environ, "NASCOMPILER_CACHE": str(cache)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # who compiles often keeps the byte code of modules
    done = subprocess.run(
        [sys.executable, "-c", RUN, graph, folder], env=environment, check=True, capture_output=True, text=True
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "mobilenet-v3-large"
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        rows = []
        files = networks(name, place)
        measure(files["int8"], place / "unmeasured", place / "unmeasured-cache")
        for kind, graph in files.items():
            for state in ("empty", "warm"):
                figures = measure(graph, place / f"{kind}-{state}", place / f"{kind}-cache")
                rows.append((kind, state, f"{figures['compile']:.2f} s", f"{figures['import']:.2f} s"))
            rows.append((kind, "warm, same process", f"{figures['again']:.2f} s", ""))
        table(("network", "kernel cache", ">compile", ">import of TVM"), rows, title=f"CPU time, {name}")


if __name__ == "__main__":
    main()
