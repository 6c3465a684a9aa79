"""A search from its settings to its result: all is checked first, then the loop runs, then the best are measured."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version

from nascompiler.ir.text import print_graph
from nascompiler.search import controllers
from nascompiler.search.errors import StudyError
from nascompiler.search.failures import FailureClass
from nascompiler.search.interfaces import Executor
from nascompiler.search.latency.top import Candidate as Finalist
from nascompiler.search.latency.top import Ranked
from nascompiler.search.loop import Search
from nascompiler.search.progress import Listener
from nascompiler.search.ranking import Candidate
from nascompiler.search.result import SearchResult
from nascompiler.search.settings import SearchSettings
from nascompiler.search.study import FinalRecord, Study
from nascompiler.spaces import SearchSpace

VERSIONS_OF = ("nascompiler", "numpy", "torch", "apache-tvm")

MeasureTop = Callable[[Sequence[Finalist], str], Sequence[Ranked]]
"""`latency.measure_top`, or what stands for it."""


def run_search(
    settings: SearchSettings,
    path: str | Path,
    space: SearchSpace,
    executor: Executor,
    *,
    resume: bool = False,
    retry: Collection[FailureClass] = (),
    measure_top: MeasureTop | None = None,
    listener: Listener = lambda progress: None,
    say: Callable[[str], None] = lambda message: None,
) -> SearchResult:
    """Search a space that fits its data; the winner and the front are written beside the study.

    With `resume` the study must be one of the same space. Trials that failed in one of the ways of `retry` are run
    once more at the end. With `measure_top` the best are measured before the winner is named. Raises UsageError and
    StudyError for a study that cannot be used, SearchError when nothing can be evaluated.
    """
    text = print_graph(space.graph)
    plan, objective = settings.plan(), settings.objective_of()
    controllers.create(plan.controller, space, seed=plan.seed, preset=plan.preset)  # raises before there is a file
    study = Study.resume(path) if resume else Study.create(path, settings.to_json(), text)
    with study:
        if study.space != text:
            raise StudyError(f"{study.path}: its space {settings.space} is not the one that there is now; begin anew")
        if resume:
            study.change_settings(settings.to_json())
        study.begin_session(versions())
        search = Search(space, objective, study, executor, plan, listener)
        trials = search.run()
        if retry:
            succeeded = search.retry(retry)
            trials = study.trials()
            say(f"{succeeded} of the trials that had failed succeeded now")
        result = SearchResult.of(study, trials)
        if measure_top is not None:
            result = _measured(result, study, measure_top, say)
    result.write_architectures()
    return result


def _measured(result: SearchResult, study: Study, measure_top: MeasureTop, say: Callable[[str], None]) -> SearchResult:
    """Measure the best until the best of all is one that was measured: what comes out slower makes way for others.

    All are measured in turns with each other, those of earlier rounds again with the newcomers.
    """
    top = max(result.settings.top, 1)
    chosen: dict[int, Candidate] = {}
    while True:
        wanted = {c.number: c for c in result.candidates[:top] if c.number not in chosen}
        if not wanted or not result.settings.targets:
            return result
        if chosen and result.candidates[0].number in chosen:
            return result
        chosen |= wanted
        finals: list[FinalRecord] = []
        for target in result.settings.targets:
            say(f"measuring the best {len(chosen)} on {target} ...")
            finalists = [
                Finalist(str(n), result.architecture(c), (c.trial.evaluation or c.evaluation).latencies.get(target))
                for n, c in chosen.items()
            ]
            finals += [
                FinalRecord(int(row.name), target, row.predicted, row.measured, row.tied, row.problem)
                for row in measure_top(finalists, target)
            ]
        study.set_finals(finals)
        result = replace(result, finals=finals)


def versions() -> dict[str, str]:
    """Of what decides about results."""
    found = {"python": python_version()}
    for name in VERSIONS_OF:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
