"""An adaptation from its settings to its result: everything is checked, the loop runs, the last network is trained."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nascompiler.backends.errors import DeviceError
from nascompiler.data.dataset import Dataset
from nascompiler.ir import Graph, files
from nascompiler.ir.errors import UsageError
from nascompiler.netadapt.budgets import SIZES
from nascompiler.netadapt.folder import Folder
from nascompiler.netadapt.loop import Adaptation, Listener, Measure
from nascompiler.netadapt.records import FINAL, Final, Latencies, final_of
from nascompiler.netadapt.resources import resources_of
from nascompiler.netadapt.result import AdaptResult
from nascompiler.netadapt.settings import AdaptSettings
from nascompiler.search.executors import InProcess, LocalProcesses
from nascompiler.search.interfaces import Executor, LatencySource
from nascompiler.search.latency import Candidate, latency_source, measure_top, provider
from nascompiler.search.latency.providers import THOROUGH
from nascompiler.search.run import versions
from nascompiler.search.study import Study

if TYPE_CHECKING:
    from nascompiler.training.trainer import Epoch

Say = Callable[[str], None]


def adapt(
    settings: AdaptSettings,
    model: Callable[[], Graph],
    data: Dataset,
    folder: str | Path,
    executor: Executor,
    *,
    resume: bool = False,
    sources: Mapping[str, LatencySource] | None = None,
    measure: Measure | None = None,
    listener: Listener = lambda progress: None,
    on_epoch: Callable[[str, Epoch, int], None] = lambda what, epoch, total: None,
    say: Say = lambda message: None,
) -> AdaptResult:
    """Shrink a network until its budgets are met, then train it longer; all is written into `folder`.

    `model` gives the network where the folder has none yet: an architecture is trained first by the recipe of the long
    training. `sources` (default: by the names of the targets) tell latencies on the way, `measure` runs networks whole.
    `on_epoch` is told what is being trained, each epoch, and how many there are.
    """
    place = Folder(Path(folder))
    resources = [budget.resource for budget in settings.budgets]
    if sources is None:
        sources = {t: latency_source(t, measure=settings.measure) for t in resources if t not in SIZES}
    study = Study.resume(place.study) if resume else Study.create(place.study, settings.to_json())
    with study:
        if resume:
            study.change_settings(settings.to_json())
        study.begin_session(versions())
        if not place.network(0).exists():
            _begin(settings, model(), data, place, on_epoch, say)
        loop = Adaptation(
            settings,
            place,
            study,
            executor,
            resources_of(resources, sources),
            measure_whole if measure is None else measure,
            listener,
        )
        iterations = loop.run()
        if settings.train is not None and final_of(study) is None:
            _finish(settings, place, iterations[-1].number, data, study, on_epoch, say)
        return AdaptResult.of(study)


def executor_of(settings: AdaptSettings, folder: str | Path, data: Dataset, ray: str | None = None) -> Executor:
    """Where proposals are trained: processes of this machine, a Ray cluster that sees the folder under the same name,
    or this process where the data are no named ones. Raises UsageError where settings and data cannot be used."""
    from nascompiler.netadapt import tuning

    short = tuning.short_recipe(settings.fine_tune)
    path = Path(folder)
    if not settings.data:
        return InProcess(tuning.ProposalTrainer(path, data, short, settings.steps, settings.criterion))
    made = tuning.recipe(
        path, settings.data, settings.resolution, settings.fine_tune, settings.steps, settings.criterion
    )
    if ray is None:
        return LocalProcesses(made, settings.parallel, timeout_s=settings.timeout_s)
    from nascompiler.search.executors.ray_cluster import RayCluster

    return RayCluster(made, ray)


def _begin(
    settings: AdaptSettings,
    graph: Graph,
    data: Dataset,
    place: Folder,
    on_epoch: Callable[[str, Epoch, int], None],
    say: Say,
) -> None:
    from nascompiler.training.recipe import Recipe
    from nascompiler.training.trainer import check_fit
    from nascompiler.transfer.training import train_longer

    if any(node.op.dialect == "qnn" for node in graph.nodes):
        raise UsageError(f"{graph.name} is quantised; netadapt takes float networks: quantise the result instead")
    if graph.level == "arch":
        if settings.train is None:
            raise UsageError(f"{graph.name} is an architecture without weights; train it first, or give a recipe")
        recipe = Recipe.from_json(dict(settings.train))
        say(f"training {graph.name} ...")
        graph = train_longer(
            graph,
            data,
            recipe,
            seed=settings.seed,
            progress=lambda epoch: on_epoch("the network as it is given", epoch, recipe.epochs),
        ).graph
    check_fit(graph, data)
    files.save(graph, place.network(0))


def _finish(
    settings: AdaptSettings,
    place: Folder,
    iteration: int,
    data: Dataset,
    study: Study,
    on_epoch: Callable[[str, Epoch, int], None],
    say: Say,
) -> None:
    from nascompiler.netadapt.scratch import with_new_weights
    from nascompiler.training.recipe import Recipe
    from nascompiler.transfer.training import train_longer

    recipe = Recipe.from_json(dict(settings.train or {}))
    graph = place.load(iteration)
    if settings.from_scratch:
        graph = with_new_weights(graph, settings.seed)
    say(f"training the network after {iteration} iterations, {'from scratch' if settings.from_scratch else 'on'} ...")
    began = time.monotonic()
    trained = train_longer(
        graph,
        data,
        recipe,
        seed=settings.seed,
        progress=lambda epoch: on_epoch("the last network", epoch, recipe.epochs),
    )
    files.save(trained.graph, place.final)
    final = Final(trained.held_out_accuracy, trained.test_accuracy, recipe.epochs, time.monotonic() - began)
    study.set_record(FINAL, final.to_json())


def measure_whole(graphs: Mapping[str, Graph], target: str) -> Latencies:
    """Networks run whole in turns, by the most thorough way that the target has; empty where tables are all there is.

    Raises DeviceError if one fails.
    """
    if not set(THOROUGH) & set(provider(target).kinds):
        return {}
    found = {}
    for row in measure_top([Candidate(name, graph) for name, graph in graphs.items()], target):
        if row.measured is None:
            raise DeviceError(f"a network cannot be measured on {target}: {row.problem}")
        found[row.name] = row.measured
    return found
