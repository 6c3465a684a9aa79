from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers.prepare import PREPARATIONS, prepare


@pytest.fixture
def converters(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every converter writes its files, but MNN's quantiser, which aborts; the list says which have run."""
    ran: list[str] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        _, peer, dtype, folder = command[-4:]
        ran.append(f"{peer} {dtype}")
        if (peer, dtype) == ("mnn", "int8"):
            return subprocess.CompletedProcess(command, 1, "", "Traceback\n  what(): vector too long\n\n")
        for name in PREPARATIONS[peer, dtype].files:
            (Path(folder) / name).touch()
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    return ran


def test_what_a_file_is_made_from_is_made_first_and_once(converters: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "models" / "m"
    assert prepare("m", "openvino", "int8", folder) is None
    assert prepare("m", "openvino", "fp32", folder) is None
    assert converters == ["reference fp32", "openvino fp32", "openvino int8"]


def test_a_file_that_is_there_needs_nothing_else(converters: list[str], tmp_path: Path) -> None:
    (tmp_path / "ort_int8.onnx").touch()
    assert prepare("m", "onnxruntime", "int8", tmp_path) is None
    assert prepare("m", "onnxruntime", "fp32", tmp_path) is None
    assert converters == []


def test_a_converter_that_fails_gives_its_last_words(converters: list[str], tmp_path: Path) -> None:
    reason = prepare("m", "mnn", "int8", tmp_path)
    assert reason == "its int8 model could not be made: what(): vector too long"
    assert "Traceback" in (tmp_path / "mnn_int8.error.txt").read_text(encoding="utf-8")


def test_everything_starts_from_something_that_can_be_made() -> None:
    assert all(p.after is None or p.after in PREPARATIONS for p in PREPARATIONS.values())
