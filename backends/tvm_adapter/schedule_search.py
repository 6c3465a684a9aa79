"""MetaSchedule's search for the schedule of one function: it proposes, others measure, and it learns from the times.

TVM's own builder and runner are not used: schedules are built, checked and timed by `kernel_worker`, like all variants.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import tvm
from tvm.s_tir import meta_schedule

from nascompiler.backends.target import Target
from nascompiler.backends.tvm_adapter.device import tvm_target
from nascompiler.backends.tvm_adapter.schedules import text_of

# TuneContext imports TVM's intrinsics for tensor cores and the like, which takes 40 s; the rules used here need none.
_INTRINSICS = "tvm.s_tir.tensor_intrin"
if _INTRINSICS not in sys.modules:
    sys.modules[_INTRINSICS] = ModuleType(_INTRINSICS)

POPULATION = 64
"""Schedules that an iteration evolves; TVM's default of 512 takes longer to evolve than 16 take to measure."""

BATCH = 16
"""Schedules proposed at a time."""

GENERATIONS = 3

MOST_TRIALS = 1 << 20
"""No limit: whoever measures says when to stop."""

_HOPELESS_S = 1e10
"""What TVM takes for the time of a failure."""


def cost_model(seed: int) -> Any:
    """XGBoost where it is installed, as TVM has it; else chance decides what of a population is tried."""
    if find_spec("xgboost") is None:
        return meta_schedule.cost_model.RandomModel(seed=seed)
    return meta_schedule.cost_model.XGBModel(num_warmup_samples=BATCH, num_tuning_cores=1)


class ScheduleSearch:
    """Proposes schedules for a PrimFunc, the better the more it has been told; the same for the same seed and times."""

    def __init__(self, function: Any, target: Target, seed: int = 0) -> None:
        function = function.with_attr("global_symbol", "main").with_attr("tirx.noalias", True)
        module = tvm.IRModule({"main": function})
        self._target = tvm_target(target)
        self._model = cost_model(seed)
        self._database = meta_schedule.database.MemoryDatabase()
        self._workload = self._database.commit_workload(module)
        logger = logging.getLogger(__name__)
        logger.setLevel(logging.ERROR)
        self._context = meta_schedule.TuneContext(
            module,
            target=self._target,
            # the rules for this target would be those with intrinsics for bytes, which are not there
            space_generator=meta_schedule.space_generator.PostOrderApply(
                sch_rules="llvm", postprocs="llvm", mutator_probs="llvm"
            ),
            search_strategy=meta_schedule.search_strategy.EvolutionarySearch(
                population_size=POPULATION, init_min_unmeasured=BATCH, genetic_num_iters=GENERATIONS
            ),
            num_threads=1,
            rand_state=seed + 1,
            logger=logger,
        )
        spaces = self._context.generate_design_space()
        self._context.pre_tuning(MOST_TRIALS, BATCH, spaces, self._database, self._model)
        self._proposed: list[Any] = []

    def propose(self) -> list[str]:
        """The texts of the next schedules to try; none when there are no more."""
        self._proposed = list(self._context.generate_measure_candidates() or ())
        return [text_of(candidate.sch.trace) for candidate in self._proposed]

    def learn(self, times: Sequence[float | None]) -> None:
        """Take note of the times of what was proposed last, in any unit; None for what failed."""
        seconds = [None if t is None else [t] for t in times]
        results = [meta_schedule.runner.RunnerResult(s, None if s is not None else "failed") for s in seconds]
        self._context.notify_runner_results(self._proposed, results)
        self._model.update(self._context, self._proposed, results)
        for candidate, run in zip(self._proposed, seconds, strict=True):
            record = meta_schedule.database.TuningRecord(
                candidate.sch.trace, self._workload, run or [_HOPELESS_S], self._target, candidate.args_info
            )
            self._database.commit_tuning_record(record)
