"""The loop of NetAdapt: propose, train a little, choose, until the budgets are met by measurement.

Everything that decides is written into the study before what follows from it is begun: what the network takes, the
proposals with their latencies, what came of each, the choice. A run that is killed goes on from there and chooses the
same, whatever the machine measures by then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from nascompiler.backends.errors import GateError
from nascompiler.ir import Graph, files
from nascompiler.ir.channel_edit import without_channels
from nascompiler.ir.channels import ChannelStructure, channel_structure
from nascompiler.ir.errors import UsageError
from nascompiler.netadapt.budgets import SIZES, amount_text, within
from nascompiler.netadapt.choice import ranked
from nascompiler.netadapt.folder import Folder
from nascompiler.netadapt.proposals import Proposal, goals, propose, smallest
from nascompiler.netadapt.records import (
    START,
    Iteration,
    Latencies,
    Start,
    Step,
    iterations_of,
    set_iteration,
    set_step,
    start_of,
    step_of,
)
from nascompiler.netadapt.resources import Resource
from nascompiler.netadapt.settings import AdaptSettings
from nascompiler.netadapt.shrinkable import shrinkables
from nascompiler.search.errors import SearchError
from nascompiler.search.interfaces import Executor, Narrowing
from nascompiler.search.loop import trial_seed
from nascompiler.search.study import Study, TrialRecord
from nascompiler.search.trial import TrialSpec

Measure = Callable[[Mapping[str, Graph], str], Latencies]
"""Networks by name, run whole in turns on a target: their latencies by the same names; empty where nothing can run."""

HALVINGS = 8
"""How often a step is halved when no proposal can take it."""


MARGIN = 0.01
"""When a network was measured and is still too slow, the next one shall be faster than the budget by so much of the
original: measurements are not exact, and the smallest of steps would go on for long."""


@dataclass(frozen=True)
class Progress:
    """The iterations so far, the budgets, and about how long the rest takes; None while nothing is known."""

    start: Start
    iterations: Sequence[Iteration]
    left: int
    left_s: float | None


Listener = Callable[[Progress], None]


class Adaptation:
    """One run of the loop on a folder and its study, from where it stands until the budgets are met."""

    def __init__(
        self,
        settings: AdaptSettings,
        folder: Folder,
        study: Study,
        executor: Executor,
        resources: Mapping[str, Resource],
        measure: Measure,
        listener: Listener = lambda progress: None,
    ) -> None:
        self._settings, self._folder, self._study, self._executor = settings, folder, study, executor
        self._resources, self._measure, self._listener = resources, measure, listener
        self._trials = {record.number: record for record in study.trials()}
        self._iterations = iterations_of(study)

    def run(self) -> list[Iteration]:
        """All iterations. Raises UsageError for budgets that nothing reaches and networks in which nothing can shrink,
        SearchError when all proposals of a step fail, GateError when no proposal can take another step."""
        start = start_of(self._study) or self._started()
        if not self._iterations:
            self._decide(self._first(start))
        while not self._is_reached(start):
            self._report(start)
            self._decide(self._iterate(start))
        self._folder.forget_proposals()
        self._report(start)
        return self._iterations

    # -- the network as it is given

    def _started(self) -> Start:
        graph = self._folder.load(0)
        structure = channel_structure(graph)
        found = shrinkables(structure, self._settings.proposals)
        values = {name: resource.of(graph) for name, resource in self._resources.items()}
        measured = {
            target: latencies["0"]
            for target in self._resources
            if target not in SIZES and (latencies := self._measure({"0": graph}, target))
        }
        factors = {target: latency.ns / values[target] for target, latency in measured.items()}
        values = {name: value * factors.get(name, 1.0) for name, value in values.items()}
        bounds = {budget.resource: budget.of(values[budget.resource]) for budget in self._settings.budgets}
        lengths = [group.length for group in structure.groups]
        least = smallest(found, lengths, self._settings.multiple)
        for name, bound in bounds.items():
            (narrowest,) = self._resources[name].narrowing(structure).amounts([least])
            if (amount := narrowest * factors.get(name, 1.0)) > bound:
                raise UsageError(
                    f"no proposals reach {name} {amount_text(name, bound)}: with everything as narrow as it gets, "
                    f"{graph.name} takes {amount_text(name, amount)} (now {amount_text(name, values[name])})"
                )
        start = Start(values, measured, bounds, factors, found, lengths)
        self._study.set_record(START, start.to_json())
        return start

    def _first(self, start: Start) -> Iteration:
        """Number 0: the network as it is, with its accuracy."""
        record = self._evaluated([(0, (0,))])[0]
        if record.evaluation is None:
            raise SearchError(f"the network cannot be evaluated: {record.failures[-1].message}")
        found = record.evaluation
        return Iteration(
            number=0,
            trial=None,
            name="as it is",
            accuracy=found.accuracy or 0.0,
            values=start.values,
            factors=start.factors,
            parameters=found.parameters,
            macs=found.macs,
            channels=start.channels,
            measured=start.measured,
        )

    # -- one iteration

    def _iterate(self, start: Start) -> Iteration:
        began = time.monotonic()
        now = self._iterations[-1]
        step = step_of(self._study, now.number) or self._proposed(start, now)
        vectors = [_vector(now.number, proposal) for proposal in step.proposals]
        records = self._evaluated([(step.first + i, vector) for i, vector in enumerate(vectors)])
        evaluated = [
            (proposal, record)
            for proposal, record in zip(step.proposals, records, strict=True)
            if record.evaluation is not None
        ]
        if not evaluated:
            last, good = records[-1].failures[-1], self._folder.network(now.number)
            raise SearchError(
                f"all {len(records)} proposals of iteration {now.number + 1} failed; the last one: "
                f"{last.failure_class.value}: {last.message}; the last good network is {good}"
            )
        chosen, values = self._chosen(start, now, step, evaluated)
        proposal, record = chosen
        assert record.evaluation is not None
        self._tell(evaluated)
        self._folder.keep(record.number, now.number + 1)
        channels = [proposal.counts.get(group, length) for group, length in enumerate(now.channels)]
        return Iteration(
            number=now.number + 1,
            trial=record.number,
            name=proposal.name,
            accuracy=record.evaluation.accuracy or 0.0,
            values=values,
            factors=now.factors,
            parameters=record.evaluation.parameters,
            macs=record.evaluation.macs,
            channels=channels,
            proposals=len(step.proposals),
            duration_s=time.monotonic() - began,
        )

    def _proposed(self, start: Start, now: Iteration) -> Step:
        graph = self._folder.load(now.number)
        structure = channel_structure(graph)
        narrowings: dict[str, Narrowing] = {
            name: resource.narrowing(structure) for name, resource in self._resources.items()
        }
        most = max((now.values[name] - bound) / start.values[name] for name, bound in start.bounds.items())
        margins = dict.fromkeys(now.measured, MARGIN)  # it was measured, and too slow
        part = min(self._settings.step_part(now.number), most + max(margins.values(), default=0.0))
        for _ in range(HALVINGS):
            wanted = goals(now.values, start.values, start.bounds, part, margins)
            # Figures of the narrowings and of whole networks are the same, but for what fuses otherwise.
            found = propose(
                start.shrinkables, now.channels, narrowings, now.factors, now.values, wanted, self._settings.multiple
            )
            if found:
                first = max(self._trials, default=-1) + 1
                step = Step(now.number, first, part, wanted, found)
                set_step(self._study, step)
                return step
            part /= 2
        said = ", ".join(f"{name} {amount_text(name, value)}" for name, value in now.values.items())
        asked = ", ".join(f"{name} {amount_text(name, bound)}" for name, bound in start.bounds.items())
        raise GateError(
            f"after {now.number} iterations no proposal takes another step; the network takes {said}, asked for "
            f"{asked}; the last good one is {self._folder.network(now.number)}"
        )

    def _chosen(
        self, start: Start, now: Iteration, step: Step, evaluated: Sequence[tuple[Proposal, TrialRecord]]
    ) -> tuple[tuple[Proposal, TrialRecord], dict[str, float]]:
        """The best proposal that takes less when it is looked at as a whole too."""
        offers = [(proposal, record.evaluation) for proposal, record in evaluated]
        order = ranked(offers, now, start, self._settings.rule)
        for place in order:
            values = self._whole(evaluated[place][0], now)
            slack = {name: goal + step.part / 2 * start.values[name] for name, goal in step.goals.items()}
            if within(values, slack) and any(values[name] < now.values[name] for name in step.goals):
                return evaluated[place], values
        place = order[0]  # what fuses otherwise costs more than the step; the next one starts from there
        return evaluated[place], self._whole(evaluated[place][0], now)

    def _whole(self, proposal: Proposal, now: Iteration) -> dict[str, float]:
        if self._settings.measure:  # each was run whole already
            return dict(proposal.values)
        structure = channel_structure(self._folder.load(now.number))
        graph = _narrowed(structure, proposal)
        return {name: r.of(graph) * now.factors.get(name, 1.0) for name, r in self._resources.items()}

    def _tell(self, evaluated: Sequence[tuple[Proposal, TrialRecord]]) -> None:
        for _, record in evaluated:
            if record.told is None:
                assert record.evaluation is not None
                self._trials[record.number] = self._study.set_told(record, record.evaluation.accuracy or 0.0)

    # -- trials

    def _evaluated(self, wanted: Sequence[tuple[int, tuple[int, ...]]]) -> list[TrialRecord]:
        """The trials, run where their results are not known; those that fail for a reason that may pass, again."""
        waiting: set[int] = set()
        structure: ChannelStructure | None = None
        for number, vector in wanted:
            if number not in self._trials:
                record = TrialRecord(number, vector, trial_seed(self._settings.seed, number), vector[0])
                self._trials[number] = self._study.add_trial(record)
            record = self._trials[number]
            lost = record.evaluation is not None and len(vector) > 1 and not self._folder.proposal(number).exists()
            if self._is_over(record) and not lost:
                continue
            structure = structure or channel_structure(self._folder.load(vector[0]))
            self._submit(record, structure)
            waiting.add(number)
        while waiting:
            for outcome in self._executor.wait():
                record = self._study.add_outcome(self._trials[outcome.number], outcome)
                self._trials[outcome.number] = record
                if self._is_over(record):
                    waiting.discard(outcome.number)
                else:
                    assert structure is not None
                    self._submit(record, structure)
        return [self._trials[number] for number, _ in wanted]

    def _submit(self, record: TrialRecord, structure: ChannelStructure) -> None:
        pairs = record.vector[1:]
        counts = dict(zip(pairs[::2], pairs[1::2], strict=True))
        graph = without_channels(structure, {group: range(count) for group, count in counts.items()})
        self._executor.submit(TrialSpec(record.number, record.vector, graph, record.seed))

    def _is_over(self, record: TrialRecord) -> bool:
        if record.evaluation is not None or not record.failures:
            return record.evaluation is not None
        return not record.failures[-1].failure_class.may_pass or len(record.failures) >= self._settings.attempts

    # -- the end

    def _is_reached(self, start: Start) -> bool:
        """Whether the budgets are met, end to end where the targets can run; else the figures are put right."""
        now = self._iterations[-1]
        if not within(now.values, start.bounds):
            return False
        missing = [target for target in start.measured if target not in now.measured]
        if not missing:
            return True
        first, last = self._folder.load(0), self._folder.load(now.number)
        relative = {budget.resource for budget in self._settings.budgets if budget.factor is not None}
        measured, values, factors = dict(now.measured), dict(now.values), dict(now.factors)
        for target in missing:
            found = self._measure({"0": first, "now": last}, target)
            latency = found["now"]
            ns = latency.ns
            if target in relative:  # in turns, whatever the machine's speed is by now
                ns *= start.measured[target].ns / found["0"].ns
            measured[target] = replace(latency, ns=ns)
            factors[target] *= ns / values[target]
            values[target] = ns
        self._decide(replace(now, measured=measured, values=values, factors=factors))
        return within(values, start.bounds)

    def _decide(self, iteration: Iteration) -> None:
        set_iteration(self._study, iteration)
        self._iterations[iteration.number :] = [iteration]
        if iteration.trial is not None and not iteration.measured:
            self._folder.forget_proposals()

    def _report(self, start: Start) -> None:
        now = self._iterations[-1]
        left, values = 0, dict(now.values)
        while not within(values, start.bounds) and left < 10_000:
            part = self._settings.step_part(now.number + left)
            values = {name: values[name] - part * start.values[name] for name in start.bounds}
            left += 1
        timed = [iteration.duration_s for iteration in self._iterations if iteration.duration_s > 0]
        left_s = sum(timed[-5:]) / len(timed[-5:]) * left if timed else None
        self._listener(Progress(start, tuple(self._iterations), left, left_s))


def _vector(iteration: int, proposal: Proposal) -> tuple[int, ...]:
    return (iteration, *(number for pair in sorted(proposal.counts.items()) for number in pair))


def _narrowed(structure: ChannelStructure, proposal: Proposal) -> Graph:
    return without_channels(structure, {group: range(count) for group, count in proposal.counts.items()})


def begin(folder: Folder, graph: Graph) -> None:
    """Put the network as it is given where the loop finds it."""
    files.save(graph, folder.network(0))
