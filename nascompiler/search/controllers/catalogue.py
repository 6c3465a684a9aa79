"""The controllers there are: ours, and what installed packages bring."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from nascompiler.ir.errors import UsageError, unknown
from nascompiler.search.controllers.evolution import RegularisedEvolution
from nascompiler.search.controllers.ppo import Ppo
from nascompiler.search.controllers.random_search import RandomSearch
from nascompiler.search.interfaces import Controller, State
from nascompiler.spaces import SearchSpace

ENTRY_POINTS = "nascompiler.controllers"
"""Group of entry points, each a class like those here; see `ControllerClass`."""

DEFAULT_PRESET = "small"


class ControllerClass(Protocol):
    """How a controller is made: from a space, a seed, and settings by name.

    `PRESETS` are settings by the name of a preset; a class without it has one, "small", without settings.
    """

    def __call__(self, space: SearchSpace, seed: int = 0, **settings: Any) -> Controller: ...

    def restore(self, space: SearchSpace, state: State) -> Controller: ...


BUILT_IN: Mapping[str, ControllerClass] = {
    "evolution": RegularisedEvolution,
    "ppo": Ppo,
    "random": RandomSearch,
}


def names() -> list[str]:
    """The controllers there are."""
    return sorted([*BUILT_IN, *_plugins()])


def presets(name: str) -> list[str]:
    """The presets of a controller; raises UsageError for an unknown one."""
    return list(_presets(_class(name)))


def create(
    name: str, space: SearchSpace, *, seed: int = 0, preset: str = DEFAULT_PRESET, **settings: Any
) -> Controller:
    """A controller by name, with the settings of a preset and others over them; raises UsageError for unknown ones."""
    made_by = _class(name)
    known = _presets(made_by)
    if preset not in known:
        raise unknown(f"preset of {name}", preset, known)
    try:
        return made_by(space, seed, **{**known[preset], **settings})
    except TypeError as error:
        raise UsageError(f"the controller {name!r} cannot be made: {error}") from error


def random_draws(name: str, preset: str) -> int:
    """How many architectures a controller draws at random at first; 0 where it does not say."""
    made_by = _class(name)
    said = getattr(made_by, "random_draws", None)
    return 0 if said is None else int(said(**_presets(made_by).get(preset, {})))


def restore(name: str, space: SearchSpace, state: State) -> Controller:
    """The controller that goes on where the one that gave the state stood."""
    return _class(name).restore(space, state)


def _presets(made_by: ControllerClass) -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = getattr(made_by, "PRESETS", {DEFAULT_PRESET: {}})
    return found


def _class(name: str) -> ControllerClass:
    if name in BUILT_IN:
        return BUILT_IN[name]
    plugins = _plugins()
    if name not in plugins:
        raise unknown("controller", name, [*BUILT_IN, *plugins])
    point = plugins[name]
    try:
        loaded: ControllerClass = point.load()
    except Exception as error:
        raise UsageError(f"the plugin {name!r} ({point.value}) cannot be loaded: {error}") from error
    if not hasattr(loaded, "restore"):
        raise UsageError(f"the plugin {name!r} ({point.value}) is no controller: it has no `restore`")
    return loaded


def _plugins() -> dict[str, EntryPoint]:
    """By name; raises UsageError where one takes a name that is taken."""
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda p: (p.name, p.value)):
        if point.name in found or point.name in BUILT_IN:
            raise UsageError(f"two controllers named {point.name!r}; one of them is {point.value}: rename it")
        found[point.name] = point
    return found
