"""Search spaces by name, those of plugins included."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from nascompiler import api, spaces
from nascompiler.ir import Graph, UsageError, parse, print_graph, structurally_equal, verify
from nascompiler.spaces import catalogue

OWN = "nir 1\ngraph @own(%x: f32[1,8,8,3]) {\n  choice @k = [3, 5]\n"
OWN += "  %y = arch.conv(%x) {filters=4, kernel=@k}\n  return y=%y\n}\n"


def own() -> Graph:
    return parse(OWN)


def no_graph() -> str:
    return "a graph"


def failing() -> Graph:
    raise RuntimeError("no disk")


def install(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> None:
    found = tuple(EntryPoint(name, f"{__name__}:{function}", catalogue.ENTRY_POINTS) for name, function in points)
    monkeypatch.setattr(catalogue, "entry_points", lambda group: found if group == "nascompiler.spaces" else ())
    monkeypatch.setattr(EntryPoint, "load", lambda self: globals()[self.attr])


@pytest.mark.parametrize("name", spaces.names())
def test_every_space_is_open_valid_and_round_trips(name: str) -> None:
    space = spaces.load(name)
    verify(space.graph)
    assert space.name == name
    assert space.graph.is_open
    assert structurally_equal(parse(print_graph(space.graph)), space.graph)


def test_files_are_written_as_they_print() -> None:
    for path in Path(spaces.__file__).parent.glob("*.nir"):
        text = path.read_text(encoding="utf-8")
        assert print_graph(parse(text)) == text


def test_load_takes_names_of_spaces() -> None:
    assert structurally_equal(api.load("mnasnet"), spaces.load_graph("mnasnet"))


def test_unknown_space() -> None:
    with pytest.raises(UsageError, match="unknown search space 'nasent'"):
        spaces.load("nasent")


def test_space_of_a_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("own", "own"))
    assert "own" in spaces.names()
    assert spaces.load("own").size == 2


def test_two_spaces_of_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("mnasnet", "own"))
    with pytest.raises(UsageError, match="two search spaces named 'mnasnet'"):
        spaces.names()


@pytest.mark.parametrize(
    ("function", "message"), [("no_graph", "gives a str; accepted: a Graph"), ("failing", "cannot be loaded: no disk")]
)
def test_broken_plugins(monkeypatch: pytest.MonkeyPatch, function: str, message: str) -> None:
    install(monkeypatch, ("own", function))
    with pytest.raises(UsageError, match=message):
        spaces.load("own")
