"""The search spaces there are: graph files of ours, and what installed packages bring."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from nascompiler.ir import Graph, files
from nascompiler.ir.errors import UsageError, unknown
from nascompiler.spaces.space import SearchSpace
from nascompiler.spaces.transfer import SKELETONS, stack_cells

FOLDER = Path(__file__).parent

ENTRY_POINTS = "nascompiler.spaces"
"""Group of entry points, each a function without arguments that returns a graph with open choices."""


ALIASES = {"mobilenet-v3": "mobilenet-v3-layers"}
"""Other names of search spaces, which are not listed."""


def names() -> list[str]:
    """The search spaces there are."""
    return sorted([*_built_in(), *_plugins()])


def load(name: str) -> SearchSpace:
    """A search space by name; raises UsageError with the nearest names for an unknown one."""
    return SearchSpace(load_graph(name))


def load_graph(name: str) -> Graph:
    """The graph of a search space by name; raises UsageError for an unknown one and for a plugin that fails."""
    built_in, plugins = _built_in(), _plugins()
    name = ALIASES.get(name, name)
    if name in built_in:
        return built_in[name]()
    if name in plugins:
        return _from_plugin(plugins[name])
    raise unknown("search space", name, [*built_in, *plugins])


def _built_in() -> dict[str, Callable[[], Graph]]:
    found: dict[str, Callable[[], Graph]] = {}
    for path in FOLDER.glob(f"*{files.SUFFIX}"):
        found[path.stem] = partial(files.load, path)
    for skeleton in SKELETONS:
        found[f"nasnet-{skeleton}"] = partial(_stacked, skeleton)
    return found


def _stacked(skeleton: str) -> Graph:
    return stack_cells(load_graph("nasnet"), skeleton)


def _plugins() -> dict[str, EntryPoint]:
    """By name; raises UsageError where one takes a name that is taken."""
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda p: (p.name, p.value)):
        if point.name in found or point.name in _built_in():
            raise UsageError(f"two search spaces named {point.name!r}; one of them is {point.value}: rename it")
        found[point.name] = point
    return found


def _from_plugin(point: EntryPoint) -> Graph:
    try:
        graph = point.load()()
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"the plugin {point.name!r} ({point.value}) cannot be loaded: {error}") from error
    if not isinstance(graph, Graph):
        raise UsageError(f"the plugin {point.name!r} ({point.value}) gives a {type(graph).__name__}; accepted: a Graph")
    return graph
