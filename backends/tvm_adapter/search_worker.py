"""A process that searches schedules for kernel calls: `... search_worker GRAPH.nir TARGET`.

The lines that it and its parent exchange, each a JSON object:

    worker -> {"ready": true}
    parent -> {"call": KEY, "seed": N}          begins a search
    worker -> {"schedules": [TEXT, ...]}        to be measured; none: there are no more, or the call has no definition
    parent -> {"times": [T or null, ...]}       of those, in any unit; null for a failure
    worker -> {"schedules": [TEXT, ...]}        ... until the parent begins another search
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.target import parse_target
from nascompiler.ir.files import load


def main(arguments: Sequence[str]) -> None:
    wire = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints goes to stderr
    path, name = arguments
    target = parse_target(name)
    nodes = {KernelCall.of(node).key: node for node in load(path).nodes}

    from nascompiler.backends.tvm_adapter.definition import Definition
    from nascompiler.backends.tvm_adapter.schedule_search import ScheduleSearch

    def say(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=wire, flush=True)

    say({"ready": True})
    search: ScheduleSearch | None = None
    for line in sys.stdin:
        request = json.loads(line)
        if "call" in request:
            definition = Definition.of(nodes[request["call"]])
            search = None if definition is None else ScheduleSearch(definition.function(), target, request["seed"])
        elif search is not None:
            search.learn(request["times"])
        say({"schedules": [] if search is None else search.propose()})


if __name__ == "__main__":
    main(sys.argv[1:])
