"""What the parts of a search expect of each other: controllers, evaluators and what they are made of, executors."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from nascompiler.search.evaluation import Accuracy, Evaluation, TargetLatency
from nascompiler.search.trial import TrialOutcome, TrialSpec
from nascompiler.spaces import SearchSpace, Vector

State = dict[str, Any]
"""Plain data, as JSON can hold it."""


class Controller(Protocol):
    """Proposes architectures and learns from their rewards.

    Several may be asked for before the first is told; each ask is answered by one tell, in the order of the asks. The
    same seed, asks and tells give the same proposals. `restore` gives a controller that goes on as the one that gave
    the `state` would have.
    """

    def ask(self) -> Vector: ...

    def tell(self, vector: Vector, reward: float) -> None: ...

    def state(self) -> State: ...

    @classmethod
    def restore(cls, space: SearchSpace, state: State) -> Self: ...


class Evaluator(Protocol):
    """Finds out all about an architecture; raises TrialFailure where it cannot."""

    def evaluate(self, trial: TrialSpec) -> Evaluation: ...


class AccuracySource(Protocol):
    """The accuracy of a trial's architecture, by training it or by other means; raises TrialFailure."""

    def accuracy(self, trial: TrialSpec) -> Accuracy: ...


class LatencySource(Protocol):
    """The latency of an architecture, or of a network (at the nn level), on one target; raises TrialFailure.

    `target` is the text that names the target in `Evaluation.latencies`. A source that can tell what a network takes
    with fewer channels, faster than by looking at each, has a method `narrowing(structure)` too, see `Narrowing`.
    """

    @property
    def target(self) -> str: ...

    def latency(self, trial: TrialSpec) -> TargetLatency: ...


Counts = Mapping[int, int]
"""How many channels stay, by the number of their group; groups that are not named keep all of theirs."""


class Narrowing(Protocol):
    """What a network takes with fewer channels; `LatencySource.narrowing` makes one of a channel structure, or None."""

    def amounts(self, variants: Sequence[Counts]) -> Sequence[float]:
        """What each variant takes: a latency in ns; raises TrialFailure."""
        ...


@dataclass(frozen=True)
class EvaluatorRecipe:
    """How a process makes its evaluator: a function `package.module:name` and its arguments, plain data.

    Recipes come from our code and are sent to our workers; they are never read from a file.
    """

    factory: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> Evaluator:
        module, _, name = self.factory.partition(":")
        evaluator: Evaluator = getattr(importlib.import_module(module), name)(**self.arguments)
        return evaluator


class Executor(Protocol):
    """Runs trials, up to `capacity` at once, here or elsewhere; more may be submitted and wait for their turn.

    Every trial that is submitted comes back from `wait` exactly once, as an evaluation or a failure, in any order; a
    worker that dies gives a failure (crash or device lost), never an exception. An executor does not try again: that
    is for the search to decide.
    """

    @property
    def capacity(self) -> int: ...

    def submit(self, trial: TrialSpec) -> None: ...

    def wait(self, timeout_s: float | None = None) -> Sequence[TrialOutcome]:
        """Those that have ended since the last call; blocks until there is one, at most `timeout_s`."""
        ...

    def close(self) -> None:
        """End the workers; trials under way are given up."""
        ...
