"""From settings to the parts of a search: everything is checked here, before there is a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nascompiler import spaces
from nascompiler.data.load import load_dataset
from nascompiler.ir.errors import UsageError, unknown
from nascompiler.search import controllers
from nascompiler.search.children import Proxy, default_proxy
from nascompiler.search.evaluator import recipe
from nascompiler.search.executors import LocalProcesses
from nascompiler.search.fitting import fitted_space
from nascompiler.search.interfaces import EvaluatorRecipe, Executor
from nascompiler.search.latency import latency_source
from nascompiler.search.settings import SearchSettings
from nascompiler.search.units import parse_duration_ns
from nascompiler.spaces import SearchSpace


def prepare(settings: SearchSettings) -> tuple[SearchSpace, EvaluatorRecipe]:
    """The space for the data, and how workers evaluate.

    Raises UsageError and DataError for whatever cannot be used: space, data, targets, objective, constraints,
    controller, proxy.
    """
    settings.objective_of()
    settings.plan()
    known = controllers.presets(settings.controller)
    if settings.preset not in known:
        raise unknown(f"preset of {settings.controller}", settings.preset, known)
    space = spaces.load(settings.space)
    for target in settings.targets:
        latency_source(target, measure=settings.measure, space=settings.space)
    proxy = default_proxy(settings.data) if settings.proxy is None else Proxy.from_json(settings.proxy)
    if settings.resolution is not None and not proxy.resolution:
        proxy = replace(proxy, resolution=settings.resolution)  # children see what the network is for
    fitted = fitted_space(space, load_dataset(settings.data), resolution=settings.resolution)
    return fitted, recipe(
        settings.data,
        proxy.to_json(),
        settings.targets,
        space=settings.space,
        measure=settings.measure,
        constraints=settings.constraints,
    )


def executor_of(settings: SearchSettings, recipe: EvaluatorRecipe, ray: str | None = None) -> Executor:
    """Processes of this machine, or the Ray cluster at an address; raises UsageError where there is no Ray."""
    if ray is None:
        return LocalProcesses(recipe, settings.parallel, timeout_s=settings.timeout_s)
    from nascompiler.search.executors.ray_cluster import RayCluster

    return RayCluster(recipe, ray)


def latencies_of(texts: Sequence[str], targets: Sequence[str]) -> dict[str, float]:
    """Latencies to aim for, in ns by target: `25ms` for all of them, `cpu=25ms` for one; raises UsageError."""
    found: dict[str, float] = {}
    for text in texts:
        name, equals, time = text.rpartition("=")
        if equals and name not in targets:
            raise UsageError(f"latency {text!r}: {name!r} is not among the targets: {', '.join(targets)}")
        for target in [name] if equals else targets:
            if target in found:
                raise UsageError(f"two latencies are given for {target}")
            found[target] = parse_duration_ns(time)
    return found
