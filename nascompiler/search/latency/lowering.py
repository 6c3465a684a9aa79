"""From an architecture to the kernel calls that it makes, without looking at values."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from nascompiler.backends.compile import default_pipeline
from nascompiler.backends.target import Target
from nascompiler.ir import Graph
from nascompiler.passes import run_pipeline

_PACKAGE = Path(__file__).parents[2]

_SOURCES = ("ir/**/*.py", "passes/**/*.py", "backends/cpu/*.py")
"""What decides which calls an architecture makes."""


def network_of(graph: Graph) -> Graph:
    """The network of an architecture with random weights, whose sizes are right and whose values mean nothing."""
    return run_pipeline(graph, "expand-cells{statistics=random}") if graph.level == "arch" else graph


def lowered(graph: Graph, target: Target) -> Graph:
    """The graph as the compiler has it once kernels are assigned, fusion included."""
    return run_pipeline(network_of(graph), default_pipeline(target))


@lru_cache(maxsize=1)
def lowering_hash() -> str:
    """A hash of the source that turns architectures into kernel calls."""
    state = hashlib.sha256()
    for path in sorted(path for pattern in _SOURCES for path in _PACKAGE.glob(pattern)):
        state.update(path.relative_to(_PACKAGE).as_posix().encode() + path.read_bytes())
    return state.hexdigest()[:16]
