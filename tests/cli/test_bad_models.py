"""Models that cannot be compiled: one clear error, exit code 3, nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

Damage = Callable[[bytes], bytes]


def edited(change: Callable[[onnx.ModelProto], None]) -> Damage:
    def damage(content: bytes) -> bytes:
        model = onnx.load_from_string(content)
        change(model)
        return bytes(model.SerializeToString())

    return damage


def cyclic(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "r"


def without_initializer(model: onnx.ModelProto) -> None:
    del model.graph.initializer[0]


def with_unknown_ops(model: onnx.ModelProto) -> None:
    model.graph.node[1].op_type = "Levitate"
    model.graph.node.insert(2, helper.make_node("Teleport", ["r"], ["unused"], name="second"))


def with_wrong_type(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64


def with_wrong_rank(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [8, 27]


BAD: dict[str, tuple[Damage, str]] = {
    "empty": (lambda content: b"", "bad.onnx"),
    "truncated": (lambda content: content[: len(content) // 2], "bad.onnx"),
    "no model": (lambda content: b"PK\x03\x04 something else", "bad.onnx"),
    "cyclic": (edited(cyclic), "stem"),
    "missing initializer": (edited(without_initializer), "'w'"),
    "unknown ops": (edited(with_unknown_ops), "Levitate"),
    "wrong element type": (edited(with_wrong_type), "stem"),
    "wrong rank": (edited(with_wrong_rank), "stem"),
}


@pytest.mark.parametrize(("damage", "named"), BAD.values(), ids=BAD.keys())
def test_bad_models_end_in_exit_code_3(cli: Any, small_onnx: Path, tmp_path: Path, damage: Damage, named: str) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(damage(small_onnx.read_bytes()))
    result = cli("compile", bad, "--target", "cpu", "--shape", "image=1x3x8x8", "-o", tmp_path / "out")
    assert result.code == 3, result.err
    assert named in result.err
    assert result.err.startswith("error: ")
    assert "Traceback" not in result.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.onnx", "small.onnx"]


def test_all_unsupported_nodes_are_listed_at_once(cli: Any, small_onnx: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(edited(with_unknown_ops)(small_onnx.read_bytes()))
    result = cli("inspect", bad)
    assert "Levitate" in result.err
    assert "Teleport" in result.err
    assert "second" in result.err
