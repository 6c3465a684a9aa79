"""`nascompiler spaces`, and search spaces where the command line takes models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def test_list(cli: Any) -> None:
    result = cli("spaces")
    assert result.code == 0
    rows = {line.split()[0]: line.split() for line in result.out.splitlines()}
    assert rows["mnasnet"][1:3] == ["1.25e+18", "49"]
    assert rows["nasnet"][1:3] == ["5.23e+36", "50"]


def test_json_has_sizes_and_choices(cli: Any) -> None:
    found = {space["name"]: space for space in json.loads(cli("spaces", "--json").out)}
    assert found["mnasnet"]["size"] == 432**5 * 288**2
    assert {
        "name": "block1.expansion",
        "options": [3, 6],
        "condition": {"choice": "block1.op", "among": ["inverted_bottleneck"]},
    } in found["mnasnet"]["choices"]


@pytest.mark.parametrize("space", ["nasnet", "mnasnet", "mobilenet-v3-layers"])
def test_a_random_architecture_of_a_space(cli: Any, space: str, tmp_path: Path) -> None:
    output = tmp_path / "architecture.nir"
    assert cli("opt", space, "--passes", "decide{seed=3}", "-o", output).code == 0
    text = output.read_text(encoding="utf-8")
    assert "choice" not in text
    assert "arch." in text


def test_a_space_is_not_compiled_and_the_way_to_an_architecture_is_told(cli: Any, tmp_path: Path) -> None:
    result = cli("compile", "nasnet-mobile", "--target", "cpu", "-o", tmp_path / "out")
    assert result.code == 2
    assert "nasnet-mobile is a search space with 50 open choices" in result.err
    assert "decide{seed=3}" in result.err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("space", ["nasnet", "mnasnet", "mobilenet-v3-layers"])
def test_a_random_network_of_a_space(cli: Any, space: str, tmp_path: Path) -> None:
    output = tmp_path / "network.nir"
    assert cli("opt", space, "--passes", "decide{seed=3},expand-cells", "-o", output).code == 0
    assert "arch." not in output.read_text(encoding="utf-8")


def test_open_choices_must_be_closed_before_expansion(cli: Any) -> None:
    result = cli("opt", "nasnet", "--passes", "expand-cells")
    assert result.code == 2
    assert "add decide" in result.err
