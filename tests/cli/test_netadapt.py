"""`nascompiler netadapt` and `codesign`: what can be given wrong, and what is shown; no timing here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from nascompiler.backends.measure import Kind
from nascompiler.ir import files, graph_cost
from nascompiler.search.evaluation import TargetLatency
from tests.netadapt.parts import Toy, network


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.nir"
    files.save(network(), path)
    return path


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latencies of `cpu` as multiply-adds: what is asked, and in which order, is the command's own."""

    def whole(graphs: Any, target: str) -> Any:
        found = {name: 1000 + (graph_cost(graph).macs or 0) / 10 for name, graph in graphs.items()}
        return {name: TargetLatency(ns, Kind.MEASURED, 1.0, 9) for name, ns in found.items()}

    monkeypatch.setattr("nascompiler.netadapt.run.latency_source", lambda target, measure: Toy())
    monkeypatch.setattr("nascompiler.netadapt.run.measure_whole", whole)


COMMON = ("--data", "digits", "--fine-tune", "3,batch_size=32", "--step", 0.2, "--decay", 1, "--multiple", 4)


def test_from_a_network_to_a_table(cli: Any, model: Path, tmp_path: Path, made_up: None) -> None:
    out, page = tmp_path / "out", tmp_path / "page.html"
    arguments = ("netadapt", model, "-o", out, "--latency", "0.7x", *COMMON, "--epochs", 1, "--report", page)
    result = cli(*arguments)
    assert result.code == 0, result.err
    assert "iteration 0 (about" in result.err
    assert "the budget is met" in result.err
    assert "epoch 1 of 1" in result.err
    assert " µs: met\n" in result.out
    assert "what became narrower" in result.out
    assert "on test images" in result.out
    assert page.read_text().startswith("<!doctype html>")
    again = cli("netadapt", "-o", out, "--resume", "--json")
    assert again.code == 0, again.err
    data = json.loads(again.out)
    assert data["meets_budgets"]
    assert data["network"] == str(out / "final.nir")
    assert data["settings"]["fine_tune"] == {"batch_size": 32}
    assert all(Path(row["network"]).exists() for row in data["iterations"])
    shown = cli("study", out / "netadapt.study", "--report", tmp_path / "again.html")
    assert shown.code == 0, shown.err
    assert "what became narrower" in shown.out
    assert (tmp_path / "again.html").exists()
    fresh = cli(*arguments)
    assert fresh.code == 2
    assert "continue it with --resume" in fresh.err
    other = cli("netadapt", "-o", out, "--resume", "--step", 0.5)
    assert other.code == 2
    assert "step is 0.2 in the study and 0.5 now" in other.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "netadapt needs --data, or --resume"),
        (("--data", "digits"), 2, "no budget is given"),
        (("--data", "digits", "--latency", "18"), 2, "'18' is no latency"),
        (("--data", "digits", "--latency", "0.1x"), 2, "add up to 62%"),
        (("--data", "digits", "--latency", "0.6x", "--target", "sundial"), 2, "unknown target"),
        (("--data", "doodles", "--latency", "0.6x"), 2, "unknown data set"),
        (("--data", "digits", "--latency", "0.6x", "--fine-tune", "much"), 2, "--fine-tune has 'much'"),
        (("--data", "digits", "--latency", "0.6x", "--fine-tune", "9,speed=1"), 2, "unknown setting of a recipe"),
        (("--data", "digits", "--latency", "0.6x", "--proposals", "few"), 2, "proposals is 'few'"),
        (("--data", "digits", "--latency", "0.6x", "--report", "x.pdf"), 2, "a report ends in .html"),
        (("--resume",), 2, "there is no study"),
    ],
)
def test_wrong_options_are_named(
    cli: Any, model: Path, tmp_path: Path, arguments: tuple[Any, ...], code: int, words: str
) -> None:
    result = cli("netadapt", model, "-o", tmp_path / "out", *arguments)
    assert (result.code, words in result.err) == (code, True), result.err
    assert "internal error" not in result.err
    assert not (tmp_path / "out" / "networks").exists()


def test_data_with_one_class(cli: Any, model: Path, tmp_path: Path) -> None:
    from PIL import Image

    for split in ("train", "val"):
        folder = tmp_path / "data" / split / "cat"
        folder.mkdir(parents=True)
        for number in range(60):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.png")
    given = ("netadapt", model, "-o", tmp_path / "out", "--latency", "0.6x", "--data", f"imagenet:{tmp_path / 'data'}")
    result = cli(*given)
    assert result.code == 2
    assert "1 class; accepted: two or more" in result.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "codesign needs --space, --data, --latency, or --resume"),
        (("--space", "mnasnet-glyphs", "--data", "digits", "--latency", "9"), "'9' is no latency"),
        (("--space", "moon", "--data", "digits", "--latency", "9us"), "unknown search space"),
        (("--space", "mnasnet-glyphs", "--data", "digits", "--latency", "9us", "--slack", 0.5), "slack is 0.5"),
        (("--resume",), "there is no study"),
        (("--resume", "--data", "digits"), "takes its settings from the folder"),
    ],
)
def test_wrong_options_of_codesign(cli: Any, tmp_path: Path, arguments: tuple[Any, ...], words: str) -> None:
    result = cli("codesign", "-o", tmp_path / "out", *arguments)
    assert result.code == 2
    assert words in result.err, result.err
    assert "internal error" not in result.err
