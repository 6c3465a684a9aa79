"""The distinct kernel calls of a search space, found by lowering architectures drawn from it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from nascompiler.backends.cache import cache_folder
from nascompiler.backends.cpu.call_graph import call_graph
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.errors import StoreError
from nascompiler.backends.predict import timed_calls
from nascompiler.backends.target import Target
from nascompiler.ir import Graph, ParseError
from nascompiler.ir.files import write_text
from nascompiler.ir.text import fingerprint, parse, print_graph
from nascompiler.search.latency.lowering import lowered, lowering_hash
from nascompiler.spaces import SearchSpace

FORMAT = 1

SMALL_SPACE = 5000
"""Spaces of at most so many architectures are looked at whole."""

_FEWEST = 20
"""Of so few architectures nothing can be said about the others."""


@dataclass
class Collection:
    """The kernel calls of architectures 0 to `sampled` - 1 of a space, each once, by key.

    `counts` tells in how many of these architectures a call occurs. Architectures are drawn at random, number i by seed
    i; those of a small space come one after the other, which makes the collection `complete` in the end.
    """

    space: str
    space_hash: str
    target: str
    calls: dict[str, KernelCall] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    sampled: int = 0
    complete: bool = False

    @classmethod
    def begin(cls, space: SearchSpace, target: Target) -> Collection:
        """The collection that was kept of this space as this version lowers it, or an empty one."""
        empty = cls(space.name, fingerprint(space.graph), target.fingerprint)
        kept = _read(empty.path)
        return kept if kept is not None and kept.space_hash == empty.space_hash else empty

    @property
    def path(self) -> Path:
        """Where it is kept: by space, target, and the source that lowers."""
        name = f"{self.space}-{self.space_hash[:12]}-{self.target}-{lowering_hash()}.json"
        return cache_folder() / "latency-tables" / name

    @property
    def unseen(self) -> float:
        """The part of the calls of another architecture that is expected to be new (Good and Turing, 1953)."""
        seen = self.counts.total()
        if self.complete:
            return 0.0
        if not seen:
            return 1.0
        return sum(count == 1 for count in self.counts.values()) / seen

    def extend(
        self,
        space: SearchSpace,
        target: Target,
        *,
        samples: int,
        stop_below: float = 0.0,
        report: Callable[[Collection], bool] = lambda collection: True,
    ) -> None:
        """Look at architectures until there are `samples` of them, or fewer calls than `stop_below` are still unseen.

        Small spaces are looked at whole. `report` is called after each architecture and says whether to go on.
        """
        small = space.size <= SMALL_SPACE
        if self.complete:
            return
        for graph in self._architectures(space):
            if not small and (self.sampled >= samples or (self.sampled >= _FEWEST and self.unseen < stop_below)):
                return
            for key, nodes in timed_calls(lowered(graph, target)).items():
                self.calls.setdefault(key, KernelCall.of(nodes[0]))
                self.counts[key] += 1
            self.sampled += 1
            if not report(self):
                return
        self.complete = True

    def _architectures(self, space: SearchSpace) -> Iterator[Graph]:
        """Those that have not been looked at."""
        if space.size <= SMALL_SPACE:
            for decisions in islice(space.enumerate(), self.sampled, None):
                yield space.architecture(decisions)
            return
        while True:
            yield space.architecture(space.sample(self.sampled))

    def keep(self) -> None:
        """Write it to its file, which appears whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        graph = call_graph(self.calls.values())
        data = {
            "format": FORMAT,
            "space": self.space,
            "space_hash": self.space_hash,
            "target": self.target,
            "sampled": self.sampled,
            "complete": self.complete,
            "counts": [self.counts[key] for key in self.calls],
            "calls": print_graph(graph),
        }
        write_text(self.path, json.dumps(data))


def _read(path: Path) -> Collection | None:
    """The collection in a file; None where there is none. Raises StoreError for one that cannot be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            return None
        made = [KernelCall.of(node) for node in parse(data["calls"]).nodes]
        calls = {call.key: call for call in made}
        counts = Counter(dict(zip(calls, data["counts"], strict=True)))
        return Collection(
            data["space"], data["space_hash"], data["target"], calls, counts, data["sampled"], data["complete"]
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, ParseError) as error:
        raise StoreError(f"cannot read the calls in {path}: {error}; remove the file to collect them anew") from None
