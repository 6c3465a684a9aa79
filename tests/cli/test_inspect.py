from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def test_json_holds_the_contract(cli: Any, small_onnx: Path) -> None:
    result = cli("inspect", small_onnx, "--shape", "image=1x3x8x10", "--json")
    assert result.code == 0
    data = json.loads(result.out)
    assert data["params"] == 8 * 27 + 8 + 40 + 5
    assert data["macs"] == 8 * 10 * 8 * 27 + 40
    assert data["level"] == "nn"
    assert data["inputs"] == [{"name": "image", "dtype": "f32", "shape": [1, 3, 8, 10]}]
    assert data["outputs"] == [{"name": "scores", "dtype": "f32", "shape": [1, 5]}]


def test_open_sizes_leave_the_multiply_adds_open(cli: Any, small_onnx: Path) -> None:
    data = json.loads(cli("inspect", small_onnx, "--json").out)
    assert data["macs"] is None
    assert data["params"] == 8 * 27 + 8 + 40 + 5
    assert data["inputs"][0]["shape"] == [1, 3, "height", "width"]


def test_table_and_nodes(cli: Any, small_onnx: Path) -> None:
    result = cli("inspect", small_onnx, "--nodes")
    assert result.code == 0
    assert "parameters" in result.out
    assert "onnx:stem" in result.out


def test_text_parses_again(cli: Any, small_onnx: Path) -> None:
    from nascompiler.ir import parse

    assert parse(cli("inspect", small_onnx, "--text").out).inputs[0].name == "image"


def test_missing_file_is_an_invalid_model(cli: Any, tmp_path: Path) -> None:
    result = cli("inspect", tmp_path / "none.onnx")
    assert result.code == 3
    assert "none.onnx" in result.err
    assert "Traceback" not in result.err


def test_shape_that_does_not_fit(cli: Any, small_onnx: Path) -> None:
    result = cli("inspect", small_onnx, "--shape", "image=1x4x8x8")
    assert result.code in (2, 3)
    assert "image" in result.err


def test_shape_that_cannot_be_read(cli: Any, small_onnx: Path) -> None:
    result = cli("inspect", small_onnx, "--shape", "image=1x3xAx8")
    assert result.code == 2
    assert "NAME=SIZE" in result.err


def test_channel_groups(cli: Any, small_onnx: Path) -> None:
    result = cli("inspect", small_onnx, "--shape", "image=1x3x8x10", "--channel-groups", "--json")
    assert result.code == 0
    rows = json.loads(result.out)["channel_groups"]
    assert [row["channels"] for row in rows] == [3, 8, 5]
    assert rows[0]["frozen"] == ["graph input 'image'"]
    assert rows[1]["frozen"] == []
    assert [use.rpartition(" ")[2] for use in rows[1]["constants"]] == ["out", "out", "in"]
    assert rows[2]["frozen"] == ["graph output 'scores'"]


def test_channel_groups_as_a_table(cli: Any, small_onnx: Path) -> None:
    result = cli("inspect", small_onnx, "--channel-groups")
    assert result.code == 0
    assert "no: graph input 'image'" in result.out
    assert "yes" in result.out


def test_channel_groups_of_an_architecture_are_those_of_its_network(cli: Any) -> None:
    rows = json.loads(cli("inspect", "mobilenet-v1", "--channel-groups", "--json").out)["channel_groups"]
    assert [row["channels"] for row in rows[:4]] == [3, 32, 64, 128]
    assert sum(not row["frozen"] for row in rows) == 14


def test_channel_groups_of_a_search_space(cli: Any) -> None:
    result = cli("inspect", "mnasnet", "--channel-groups")
    assert result.code == 2
    assert "decide" in result.err
