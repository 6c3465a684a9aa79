"""What tests of passes share: before and expected as IR text, and a registry that forgets what a test registers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from nascompiler.ir import Graph, canonical_text, parse, verify
from nascompiler.passes import PASSES, PassManager
from nascompiler.passes.infrastructure.instruments import NumericCheck, Timing, Verify

Transforms = Callable[..., Timing]


def graph_of(text: str) -> Graph:
    """A graph from the lines of its body, its signature first: `(%x: f32[2]) {` ... `}`."""
    graph = parse(f"nir 1\ngraph @main{text}")
    verify(graph)
    return graph


@pytest.fixture
def transforms() -> Transforms:
    """`transforms(before, pipeline, expected)`: holds the result against a graph, and the values against those before.

    Returns the statistics. Without `expected` the graph must stay as it is.
    """

    def check(before: str | Graph, pipeline: str, expected: str | None = None, *, evaluated: bool = True) -> Timing:
        graph = graph_of(before) if isinstance(before, str) else before
        numeric, timing = NumericCheck(images=2), Timing()
        result = PassManager([Verify(), numeric, timing]).run(graph, pipeline)
        wanted = graph if expected is None else graph_of(expected)
        assert canonical_text(result) == canonical_text(wanted), str(result)
        assert not evaluated or not numeric.skipped, numeric.skipped
        return timing

    return check


@pytest.fixture
def registry() -> Iterator[None]:
    """The passes that a test registers are forgotten after it."""
    PASSES.load()
    before = dict(PASSES._passes)
    yield
    PASSES._passes.clear()
    PASSES._passes.update(before)
