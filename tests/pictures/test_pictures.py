"""Pictures: valid XML, everything in them, nothing on top of anything else, the same every time."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from nascompiler import api, spaces, zoo
from nascompiler.architecture import expanded
from nascompiler.ir import Builder, Graph, UsageError, parse
from nascompiler.passes.expand_cells import arch_names
from nascompiler.pictures import draw, draw_cell, operations

SVG = "{http://www.w3.org/2000/svg}"
NETWORKS = [n for n in zoo.names() if n != "nasnet-a-large"]


def elements(picture: str, name: str) -> list[ET.Element]:
    return list(ET.fromstring(picture.encode()).iter(SVG + name))


def texts(picture: str) -> list[str]:
    return ["".join(e.itertext()) for e in elements(picture, "text")]


def notes(picture: str) -> list[str]:
    return [e.text or "" for r in elements(picture, "rect") for e in r.findall(SVG + "title")]


@pytest.mark.parametrize("name", [*NETWORKS, *spaces.names()])
def test_every_node_of_an_architecture_has_its_box(name: str) -> None:
    graph = api.load(name)
    found = notes(draw(graph))
    assert len(arch_names(graph)) > 0
    for node in graph.nodes:
        assert sum(note.startswith(repr(node) + ":") for note in found) == 1


@pytest.mark.parametrize("name", ["nasnet-a-mobile", "mobilenet-v3-large", "lstm0", "mnasnet", "nasnet"])
def test_a_picture_is_the_same_every_time_and_boxes_do_not_overlap(name: str) -> None:
    graph = api.load(name)
    picture = draw(graph)
    assert picture == draw(graph.clone())
    group = ET.fromstring(picture.encode())
    for canvas in group.findall(SVG + "g"):
        boxes = [r for r in canvas.findall(SVG + "rect") if r.find(SVG + "title") is not None]
        for a, b in combinations(map(borders, boxes), 2):
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def borders(rect: ET.Element) -> tuple[float, float, float, float]:
    x, y, width, height = (float(rect.get(a, "0")) for a in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


def test_operations_of_a_cell() -> None:
    graph = zoo.load("nasnet-a-mobile")
    picture = draw_cell(graph.cells["normal"], graph).render("normal")
    found = notes(picture)
    for block, (left, right) in enumerate(
        [("separable5", "separable3"), ("separable5", "separable3"), ("average3", "identity"),
         ("average3", "average3"), ("separable3", "identity")]
    ):  # fmt: skip
        assert f"b{block}.left: {left}" in found
        assert f"b{block}.right: {right}" in found
        assert f"block {block}: add" in found
    assert {"hᵢ", "hᵢ₋₁", "hᵢ₊₁", "concat", "normal cell"} <= set(texts(picture))
    edges = elements(picture, "path")
    assert len(edges) == 1 + 10 + 10 + 6 + 1  # the arrowhead; inputs, operations, concat from six states, output


def test_what_stands_in_the_boxes() -> None:
    found = texts(draw(zoo.load("mobilenet-v3-large")))
    assert "MBConv3 5×5" in found
    assert "40 filters · stride 2 · SE 0.25 · ReLU" in found
    assert "28×28" in found
    assert "global pool · dense 1280 h-swish · dropout 0.2 · 1000 classes" in found
    assert "5.48M parameters · 217M multiply-adds" in found
    assert "×4" in texts(draw(zoo.load("mnasnet-a1")))


def test_open_choices_stand_with_their_options() -> None:
    found = texts(draw(spaces.load_graph("mnasnet")))
    assert "×{2, 3, 4}" in found
    assert any("{16, 24, 32} filters" in text for text in found)
    assert "49 open choices" in found


def test_operations_of_a_network() -> None:
    graph = expanded(api.load("mobilenet-v3-small", resolution=64))
    picture = draw(graph)
    drawn = "\n".join(notes(picture))
    assert all(repr(node) in drawn for node in graph.nodes)
    assert "depthwise 5×5 /2" in texts(picture)
    assert "batch norm · hard swish" in texts(picture)
    assert picture == draw(graph)


def hostile(name: str) -> Graph:
    builder = Builder(name)
    x = builder.input(name, (1, 4))
    return builder.outputs(**{name: builder.nn.relu(x, name=name)})


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "a & b", "\"'>", "]]>", "nul\0bell\x07", "\ud800", "名前"]
)
def test_names_are_text(name: str) -> None:
    picture = draw(hostile(name))
    root = ET.fromstring(picture.encode())
    assert {e.tag.removeprefix(SVG) for e in root.iter()} <= {
        "svg", "title", "defs", "marker", "path", "rect", "text", "g",
    }  # fmt: skip
    shown = "".join(c if c.isprintable() else "\ufffd" for c in name)
    assert shown in texts(picture)


def test_hostile_names_of_architectures_and_cells() -> None:
    text = print_of("nasnet-a-cifar").replace("@normal", '@"<b>&"').replace("%stem", '%"</text>"')
    picture = draw(parse(text))
    assert "<b>& cell" in texts(picture)
    assert any("%</text>" in note for note in notes(picture))


def print_of(name: str) -> str:
    return str(zoo.load(name))


def test_too_many_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "LIMIT", 10)
    with pytest.raises(UsageError, match=r"mobilenet-v3-small has \d+ operations to draw; accepted: up to 10"):
        draw(expanded(api.load("mobilenet-v3-small", resolution=64)))


def test_inspect_draws(cli_main: Any, tmp_path: Path) -> None:
    target = tmp_path / "net.svg"
    assert cli_main("inspect", "mnasnet-a1", "--svg", target, "--json") == 0
    assert "MBConv6 5×5" in texts(target.read_text(encoding="utf-8"))
    assert cli_main("inspect", "mnasnet-a1", "--svg", tmp_path / "net.png") == 2


@pytest.fixture
def cli_main() -> Any:
    from nascompiler.cli import main

    def run(*arguments: object) -> int:
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments])
        return int(ended.value.code or 0)

    return run
