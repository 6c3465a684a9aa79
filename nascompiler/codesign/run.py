"""All stages, one after the other; what a stage came to is in the study before the next one begins."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from nascompiler.codesign import stages
from nascompiler.codesign.result import CodesignResult, StageResult
from nascompiler.codesign.settings import CodesignSettings
from nascompiler.codesign.stages import Context
from nascompiler.search.run import versions
from nascompiler.search.study import Study

STUDY = "codesign.study"

STAGES = ("search", "training", "netadapt", "long training", "quantisation", "artifact, verified", "measured")


def codesign(
    context: Context, *, resume: bool = False, on_stage: Callable[[str], None] = lambda name: None
) -> CodesignResult:
    """Search, train, shrink, train for good, quantise, compile, verify and measure; all is written into the folder.

    With `resume` stages that have ended are not run again, and one that was under way goes on from what it has
    written. `result.check()` raises GateError when the artifact misses the latency. Raises what the stages do, among
    them GateError when NetAdapt cannot meet the latency.
    """
    path = context.folder / STUDY
    study = Study.resume(path) if resume else Study.create(path, context.settings.to_json())
    with study:
        study.begin_session(versions())
        ended = ended_stages(study)
        while len(ended) < len(STAGES):
            name = STAGES[len(ended)]
            on_stage(name)
            began = time.monotonic()
            stage = replace(_run(name, context, ended), duration_s=time.monotonic() - began)
            study.set_record(f"stage {len(ended)}", stage.to_json())
            ended.append(stage)
    return CodesignResult(context.folder, context.settings, ended)


def _run(name: str, context: Context, ended: list[StageResult]) -> StageResult:
    if name == "search":
        return stages.search(context)
    if name == "training":
        return stages.first_training(context)
    if name == "netadapt":
        return stages.shrinking(context)
    if name == "long training":
        return stages.long_training(context, ended[-1])
    if name == "quantisation":
        return stages.quantisation(context)
    if name == "artifact, verified":
        return stages.compilation(context, ended[-1])
    return stages.measurement(context, ended[-1])


def ended_stages(study: Study) -> list[StageResult]:
    """What the stages that have ended came to, in their order."""
    found: list[StageResult] = []
    while (data := study.record(f"stage {len(found)}")) is not None:
        found.append(StageResult.from_json(data))
    return found


def kept_settings(folder: Path) -> CodesignSettings:
    """Those of a codesign that was begun; raises UsageError where there is none."""
    with Study.read(folder / STUDY) as study:
        return CodesignSettings.from_json(study.settings)
