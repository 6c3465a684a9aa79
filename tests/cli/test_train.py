"""`nascompiler train` and `transfer` on digits, and whatever can be given wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import nascompiler as nc

pytest.importorskip("torch")

ARCHITECTURE = """nir 1
graph @small(%image: f32[1,32,32,3]) {family=mnasnet} {
  %stem = arch.conv(%image) {filters=8, stride=2}
  %block = arch.block(%stem) {expansion=2.0, filters=8}
  %logits = arch.classifier(%block) {classes=5}
  return logits=%logits
}
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.nir"
    path.write_text(ARCHITECTURE)
    return path


def test_trains_and_writes_the_network(cli: Any, small: Path) -> None:
    out = small.with_name("trained.nir")
    result = cli("train", small, "--data", "digits", "-o", out, "--epochs", 1, "--set", "optimizer=rmsprop", "--json")
    assert result.code == 0, result.err
    assert "epoch 1 of 1: loss" in result.err
    found = json.loads(result.out)
    assert found["recipe"]["optimizer"] == "rmsprop"
    assert found["held_out_accuracy"] == found["epochs"][0]["held_out_accuracy"]
    assert 0 <= found["test_accuracy"] <= 1
    graph = nc.load(out)
    assert graph.inputs[0].type.shape == (1, 8, 8, 3)
    assert graph.outputs[0].type.shape == (1, 10)


def test_larger_images(cli: Any, small: Path) -> None:
    out = small.with_name("trained.nir")
    result = cli("train", small, "--data", "digits", "-o", out, "--epochs", 1, "--resolution", 16)
    assert result.code == 0, result.err
    assert "test" in result.out
    assert nc.load(out).inputs[0].type.shape == (1, 16, 16, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--data", "doodles"), "unknown data set"),
        (("--data", "digits", "--recipe", "secret"), "unknown recipe"),
        (("--data", "digits", "--set", "epochs"), "write NAME=VALUE"),
        (("--data", "digits", "--set", "speed=2"), "unknown setting of a recipe"),
        (("--data", "digits", "--set", "momentum=2"), "momentum is 2; accepted"),
        (("--data", "digits", "--resolution", 12), "accepted sizes: 1, 2, 4, 8 and multiples of 8"),
        (("--data", "digits", "--drop-path", 0), "accepted: numbers above 0"),
        (("--data", "digits", "--drop-path", 0.5), "has no cells"),
        (("--data", "digits", "--device", "abacus"), "accepted: auto, cpu, cuda"),
    ],
)
def test_wrong_options_are_named(cli: Any, small: Path, arguments: tuple[Any, ...], words: str) -> None:
    result = cli("train", small, "-o", small.with_name("out.nir"), *arguments)
    assert result.code != 0
    assert words in result.err
    assert "internal error" not in result.err
    assert not small.with_name("out.nir").exists()


def test_a_folder_with_one_class(cli: Any, small: Path, tmp_path: Path) -> None:
    from PIL import Image

    for split in ("train", "val"):
        folder = tmp_path / "data" / split / "cat"
        folder.mkdir(parents=True)
        for number in range(60):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.png")
    result = cli("train", small, "--data", f"imagenet:{tmp_path / 'data'}", "-o", small.with_name("out.nir"))
    assert result.code == 2
    assert "1 class; accepted: two or more" in result.err


def test_a_search_space_is_no_architecture(cli: Any, tmp_path: Path) -> None:
    result = cli("train", "mnasnet-glyphs", "--data", "digits", "-o", tmp_path / "out.nir")
    assert result.code != 0
    assert "open choices; close them first" in result.err


def test_transfer_says_what_cannot_be_stacked(cli: Any, small: Path, tmp_path: Path) -> None:
    result = cli("transfer", small, "--data", "digits", "-o", tmp_path / "out", "--cells", 2)
    assert result.code == 2
    assert "not made of cells" in result.err
    assert not (tmp_path / "out").exists()
