"""Runs pipelines: contracts checked before and after every pass, instruments around it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from nascompiler.ir import Error, Graph, UsageError
from nascompiler.passes.infrastructure.base import FACTS, Analyses, Pass, PassContext
from nascompiler.passes.infrastructure.instruments import Instrument, Record, Verify
from nascompiler.passes.infrastructure.pipeline import MAX_FIXPOINT_ROUNDS, Fixpoint, Pipeline, Step


@dataclass
class PassManager:
    """Runs pipelines on graphs. The graph given is never changed; each pass works on a clone."""

    instruments: Sequence[Instrument] = field(default_factory=lambda: [Verify()])
    analyses: Analyses = field(default_factory=Analyses)
    _untouched: tuple[Graph, Graph] | None = field(default=None, init=False, repr=False)
    """A graph and a clone that a pass has left as it was: the next pass gets it, analyses and all."""

    def run(self, graph: Graph, pipeline: Pipeline | str) -> Graph:
        """The transformed graph, or `graph` itself when nothing changed.

        `analyses` are kept over passes that change nothing, and computed again after one that does.
        Raises UsageError for a broken contract before any pass has run, and whatever a pass raises, after the
        instruments have seen it.
        """
        if isinstance(pipeline, str):
            pipeline = Pipeline.parse(pipeline, start=graph)
        else:
            pipeline.check(graph)
        try:
            return self._run_steps(graph, pipeline.steps, ())
        finally:
            self._untouched = None

    def _run_steps(self, graph: Graph, steps: tuple[Step | Fixpoint, ...], after: tuple[Step | Fixpoint, ...]) -> Graph:
        for index, step in enumerate(steps):
            rest = steps[index + 1 :] + after
            if isinstance(step, Fixpoint):
                graph = self._run_fixpoint(graph, step, rest)
            else:
                graph = self._run_pass(graph, step.step, Pipeline((step, *rest)))
        return graph

    def _run_fixpoint(self, graph: Graph, fixpoint: Fixpoint, rest: tuple[Step | Fixpoint, ...]) -> Graph:
        for _ in range(MAX_FIXPOINT_ROUNDS):
            changed = self._run_steps(graph, fixpoint.steps, (fixpoint, *rest))
            if changed is graph:
                return graph
            graph = changed
        raise Error(f"{fixpoint} still changes the graph after {MAX_FIXPOINT_ROUNDS} rounds")

    def _run_pass(self, graph: Graph, step: Pass, remaining: Pipeline) -> Graph:
        _check_requirements(graph, step)
        context = PassContext(self.analyses)
        clone = self._untouched[1] if self._untouched and self._untouched[0] is graph else graph.clone()
        self._untouched = None
        state = _state(clone)
        start = time.perf_counter_ns()
        try:
            step.run(clone, context)
            changed = _state(clone) != state
            elapsed = time.perf_counter_ns() - start
            record = Record(step, graph, clone if changed else graph, changed, elapsed, context)
            if changed:
                _check_promises(clone, step)
            for instrument in self.instruments:
                instrument.after(record)
        except Exception as error:
            for instrument in self.instruments:
                try:
                    instrument.failed(step, graph, remaining, error)
                except Error as second:  # a full disk must not hide what went wrong
                    error.add_note(str(second))
            raise
        if not changed:
            self._untouched = (graph, clone)
            return graph
        self.analyses.forget(graph)
        return clone


def _state(graph: Graph) -> object:
    """What differs when a pass has changed anything: nodes, cells, or the facts in the graph's header."""
    bodies = tuple((body, body.name, body.version, dict(body.attributes)) for body in graph.bodies)
    return bodies, tuple(graph.cells), dict(graph.choices)


def _check_requirements(graph: Graph, step: Pass) -> None:
    if step.requires_level and graph.level not in step.requires_level:
        raise UsageError(f"{step.name} needs {' or '.join(step.requires_level)}; the graph is at {graph.level}")
    for fact in sorted(step.requires):
        if not FACTS[fact](graph):
            raise UsageError(f"{step.name} needs {fact}, which does not hold")


def _check_promises(graph: Graph, step: Pass) -> None:
    if step.ensures_level is not None and graph.level != step.ensures_level:
        raise Error(f"{step.name} promised level {step.ensures_level}, but left the graph at {graph.level}")
    for fact in sorted(step.ensures):
        if not FACTS[fact](graph):
            raise Error(f"{step.name} promised {fact}, which does not hold after it")


def run_pipeline(graph: Graph, pipeline: Pipeline | str, *, instruments: Sequence[Instrument] = ()) -> Graph:
    """Run a pipeline with the verifier after every pass, and further instruments."""
    return PassManager([Verify(), *instruments]).run(graph, pipeline)
