"""CPU time of compiling a zoo network for this machine, with an empty and with a warm kernel cache.

    python benchmarks/compile_time.py [ARCHITECTURE]

Each run is a process of its own; threads and child processes (the linker) count. The weights are made before the clock
starts: a model from a file would come with them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

from nascompiler.cli.common import table

RUN = """
import json, os, sys, time
from nascompiler import api
from nascompiler.ir.files import stored_constants

def spent():
    return sum(os.times()[:4])

graph = api.expanded(api.load(sys.argv[1]))
stored_constants(graph)
start = spent()
import nascompiler.backends.tvm_adapter
imported = spent()
api.compile(graph, "cpu", sys.argv[2])
print(json.dumps({"import": imported - start, "compile": spent() - imported}))
"""


def measure(name: str, folder: str, cache: str) -> dict[str, float]:
    """CPU seconds of importing TVM and of compiling, loading the artifact included."""
    environment = {**os.environ, "NASCOMPILER_CACHE": cache}
    done = subprocess.run(
        [sys.executable, "-c", RUN, name, folder], env=environment, check=True, capture_output=True, text=True
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "mobilenet-v3-large"
    with tempfile.TemporaryDirectory() as scratch:
        rows = []
        for number, state in enumerate(("empty", "warm", "warm")):
            figures = measure(name, f"{scratch}/artifact{number}", f"{scratch}/cache")
            rows.append((state, f"{figures['compile']:.1f} s", f"{figures['import']:.1f} s"))
        table(("kernel cache", ">compile", ">import of TVM"), rows, title=f"CPU time, {name}")


if __name__ == "__main__":
    main()
