"""What a pass is: a frozen dataclass whose fields are its options, with a contract that the manager enforces."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar
from weakref import WeakKeyDictionary

from nascompiler.ir import Graph, Node

T = TypeVar("T")


@dataclass(frozen=True)
class Exact:
    """The pass keeps every output bit for bit."""

    def __str__(self) -> str:
        return "exact"


@dataclass(frozen=True)
class Tolerance:
    """The pass keeps outputs up to `relative` times the largest magnitude of the output."""

    relative: float

    def __str__(self) -> str:
        return f"tolerance({self.relative:g})"


@dataclass(frozen=True)
class Nothing:
    """The pass changes what the graph computes, for the reason given."""

    reason: str

    def __str__(self) -> str:
        return f"none({self.reason})"


Preserves = Exact | Tolerance | Nothing

FACTS: dict[str, Callable[[Graph], bool]] = {
    "static-shapes": lambda g: all(v.type.is_static for v in [*g.inputs, *(r for n in g.nodes for r in n.results)]),
    "closed": lambda g: not g.is_open,
}
"""Facts about a graph that contracts may name, and how to find out."""


class Analyses:
    """Results of analyses (functions of a graph), cached until the graph changes."""

    def __init__(self) -> None:
        self._cache: WeakKeyDictionary[Graph, dict[Callable[[Graph], Any], tuple[int, Any]]] = WeakKeyDictionary()

    def get(self, analysis: Callable[[Graph], T], graph: Graph) -> T:
        """The result of `analysis(graph)`, computed at most once for each state of the graph."""
        cache = self._cache.setdefault(graph, {})
        version, result = cache.get(analysis, (-1, None))
        if version != graph.version:
            result = analysis(graph)
            cache[analysis] = (graph.version, result)
        return result  # type: ignore[no-any-return]

    def forget(self, graph: Graph) -> None:
        """Drop the results for a graph that is done with; a result may refer to its graph and keep it alive."""
        self._cache.pop(graph, None)


@dataclass
class PassContext:
    """What a pass may use and report while it runs."""

    analyses: Analyses = field(default_factory=Analyses)
    statistics: Counter[str] = field(default_factory=Counter)
    misses: list[tuple[str, str, str]] = field(default_factory=list)
    """(rule, node, reason) of every place that looked right to a rule but was refused by its check."""

    def count(self, what: str, number: int = 1) -> None:
        """Add to a statistic that the timing instrument shows."""
        self.statistics[what] += number

    def miss(self, rule: str, node: Node, reason: str) -> None:
        """Record why a rule was not applied where its pattern fitted."""
        self.misses.append((rule, f"{node!r}" + (f" from {node.origin}" if node.origin else ""), reason))


@dataclass(frozen=True)
class Pass(ABC):
    """A transformation of graphs. Subclasses are frozen dataclasses; their fields are the options.

    `requires_level` lists the levels accepted (empty: any), `ensures_level` the level afterwards (None: unchanged),
    `requires` and `ensures` name facts of `FACTS`; those in `may_ensure` hold afterwards or not, depending on options
    and graph. `preserves` says how far the outputs stay what they were.
    """

    name: ClassVar[str] = ""
    requires_level: ClassVar[tuple[str, ...]] = ()
    ensures_level: ClassVar[str | None] = None
    requires: ClassVar[frozenset[str]] = frozenset()
    ensures: ClassVar[frozenset[str]] = frozenset()
    may_ensure: ClassVar[frozenset[str]] = frozenset()
    preserves: ClassVar[Preserves] = Exact()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" not in cls.__dict__:
            cls.name = kebab_case(cls.__name__)

    @abstractmethod
    def run(self, graph: Graph, context: PassContext) -> None:
        """Change `graph` in place; it is a clone that nobody else sees. Raises an Error to stop the pipeline."""


def kebab_case(name: str) -> str:
    """`FoldBatchNorm` -> `fold-batch-norm`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()
