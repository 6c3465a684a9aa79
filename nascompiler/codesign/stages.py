"""The stages, each a function of the networks that those before it left in the folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nascompiler import api
from nascompiler.codesign.result import StageResult
from nascompiler.codesign.settings import CodesignSettings
from nascompiler.data.dataset import Dataset
from nascompiler.ir import Graph, files
from nascompiler.netadapt.folder import Folder
from nascompiler.netadapt.loop import Listener as AdaptListener
from nascompiler.netadapt.run import adapt, executor_of, measure_whole
from nascompiler.search.evaluation import TargetLatency
from nascompiler.search.latency import latency_source, measure_top
from nascompiler.search.prepare import executor_of as search_executor
from nascompiler.search.prepare import prepare
from nascompiler.search.progress import Listener as SearchListener
from nascompiler.search.run import run_search
from nascompiler.search.study import Study
from nascompiler.search.trial import TrialSpec
from nascompiler.training.accuracy import Run, evaluate_accuracy
from nascompiler.training.recipe import Recipe
from nascompiler.transfer.training import train_longer

if TYPE_CHECKING:
    from nascompiler.backends.artifact import Artifact
    from nascompiler.quantization.score import Progress as QuantizeProgress
    from nascompiler.training.trainer import Epoch

EPOCH = Callable[[str, "Epoch", int], None]


@dataclass(frozen=True)
class Context:
    """What stages work with: settings, folder, data, and who is told."""

    settings: CodesignSettings
    folder: Path
    data: Dataset
    on_trial: SearchListener = lambda progress: None
    on_iteration: AdaptListener = lambda progress: None
    on_epoch: EPOCH = lambda what, epoch, total: None
    on_quantize: QuantizeProgress | None = None
    say: Callable[[str], None] = lambda message: None

    def path(self, name: str) -> Path:
        return self.folder / name


WINNER, FIRST, LONG, INT8, ARTIFACT = "search-winner.nir", "first.nir", "float.nir", "int8.nir", "artifact"


def search(context: Context) -> StageResult:
    """The architecture that is worth having, by children and latencies."""
    settings = context.settings.search_settings()
    path = context.path("search.study")
    space, recipe = prepare(settings)
    begun = path.exists() and Study.has_begun(path)
    with closing(search_executor(settings, recipe)) as executor:
        result = run_search(
            settings,
            path,
            space,
            executor,
            resume=begun,
            measure_top=measure_top,
            listener=context.on_trial,
            say=context.say,
        )
    if result.winner is None:
        result.check()  # raises
    assert result.winner is not None
    evaluation = result.winner.evaluation
    latency = evaluation.latencies.get(context.settings.target)
    trained = f"trial {result.winner.number} of {len(result.trials)}, a child trained on the proxy"
    return StageResult("search", WINNER, evaluation.accuracy, None, latency, trained)


def first_training(context: Context) -> StageResult:
    """The winner at its full size, trained so that there is something to shrink."""
    recipe = Recipe.from_json(dict(context.settings.first))
    trained = train_longer(
        files.load(context.path(WINNER)),
        context.data,
        recipe,
        seed=context.settings.seed,
        progress=lambda epoch: context.on_epoch("the winner", epoch, recipe.epochs),
    )
    files.save(trained.graph, context.path(FIRST))
    note = f"{recipe.epochs} epochs"
    latency = latency_of(trained.graph, context.settings.target)
    return StageResult("training", FIRST, trained.held_out_accuracy, trained.test_accuracy, latency, note)


def shrinking(context: Context) -> StageResult:
    """NetAdapt down to the latency that is asked for."""
    settings = context.settings.adapt_settings()
    folder = Folder(context.path("netadapt"))
    with closing(executor_of(settings, folder.path, context.data)) as executor:
        result = adapt(
            settings,
            lambda: files.load(context.path(FIRST)),
            context.data,
            folder.path,
            executor,
            resume=folder.study.exists() and Study.has_begun(folder.study),
            listener=context.on_iteration,
            on_epoch=context.on_epoch,
            say=context.say,
        )
    last, target = result.last, context.settings.target
    latency = last.measured.get(target) or latency_of(files.load(result.path), target)
    note = f"{last.number} iterations, {settings.steps} steps each"
    file = str(result.path.relative_to(context.folder))
    return StageResult("netadapt", file, last.accuracy, None, latency, note)


def long_training(context: Context, shrunk: StageResult) -> StageResult:
    """The network that was shrunk, trained for good; its latency is that of the shape it has."""
    recipe = Recipe.from_json(dict(context.settings.train))
    trained = train_longer(
        files.load(context.path(shrunk.file)),
        context.data,
        recipe,
        seed=context.settings.seed,
        progress=lambda epoch: context.on_epoch("for good", epoch, recipe.epochs),
    )
    files.save(trained.graph, context.path(LONG))
    note = f"{recipe.epochs} epochs"
    latency = latency_of(trained.graph, context.settings.target)
    return StageResult("long training", LONG, trained.held_out_accuracy, trained.test_accuracy, latency, note)


def quantisation(context: Context) -> StageResult:
    """Integers, compared with float on held-out images, and timed beside it."""
    found = api.quantize(
        files.load(context.path(LONG)),
        calibration=context.data,
        max_drop=context.settings.max_drop,
        target=context.settings.target,
        seed=context.settings.seed,
        measure=True,
        progress=context.on_quantize,
    )
    files.save(found.graph, context.path(INT8))
    verdict = found.report.verdict
    compared = verdict.latency.comparison
    latency = None
    if compared is not None:
        second = compared.second
        latency = TargetLatency(second.median_ns, second.kind, second.mad_ns, len(second.samples_ns))
    # Whatever else speaks for int8: where only float is fast enough, float it is.
    bound = context.settings.latency_ns
    too_slow = compared is not None and compared.first.median_ns <= bound < compared.second.median_ns
    deployed = INT8 if verdict.pays is not False and found.met and not too_slow else LONG
    score = found.report.score
    note = str(verdict).splitlines()[0]
    held_out = None if score is None else score.quantized
    return StageResult("quantisation", INT8, held_out, None, latency, note, details={"deployed": deployed})


def compilation(context: Context, quantized: StageResult) -> StageResult:
    """The artifact of int8 where it pays, else of float, compiled and verified against the reference evaluation."""
    deployed = quantized.details["deployed"]
    artifact = api.compile(
        files.load(context.path(deployed)), context.settings.target, context.path(ARTIFACT), overwrite=True
    )
    verification = api.verify(artifact, seed=context.settings.seed)
    verification.check()
    kind = "int8" if deployed == INT8 else "float: int8 does not pay here"
    note = f"{kind}; {verification}".splitlines()[0]
    run = artifact_run(artifact)
    held_out = evaluate_accuracy(run, context.data.held_out)
    test = evaluate_accuracy(run, context.data.test) if len(context.data.test) else None
    return StageResult("artifact, verified", ARTIFACT, held_out, test, None, note, details={"deployed": deployed})


def measurement(context: Context, compiled: StageResult) -> StageResult:
    """The artifact on the target."""
    found = api.bench(context.path(ARTIFACT)).ours.latency
    latency = TargetLatency(found.median_ns, found.kind, found.mad_ns, len(found.samples_ns))
    return StageResult("measured", ARTIFACT, compiled.held_out, compiled.test, latency, details=dict(compiled.details))


def latency_of(graph: Graph, target: str) -> TargetLatency:
    """The latency end to end where the target can run or be simulated here, else as its source tells it."""
    measured = measure_whole({"network": graph}, target)
    return measured["network"] if measured else latency_source(target).latency(TrialSpec(0, (), graph, 0))


def artifact_run(artifact: Artifact) -> Run:
    """An artifact for one image at a time as a function of many: [N, H, W, C] -> logits."""
    (name,) = [each.name for each in artifact.manifest.inputs]

    def run(images: NDArray[np.float32]) -> NDArray[Any]:
        return np.concatenate([next(iter(artifact.run({name: image[None]}).values())) for image in images])

    return run
